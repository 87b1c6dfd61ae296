#include "core/hf/tokenizer/tokenizer_metadata.h"

#include <array>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/hf/tokenizer/auto_tokenizer.h"
#include "core/hf/tokenizer/file_error.h"
#include "core/hf/tokenizer/pre_tokenizer_name.h"
#include "core/hf/tokenizer/sentencepiece_model.h"
#include "core/hf/tokenizer/special_vocabulary.h"
#include "core/hf/tokenizer/text.h"
#include "core/hf/tokenizer/tokenizer.h"
#include "core/hf/tokenizer/tokenizer_config.h"
#include "core/hf/tokenizer/tokenizer_file.h"
#include "nlohmann/json.hpp"

namespace quantized {
namespace {

using namespace tokenizer;  // NOLINT(google-build-using-namespace): this is the library's own edge

enum class TokenType : int32_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6,
};

constexpr float kPaddingScore = -10000;
constexpr float kAddedScore = -1000;
constexpr std::string_view kBlankMark = "\u2581";

enum class SpacePrefix { kUnsaid, kAsConfigured, kNeverWithSentencePiece };
// When tokenizer.model is used; kRequired: nothing else is.
enum class SentencePiece { kNever, kWherePresent, kRequired, kRequiredUnlessGpt2Class };

// How an architecture's vocabulary is converted.
struct VocabularyRule {
  std::string_view architecture;
  SentencePiece sentencepiece;
  bool llama_bpe;  // a tokenizer.json with byte fallback is written as SentencePiece's
  SpacePrefix space_prefix;
  // With tokenizer.model, the added tokens of tokenizer.json count, too, and only what is marked as
  // special is taken for it.
  bool plain_added_tokens = false;
};
constexpr VocabularyRule kRules[] = {
    {"llama", SentencePiece::kWherePresent, true, SpacePrefix::kAsConfigured},
    {"qwen2", SentencePiece::kWherePresent, false, SpacePrefix::kUnsaid},
    {"qwen3", SentencePiece::kWherePresent, false, SpacePrefix::kUnsaid},
    {"gemma3", SentencePiece::kWherePresent, false, SpacePrefix::kNeverWithSentencePiece},
    {"gemma2", SentencePiece::kRequired, false, SpacePrefix::kNeverWithSentencePiece},
    {"phi3", SentencePiece::kRequiredUnlessGpt2Class, false, SpacePrefix::kUnsaid,
     /*plain_added_tokens=*/true},
};
constexpr VocabularyRule kOtherRule = {"", SentencePiece::kNever, false, SpacePrefix::kUnsaid};

// Vocabulary sizes by which the reference knows two families of the llama architecture.
constexpr uint64_t kCodeLlamaTokens = 32016;
constexpr uint64_t kGraniteTokens = 49152;
constexpr std::pair<std::string_view, uint32_t> kCodeLlamaInfill[] = {
    {"prefix", 32007}, {"suffix", 32008}, {"middle", 32009}, {"eot", 32010}};

const VocabularyRule& RuleOf(std::string_view architecture) {
  for (const VocabularyRule& rule : kRules) {
    if (rule.architecture == architecture) return rule;
  }
  return kOtherRule;
}

// Some files do not mark as special what is.
bool LooksSpecial(std::string_view token) {
  constexpr std::string_view kNames[] = {"<pad>", "<mask>", "<2mass>", "[@BOS@]"};
  for (const std::string_view name : kNames) {
    if (token == name) return true;
  }
  const auto between = [&](std::string_view open, std::string_view close) {
    return token.starts_with(open) && token.ends_with(close);
  };
  return between("<|", "|>") || between("<\uFF5C", "\uFF5C>") || between("<unused", ">");
}

// Text and type of an added token: marks stand for blanks except in control tokens.
std::pair<std::string, TokenType> AddedTokenText(std::string text, bool special) {
  if (special || LooksSpecial(text)) return {std::move(text), TokenType::kControl};
  return {ReplaceAll(text, kBlankMark, " "), TokenType::kUserDefined};
}

struct Tokens {
  std::vector<std::string> texts;
  std::vector<float> scores;  // empty: the kind has none
  std::vector<int32_t> types;

