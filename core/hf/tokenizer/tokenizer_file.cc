#include "core/hf/tokenizer/tokenizer_file.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <utility>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/hf/tokenizer/file_error.h"
#include "core/hf/tokenizer/tokenizer_config.h"
#include "simdjson.h"

namespace quantized::tokenizer {
namespace {

using Element = simdjson::dom::element;
using Object = simdjson::dom::object;
using Array = simdjson::dom::array;
using Type = simdjson::dom::element_type;

// Gemma 3's file, the largest known, has 33 MB.
constexpr uint64_t kMaxFileBytes = uint64_t{256} << 20;
constexpr size_t kMaxMerges = size_t{1} << 23;
// Normalizers and the like: a few hundred values, except for tables in Unigram files.
constexpr int kMaxDepth = 32;
constexpr size_t kMaxValues = 200'000;

// A JSON file in memory, parsed. Elements refer to it.
class JsonFile {
 public:
  static absl::StatusOr<std::unique_ptr<JsonFile>> Read(const std::filesystem::path& path) {
    ASSIGN_OR_RETURN(const File file, File::OpenForRead(path));
    ASSIGN_OR_RETURN(const uint64_t size, file.SizeBytes());
    RETURN_IF_ERROR(CheckSize(path.string(), size));
    simdjson::padded_string text(size);
    if (size > 0) {
      RETURN_IF_ERROR(file.ReadAt(
          0, std::as_writable_bytes(std::span(text.data(), static_cast<size_t>(size)))));
    }
    return Parse(std::move(text), path.string());
  }

  static absl::StatusOr<std::unique_ptr<JsonFile>> Copy(std::string_view text,
                                                        const std::filesystem::path& path) {
    RETURN_IF_ERROR(CheckSize(path.string(), text.size()));
    return Parse(simdjson::padded_string(text.data(), text.size()), path.string());
  }

  const Object& root() const { return root_; }

 private:
  static absl::Status CheckSize(std::string_view name, uint64_t size) {
    if (size <= kMaxFileBytes) return absl::OkStatus();
    return FileError(name, "size", StrCat(size, " bytes"), StrCat("at most ", kMaxFileBytes));
  }

  static absl::StatusOr<std::unique_ptr<JsonFile>> Parse(simdjson::padded_string text,
                                                         std::string_view name) {
    RETURN_IF_ERROR(RefuseLfsPointer(name, text));
    auto json = std::make_unique<JsonFile>();
    json->text_ = std::move(text);
    Element root;
    if (const auto error = json->parser_.parse(json->text_).get(root)) {
      return FileError(name, "the file", simdjson::error_message(error), "valid JSON");
    }
    if (root.get_object().get(json->root_)) {
      return FileError(name, "the file", "no object", "a JSON object");
    }
    return json;
  }

  simdjson::padded_string text_;
  simdjson::dom::parser parser_;
  Object root_;
};

std::string_view KindOf(const Element& element) {
  switch (element.type()) {
    case Type::ARRAY:
      return "an array";
    case Type::OBJECT:
      return "an object";
    case Type::STRING:
      return "a string";
    case Type::BOOL:
      return "a boolean";
    case Type::NULL_VALUE:
      return "null";
    default:
      return "a number";
  }
}

// Reads one file; every method's errors name the file and the field.
class Reader {
 public:
  explicit Reader(std::string file) : file_(std::move(file)) {}

  absl::Status Wrong(std::string_view field, std::string_view found,
                     std::string_view expected) const {
    return FileError(file_, field, found, expected);
  }

  // The members of `object` by name, each at most once. `known` are the names wanted; others are
  // passed over. The result has an element or nothing for each.
  template <size_t N>
  absl::StatusOr<std::array<std::optional<Element>, N>> Members(
      const Object& object, std::string_view path,
      const std::array<std::string_view, N>& known) const {
    std::array<std::optional<Element>, N> members;
    for (const auto [key, value] : object) {
      const auto it = std::find(known.begin(), known.end(), key);
      if (it == known.end()) continue;
      std::optional<Element>& member = members[static_cast<size_t>(it - known.begin())];
      if (member.has_value()) return Wrong(StrCat(path, key), "a second one", "one");
      member = value;
    }
    return members;
  }

  absl::StatusOr<bool> Bool(const std::optional<Element>& element, std::string_view field) const {
    if (!element.has_value() || element->is_null()) return false;
    bool value = false;
    if (element->get_bool().get(value)) return Wrong(field, KindOf(*element), "a boolean");
    return value;
  }

  absl::StatusOr<std::string> String(const std::optional<Element>& element,
                                     std::string_view field) const {
    if (!element.has_value() || element->is_null()) return std::string();
    std::string_view value;
    if (element->get_string().get(value)) return Wrong(field, KindOf(*element), "a string");
    return std::string(value);
  }

  absl::StatusOr<Object> ObjectOf(const std::optional<Element>& element,
                                  std::string_view field) const {
    Object object;
    if (!element.has_value() || element->get_object().get(object)) {
      return Wrong(field, element.has_value() ? KindOf(*element) : "nothing", "an object");
    }
    return object;
  }

  absl::StatusOr<Array> ArrayOf(const std::optional<Element>& element,
                                std::string_view field) const {
    Array array;
    if (!element.has_value() || element->get_array().get(array)) {
      return Wrong(field, element.has_value() ? KindOf(*element) : "nothing", "an array");
    }
    return array;
  }

  // A copy of a small part; null where it is absent.
  absl::StatusOr<nlohmann::json> Copy(const std::optional<Element>& element,
                                      std::string_view field) const {
    if (!element.has_value()) return nlohmann::json();
    size_t values = 0;
    return Copy(*element, field, 0, &values);
  }

  absl::StatusOr<Vocabulary> ReadVocabulary(const Object& object, std::string_view field) const;
  absl::StatusOr<std::vector<Merge>> ReadMerges(const Array& array, std::string_view field,
                                                const Vocabulary& vocabulary) const;
  absl::StatusOr<std::vector<AddedToken>> ReadAddedTokens(const Array& array) const;
  // The merge of `left` and `right`, named `field` in errors.
  absl::StatusOr<Merge> MergeOf(std::string_view left, std::string_view right,
                                std::string_view field, const Vocabulary& vocabulary) const;

 private:
  absl::StatusOr<nlohmann::json> Copy(const Element& element, std::string_view field, int depth,
                                      size_t* values) const;
  absl::StatusOr<AddedToken> ReadAddedToken(const Element& element, std::string_view field) const;