  void Add(std::string text, TokenType type) {
    texts.push_back(std::move(text));
    types.push_back(static_cast<int32_t>(type));
  }
};

void AppendTokens(std::string_view model, std::string_view pre, Tokens tokens,
                  gguf::Metadata& metadata) {
  metadata.Set("tokenizer.ggml.model", std::string(model));
  metadata.Set("tokenizer.ggml.pre", std::string(pre));
  metadata.Set("tokenizer.ggml.tokens", gguf::Array(std::move(tokens.texts)));
  if (!tokens.scores.empty()) {
    metadata.Set("tokenizer.ggml.scores", gguf::Array(std::move(tokens.scores)));
  }
  metadata.Set("tokenizer.ggml.token_type", gguf::Array(std::move(tokens.types)));
}

// The files of one directory and what is known of the model.
struct Source {
  const std::filesystem::path& directory;
  const HfTokenizerContext& context;
  nlohmann::json tokenizer_config;  // an object; empty where there is no file

  std::string model_type() const {
    const auto it = context.config.find("model_type");
    return it != context.config.end() && it->is_string() ? it->get<std::string>() : "";
  }
};

bool IsFile(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::is_regular_file(path, ignored);
}

// ---- SentencePiece

// Overwrites the token of id `token.id`; ids beyond the vocabulary are left out.
void Overwrite(const AddedToken& token, std::pair<std::string, TokenType> text, Tokens* tokens) {
  if (token.id >= tokens->texts.size()) return;
  tokens->texts[token.id] = std::move(text.first);
  tokens->types[token.id] = static_cast<int32_t>(text.second);
  tokens->scores[token.id] = kAddedScore;
}

// `file`: tokenizer.json, null where there is none.
absl::StatusOr<Tokens> SentencePieceTokens(const Source& source, const VocabularyRule& rule,
                                           const TokenizerFile* file) {
  ASSIGN_OR_RETURN(SentencePieceModel model,
                   ReadSentencePieceModel(source.directory / "tokenizer.model"));
  const uint64_t size =
      source.context.vocab_size != 0 ? source.context.vocab_size : model.pieces.size();
  if (size > Vocabulary::kMaxTokens) {
    return FileError("config.json", "vocab_size", StrCat(size),
                     StrCat("at most ", Vocabulary::kMaxTokens));
  }
  Tokens tokens;
  for (uint64_t id = 0; id < size; ++id) {
    if (id >= model.pieces.size()) {
      tokens.Add(StrCat("[PAD", id, "]"), TokenType::kUnused);
      tokens.scores.push_back(kPaddingScore);
      continue;
    }
    Piece& piece = model.pieces[id];
    // The reference asks for every type but this one.
    const PieceType type = piece.type == PieceType::kUserDefined ? PieceType::kNormal : piece.type;
    tokens.Add(std::move(piece.text), static_cast<TokenType>(type));
    tokens.scores.push_back(piece.score);
  }
  ASSIGN_OR_RETURN(const std::vector<AddedToken> added, ReadAddedTokensJson(source.directory));
  for (const AddedToken& token : added) {
    Overwrite(token, {token.content, TokenType::kUserDefined}, &tokens);
  }
  ASSIGN_OR_RETURN(const std::vector<AddedToken> decoder,
                   AddedTokensDecoder(source.tokenizer_config, "tokenizer_config.json"));
  const auto plain = [](const AddedToken& token) {
    return std::pair(token.content, token.special ? TokenType::kControl : TokenType::kUserDefined);
  };
  for (const AddedToken& token : decoder) {
    Overwrite(token,
              rule.plain_added_tokens ? plain(token) : AddedTokenText(token.content, token.special),
              &tokens);
  }
  if (rule.plain_added_tokens && file != nullptr) {
    for (const AddedToken& token : file->added_tokens) Overwrite(token, plain(token), &tokens);
  }
  return tokens;
}

absl::Status AppendSentencePiece(const Source& source, const VocabularyRule& rule,
                                 gguf::Metadata& metadata) {
  std::optional<TokenizerFile> file;
  const std::filesystem::path json = source.directory / "tokenizer.json";
  if (IsFile(json)) {
    ASSIGN_OR_RETURN(file, ReadTokenizerJson(json, ModelPart::kSkip));
  }
  ASSIGN_OR_RETURN(Tokens tokens,
                   SentencePieceTokens(source, rule, file.has_value() ? &*file : nullptr));
  const uint64_t size = tokens.texts.size();
  AppendTokens("llama", "default", std::move(tokens), metadata);
  ASSIGN_OR_RETURN(const SpecialVocabulary special,
                   SpecialVocabulary::Read(source.directory, file.has_value() ? &*file : nullptr,
                                           source.context.config, size));
  special.AppendTo(metadata);
  return absl::OkStatus();
}

// ---- SentencePiece's BPE without its model file

// Whether a tokenizer.json holds what SentencePiece would hold.
bool IsLlamaBpe(const TokenizerFile& file) {
  return file.model_type == "BPE" && file.options.byte_fallback && file.decoder.is_object() &&
         file.decoder.value("type", nlohmann::json()) == "Sequence";
}

bool IsByteToken(std::string_view text) {
  const auto digit = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
  };
  return text.size() == 6 && text.starts_with("<0x") && text[5] == '>' && digit(text[3]) &&
         digit(text[4]);
}