  std::string file_;
};

absl::StatusOr<nlohmann::json> Reader::Copy(const Element& element, std::string_view field,
                                            int depth, size_t* values) const {
  if (depth > kMaxDepth || ++*values > kMaxValues) {
    return Wrong(field, depth > kMaxDepth ? "deeper nesting" : "more values",
                 StrCat("at most ", kMaxValues, " values, nested ", kMaxDepth, " deep"));
  }
  switch (element.type()) {
    case Type::ARRAY: {
      nlohmann::json copy = nlohmann::json::array();
      for (const Element value : Array(element)) {
        ASSIGN_OR_RETURN(nlohmann::json item, Copy(value, field, depth + 1, values));
        copy.push_back(std::move(item));
      }
      return copy;
    }
    case Type::OBJECT: {
      nlohmann::json copy = nlohmann::json::object();
      for (const auto [key, value] : Object(element)) {
        ASSIGN_OR_RETURN(nlohmann::json item, Copy(value, field, depth + 1, values));
        copy[std::string(key)] = std::move(item);
      }
      return copy;
    }
    case Type::STRING:
      return nlohmann::json(std::string(std::string_view(element)));
    case Type::BOOL:
      return nlohmann::json(bool(element));
    case Type::INT64:
      // Not negative numbers are unsigned, as nlohmann's own parser has them.
      if (int64_t(element) < 0) return nlohmann::json(int64_t(element));
      return nlohmann::json(static_cast<uint64_t>(int64_t(element)));
    case Type::UINT64:
      return nlohmann::json(uint64_t(element));
    case Type::DOUBLE:
      return nlohmann::json(double(element));
    case Type::NULL_VALUE:
      break;
  }
  return nlohmann::json();
}

absl::StatusOr<Vocabulary> Reader::ReadVocabulary(const Object& object,
                                                  std::string_view field) const {
  size_t tokens = 0;
  size_t bytes = 0;
  for (const auto [text, id] : object) {
    ++tokens;
    bytes += text.size();
  }
  if (tokens == 0 || tokens > Vocabulary::kMaxTokens) {
    return Wrong(field, StrCat(tokens, " tokens"),
                 StrCat("between 1 and ", Vocabulary::kMaxTokens));
  }
  Vocabulary vocabulary(tokens, bytes);
  for (const auto [text, element] : object) {
    uint64_t id = 0;
    if (element.get_uint64().get(id)) {
      return Wrong(StrCat(field, "[", Quoted(text), "]"), KindOf(element),
                   "an id, a whole number from 0");
    }
    RETURN_IF_ERROR(vocabulary.Add(text, id)) << file_ << ": " << field;
  }
  return vocabulary;
}

absl::StatusOr<Merge> Reader::MergeOf(std::string_view left, std::string_view right,
                                      std::string_view field, const Vocabulary& vocabulary) const {
  Merge merge;
  for (auto [text, id] : {std::pair(left, &merge.first), std::pair(right, &merge.second)}) {
    const std::optional<uint32_t> known = vocabulary.IdOf(text);
    if (!known.has_value()) return Wrong(field, Quoted(text), "a token of the vocabulary");
    *id = *known;
  }
  return merge;
}

absl::StatusOr<std::vector<Merge>> Reader::ReadMerges(const Array& array, std::string_view field,
                                                      const Vocabulary& vocabulary) const {
  std::vector<Merge> merges;
  size_t count = 0;  // simdjson's size() stops counting at 2^24
  for ([[maybe_unused]] const Element element : array) ++count;
  if (count > kMaxMerges) {
    return Wrong(field, StrCat(count, " merges"), StrCat("at most ", kMaxMerges));
  }
  merges.reserve(count);
  for (const Element element : array) {
    const auto name = [&] { return StrCat(field, "[", merges.size(), "]"); };
    std::string_view left, right;
    if (element.is_string()) {  // "left right", the form before pairs
      const std::string_view text = element;
      const size_t blank = text.find(' ');
      if (blank == std::string_view::npos || text.find(' ', blank + 1) != std::string_view::npos) {
        return Wrong(name(), Quoted(text), "two tokens with one blank between");
      }
      left = text.substr(0, blank);
      right = text.substr(blank + 1);
    } else {
      Array pair;
      if (element.get_array().get(pair) || pair.size() != 2 || pair.at(0).get(left) ||
          pair.at(1).get(right)) {
        return Wrong(name(), KindOf(element), "a pair of strings");
      }
    }
    // Names of fields are made only for errors: there are half a million merges.
    absl::StatusOr<Merge> merge = MergeOf(left, right, "", vocabulary);
    if (!merge.ok()) return MergeOf(left, right, name(), vocabulary).status();
    merges.push_back(*merge);
  }
  return merges;
}

absl::StatusOr<AddedToken> Reader::ReadAddedToken(const Element& element,
                                                  std::string_view field) const {
  ASSIGN_OR_RETURN(const Object object, ObjectOf(element, field));
  constexpr std::array<std::string_view, 7> kNames = {
      "id", "content", "special", "normalized", "lstrip", "rstrip", "single_word"};
  const std::string path = StrCat(field, ".");
  ASSIGN_OR_RETURN(const auto members, Members(object, path, kNames));
  AddedToken token;
  uint64_t id = 0;
  if (!members[0].has_value() || members[0]->get_uint64().get(id) || id >= Vocabulary::kMaxTokens) {
    return Wrong(StrCat(path, "id"), members[0].has_value() ? KindOf(*members[0]) : "nothing",
                 StrCat("a whole number below ", Vocabulary::kMaxTokens));
  }
  token.id = static_cast<uint32_t>(id);
  if (!members[1].has_value() || !members[1]->is_string()) {
    return Wrong(StrCat(path, "content"), members[1].has_value() ? KindOf(*members[1]) : "nothing",
                 "a string");
  }
  token.content = std::string_view(*members[1]);
  if (token.content.size() > kMaxAddedTokenBytes) {
    return Wrong(StrCat(path, "content"), StrCat(token.content.size(), " bytes"),
                 StrCat("at most ", kMaxAddedTokenBytes));
  }
  bool* const flags[] = {&token.special, &token.normalized, &token.lstrip, &token.rstrip,
                         &token.single_word};
  for (size_t i = 0; i < std::size(flags); ++i) {
    ASSIGN_OR_RETURN(*flags[i], Bool(members[i + 2], StrCat(path, kNames[i + 2])));
  }
  return token;
}

absl::StatusOr<std::vector<AddedToken>> Reader::ReadAddedTokens(const Array& array) const {
  std::vector<AddedToken> tokens;
  for (const Element element : array) {
    if (tokens.size() == kMaxAddedTokens) {
      return Wrong("added_tokens", StrCat("more than ", kMaxAddedTokens),
                   StrCat("at most ", kMaxAddedTokens));
    }
    ASSIGN_OR_RETURN(AddedToken token,
                     ReadAddedToken(element, StrCat("added_tokens[", tokens.size(), "]")));
    tokens.push_back(std::move(token));
  }
  return tokens;
}

absl::Status ReadModel(const Reader& reader, const Object& object, ModelPart part,
                       TokenizerFile* file) {
  constexpr std::array<std::string_view, 9> kNames = {"type",
                                                      "unk_token",
                                                      "continuing_subword_prefix",
                                                      "end_of_word_suffix",
                                                      "fuse_unk",
                                                      "byte_fallback",
                                                      "ignore_merges",
                                                      "vocab",
                                                      "merges"};
  ASSIGN_OR_RETURN(const auto members, reader.Members(object, "model.", kNames));
  ASSIGN_OR_RETURN(file->model_type, reader.String(members[0], "model.type"));
  // Files from before the field was written hold BPE: they alone have merges.
  if (file->model_type.empty() && members[8].has_value()) file->model_type = "BPE";
  if (file->model_type != "BPE") {
    if (part == ModelPart::kSkip) return absl::OkStatus();
    return FileError(file->path.string(), "model.type",
                     file->model_type.empty() ? "nothing" : Quoted(file->model_type), "\"BPE\"",
                     "byte-pair tokenizers, and SentencePiece ones that come with a "
                     "tokenizer.model, can be converted");
  }
  BpeOptions& options = file->options;
  ASSIGN_OR_RETURN(options.unk_token, reader.String(members[1], "model.unk_token"));
  ASSIGN_OR_RETURN(options.continuing_subword_prefix,
                   reader.String(members[2], "model.continuing_subword_prefix"));
  ASSIGN_OR_RETURN(options.end_of_word_suffix,
                   reader.String(members[3], "model.end_of_word_suffix"));
  ASSIGN_OR_RETURN(options.fuse_unk, reader.Bool(members[4], "model.fuse_unk"));
  ASSIGN_OR_RETURN(options.byte_fallback, reader.Bool(members[5], "model.byte_fallback"));
  ASSIGN_OR_RETURN(options.ignore_merges, reader.Bool(members[6], "model.ignore_merges"));
  if (part == ModelPart::kSkip) return absl::OkStatus();
  ASSIGN_OR_RETURN(const Object vocab, reader.ObjectOf(members[7], "model.vocab"));
  ASSIGN_OR_RETURN(file->vocabulary, reader.ReadVocabulary(vocab, "model.vocab"));
  ASSIGN_OR_RETURN(const Array merges, reader.ArrayOf(members[8], "model.merges"));
  ASSIGN_OR_RETURN(file->merges, reader.ReadMerges(merges, "model.merges", file->vocabulary));
  return absl::OkStatus();
}

// What the converters of the slow tokenizers put around a vocabulary.
constexpr std::string_view kGpt2Parts = R"({
  "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
                    "use_regex": true},
  "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true,
              "use_regex": true},
  "post_processor": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": false,
                     "use_regex": true}
})";
constexpr std::string_view kQwen2Parts = R"({
  "normalizer": {"type": "NFC"},
  "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
    {"type": "Split", "pattern": {"Regex": "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},
     "behavior": "Isolated", "invert": false},
    {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}]},
  "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true,
              "use_regex": true},
  "post_processor": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": false,
                     "use_regex": true}
})";

absl::StatusOr<std::vector<Merge>> ReadMergesTxt(const std::filesystem::path& path,
                                                 const Vocabulary& vocabulary) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMaxFileBytes));
  const Reader reader(path.string());
  std::vector<Merge> merges;
  size_t line_number = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line = std::string_view(text).substr(at, end - at);
    at = end + 1;
    ++line_number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || (line_number == 1 && line.starts_with("#"))) continue;
    const std::string name = StrCat("line ", line_number);
    const size_t blank = line.find(' ');
    if (blank == std::string_view::npos || line.find(' ', blank + 1) != std::string_view::npos) {
      return reader.Wrong(name, Quoted(line), "two tokens with one blank between");
    }
    if (merges.size() == kMaxMerges) {
      return reader.Wrong(name, "one more merge", StrCat("at most ", kMaxMerges));
    }
    ASSIGN_OR_RETURN(const Merge merge, reader.MergeOf(line.substr(0, blank),
                                                       line.substr(blank + 1), name, vocabulary));
    merges.push_back(merge);
  }
  return merges;
}

absl::StatusOr<TokenizerFile> TokenizerFileOf(const JsonFile& json,
                                              const std::filesystem::path& path, ModelPart model) {
  const Reader reader(path.string());
  constexpr std::array<std::string_view, 6> kNames = {
      "added_tokens", "normalizer", "pre_tokenizer", "post_processor", "decoder", "model"};
  ASSIGN_OR_RETURN(const auto members, reader.Members(json.root(), "", kNames));
  TokenizerFile file;
  file.path = path;
  if (members[0].has_value() && !members[0]->is_null()) {
    ASSIGN_OR_RETURN(const Array tokens, reader.ArrayOf(members[0], kNames[0]));
    ASSIGN_OR_RETURN(file.added_tokens, reader.ReadAddedTokens(tokens));
  }
  nlohmann::json* const parts[] = {&file.normalizer, &file.pre_tokenizer, &file.post_processor,
                                   &file.decoder};
  for (size_t i = 0; i < std::size(parts); ++i) {
    ASSIGN_OR_RETURN(*parts[i], reader.Copy(members[i + 1], kNames[i + 1]));
  }
  ASSIGN_OR_RETURN(const Object object, reader.ObjectOf(members[5], "model"));
  RETURN_IF_ERROR(ReadModel(reader, object, model, &file));
  return file;
}

}  // namespace