// `raw` as tokenizer.json has it, with its vocabulary.
absl::Status AppendLlamaBpe(const Source& source, TokenizerFile file, gguf::Metadata& metadata) {
  const uint64_t base = file.vocabulary.size();
  if (file.vocabulary.end_id() != base) {
    return FileError(file.path.string(), "model.vocab",
                     StrCat(base, " tokens with ids up to ", file.vocabulary.end_id() - 1),
                     "ids without gaps");
  }
  TokenizerFile changed;  // with the added tokens of the configuration; the vocabulary moves over
  changed.added_tokens = file.added_tokens;
  changed.vocabulary = std::move(file.vocabulary);
  RETURN_IF_ERROR(ApplyTokenizerConfig(source.tokenizer_config, source.model_type(), &changed));
  absl::flat_hash_set<std::string, TextHash, std::equal_to<>> special_tokens;
  for (std::string& text : SpecialTokens(source.tokenizer_config, source.model_type())) {
    special_tokens.insert(std::move(text));
  }
  Tokens tokens;
  for (uint32_t id = 0; id < base; ++id) {
    const std::string_view text = *changed.vocabulary.TextOf(id);
    const TokenType type = IsByteToken(text)               ? TokenType::kByte
                           : special_tokens.contains(text) ? TokenType::kControl
                                                           : TokenType::kNormal;
    tokens.Add(std::string(text), type);
  }
  for (const AddedToken& token : changed.added_tokens) {
    if (token.id < base) continue;
    tokens.Add(token.content, special_tokens.contains(token.content) ? TokenType::kControl
                                                                     : TokenType::kUserDefined);
  }
  const uint64_t size = tokens.texts.size();
  tokens.scores.assign(size, kAddedScore);
  AppendTokens("llama", "default", std::move(tokens), metadata);
  ASSIGN_OR_RETURN(const SpecialVocabulary special,
                   SpecialVocabulary::Read(source.directory, &file, source.context.config, size));
  special.AppendTo(metadata);
  return absl::OkStatus();
}

// ---- Byte-level BPE

std::vector<std::string> MergeTexts(const TokenizerFile& file) {
  std::vector<std::string> texts;
  texts.reserve(file.merges.size());
  // A blank inside a half would be taken for the one between them.
  const auto half = [&](uint32_t id) {
    return ReplaceAll(*file.vocabulary.TextOf(id), " ", "\u0120");
  };
  for (const auto& [left, right] : file.merges) {
    texts.push_back(StrCat(half(left), " ", half(right)));
  }
  return texts;
}

// What transformers' decode does to a text when clean_up_tokenization_spaces is set.
std::string CleanUpSpaces(std::string text) {
  constexpr std::pair<std::string_view, std::string_view> kJoins[] = {
      {" .", "."},     {" ?", "?"},   {" !", "!"},   {" ,", ","},     {" ' ", "'"},
      {" n't", "n't"}, {" 'm", "'m"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
  for (const auto& [from, to] : kJoins) text = ReplaceAll(text, from, to);
  return text;
}

absl::StatusOr<Tokens> BpeTokens(const Source& source, const Tokenizer& tokenizer) {
  const uint64_t size =
      source.context.vocab_size != 0 ? source.context.vocab_size : tokenizer.end_id();
  if (tokenizer.end_id() > size || size > Vocabulary::kMaxTokens) {
    return FileError("config.json", "vocab_size", StrCat(size),
                     StrCat("more than the largest token id, ", tokenizer.end_id() - 1,
                            ", and at most ", Vocabulary::kMaxTokens));
  }
  const auto clean = source.tokenizer_config.find("clean_up_tokenization_spaces");
  const bool clean_up =
      clean != source.tokenizer_config.end() && clean->is_boolean() && clean->get<bool>();
  Tokens tokens;
  for (uint32_t id = 0; id < size; ++id) {
    const std::optional<std::string_view> text = tokenizer.TextOf(id);
    const AddedToken* added = tokenizer.AddedTokenOf(id);
    if (!text.has_value()) {
      tokens.Add(StrCat("[PAD", id, "]"), TokenType::kUnused);
      continue;
    }
    if (added == nullptr) {
      tokens.Add(std::string(*text), TokenType::kNormal);
      continue;
    }
    std::string shown(*text);
    if (!added->normalized) {
      // Runtimes look for these in text as it is shown, which the way there and back gives.
      ASSIGN_OR_RETURN(const std::vector<uint32_t> ids,
                       tokenizer.Encode(shown, /*add_special=*/false));
      ASSIGN_OR_RETURN(shown, tokenizer.Decode(ids, /*skip_special=*/false));
      if (clean_up) shown = CleanUpSpaces(std::move(shown));
    }
    auto [final_text, type] = AddedTokenText(std::move(shown), added->special);
    tokens.Add(std::move(final_text), type);
  }
  return tokens;
}

absl::Status AppendByteLevelBpe(const Source& source, TokenizerFile file,
                                gguf::Metadata& metadata) {
  const std::string name = file.path.string();
  const bool is_json = file.path.filename() == "tokenizer.json";
  ASSIGN_OR_RETURN(const SpecialVocabulary special,
                   SpecialVocabulary::Read(source.directory, is_json ? &file : nullptr,
                                           source.context.config, std::nullopt));
  std::vector<std::string> merges = MergeTexts(file);
  RETURN_IF_ERROR(ApplyTokenizerConfig(source.tokenizer_config, source.model_type(), &file));
  const PreTokenizerStructure structure = {file.pre_tokenizer, file.normalizer,
                                           file.options.ignore_merges};
  ASSIGN_OR_RETURN(const std::unique_ptr<const Tokenizer> tokenizer,
                   Tokenizer::Create(std::move(file)));
  ASSIGN_OR_RETURN(
      const std::string pre,
      PreTokenizerName(*tokenizer, structure, source.context.pre_tokenizer_override, name));
  ASSIGN_OR_RETURN(Tokens tokens, BpeTokens(source, *tokenizer));
  AppendTokens("gpt2", pre, std::move(tokens), metadata);
  if (!merges.empty()) metadata.Set("tokenizer.ggml.merges", gguf::Array(std::move(merges)));
  special.AppendTo(metadata);
  return absl::OkStatus();
}

// ---- What all kinds share

// The infill tokens of CodeLlama, which its files do not name.
absl::Status AppendCodeLlamaInfill(const Source& source, gguf::Metadata& metadata) {
  std::optional<TokenizerFile> file;
  const std::filesystem::path json = source.directory / "tokenizer.json";
  if (IsFile(json)) {
    ASSIGN_OR_RETURN(file, ReadTokenizerJson(json, ModelPart::kSkip));
  }
  std::vector<std::string> roles;
  for (const auto& [role, id] : kCodeLlamaInfill) roles.emplace_back(role);
  ASSIGN_OR_RETURN(SpecialVocabulary infill,
                   SpecialVocabulary::Read(source.directory, file.has_value() ? &*file : nullptr,
                                           source.context.config, std::nullopt, std::move(roles)));
  for (const auto& [role, id] : kCodeLlamaInfill) infill.SetId(role, id);
  infill.AppendTo(metadata);
  return absl::OkStatus();
}

bool UsesSentencePiece(const Source& source, const VocabularyRule& rule) {
  switch (rule.sentencepiece) {
    case SentencePiece::kNever:
      return false;
    case SentencePiece::kWherePresent:
      return IsFile(source.directory / "tokenizer.model");
    case SentencePiece::kRequired:
      return true;
    case SentencePiece::kRequiredUnlessGpt2Class:
      return source.tokenizer_config.value("tokenizer_class", nlohmann::json()) != "GPT2Tokenizer";
  }
  CHECK(!"a SentencePiece without a case");
}

absl::Status AppendVocabulary(const Source& source, const VocabularyRule& rule,
                              gguf::Metadata& metadata) {
  if (UsesSentencePiece(source, rule)) {
    RETURN_IF_ERROR(AppendSentencePiece(source, rule, metadata));
    if (rule.space_prefix == SpacePrefix::kNeverWithSentencePiece) {
      metadata.Set("tokenizer.ggml.add_space_prefix", false);
    }
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(TokenizerFile file, ReadTokenizerFiles(source.directory, source.tokenizer_config,
                                                          source.model_type()));
  if (rule.llama_bpe && IsLlamaBpe(file)) {
    return AppendLlamaBpe(source, std::move(file), metadata);
  }
  return AppendByteLevelBpe(source, std::move(file), metadata);
}

}  // namespace

absl::Status AppendTokenizerMetadata(const std::filesystem::path& directory,
                                     const HfTokenizerContext& context, gguf::Metadata& metadata) {
  ASSIGN_OR_RETURN(nlohmann::json tokenizer_config, ReadTokenizerConfig(directory));
  const Source source = {directory, context, std::move(tokenizer_config)};
  const VocabularyRule& rule = RuleOf(context.architecture);
  if (rule.space_prefix == SpacePrefix::kAsConfigured) {
    const auto prefix = source.tokenizer_config.find("add_prefix_space");
    if (prefix != source.tokenizer_config.end() && prefix->is_boolean()) {
      metadata.Set("tokenizer.ggml.add_space_prefix", prefix->get<bool>());
    }
  }
  RETURN_IF_ERROR(AppendVocabulary(source, rule, metadata));
  if (rule.architecture == "llama") {
    if (context.vocab_size == kCodeLlamaTokens) {
      RETURN_IF_ERROR(AppendCodeLlamaInfill(source, metadata));
    }
    if (context.vocab_size == kGraniteTokens) metadata.Set("tokenizer.ggml.add_bos_token", false);
  }
  return absl::OkStatus();
}

}  // namespace quantized