absl::StatusOr<TokenizerFile> ReadTokenizerJson(const std::filesystem::path& path,
                                                ModelPart model) {
  ASSIGN_OR_RETURN(const std::unique_ptr<JsonFile> json, JsonFile::Read(path));
  return TokenizerFileOf(*json, path, model);
}

absl::StatusOr<TokenizerFile> ParseTokenizerJson(std::string_view text,
                                                 const std::filesystem::path& name,
                                                 ModelPart model) {
  ASSIGN_OR_RETURN(const std::unique_ptr<JsonFile> json, JsonFile::Copy(text, name));
  return TokenizerFileOf(*json, name, model);
}

absl::StatusOr<TokenizerFile> ReadVocabularyAndMerges(const std::filesystem::path& directory,
                                                      std::string_view tokenizer_class) {
  const std::filesystem::path path = directory / "vocab.json";
  TokenizerFile file;
  file.path = path;
  {
    ASSIGN_OR_RETURN(const std::unique_ptr<JsonFile> json, JsonFile::Read(path));
    const Reader reader(path.string());
    ASSIGN_OR_RETURN(file.vocabulary, reader.ReadVocabulary(json->root(), "the file"));
  }
  ASSIGN_OR_RETURN(file.merges, ReadMergesTxt(directory / "merges.txt", file.vocabulary));
  const bool qwen2 = tokenizer_class.starts_with("Qwen2Tokenizer");
  const nlohmann::json parts = nlohmann::json::parse(qwen2 ? kQwen2Parts : kGpt2Parts);
  file.normalizer = parts.value("normalizer", nlohmann::json());
  file.pre_tokenizer = parts["pre_tokenizer"];
  file.post_processor = parts["post_processor"];
  file.decoder = parts["decoder"];
  file.model_type = "BPE";
  ASSIGN_OR_RETURN(file.added_tokens, ReadAddedTokensJson(directory));
  return file;
}

}  // namespace quantized::tokenizer
