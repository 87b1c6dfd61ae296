#include "core/hf/tokenizer/tokenizer_config.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <utility>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/hf/json_file.h"
#include "core/hf/tokenizer/component_json.h"
#include "core/hf/tokenizer/file_error.h"
#include "core/hf/tokenizer/unicode.h"
#include "core/hf/tokenizer/vocabulary.h"

namespace quantized::tokenizer {
namespace {

constexpr uint64_t kMaxConfigBytes = uint64_t{64} << 20;
constexpr size_t kMaxTemplates = 256;

absl::StatusOr<AddedToken> MakeToken(std::string_view file, std::string_view field, uint64_t id,
                                     std::string content) {
  if (id >= Vocabulary::kMaxTokens) {
    return FileError(file, field, StrCat("id ", id),
                     StrCat("an id below ", Vocabulary::kMaxTokens));
  }
  if (content.size() > kMaxAddedTokenBytes) {
    return FileError(file, field, StrCat("a token of ", content.size(), " bytes"),
                     StrCat("at most ", kMaxAddedTokenBytes));
  }
  AddedToken token;
  token.id = static_cast<uint32_t>(id);
  token.content = std::move(content);
  return token;
}

// Python reads text with any line end as one with \n.
std::string WithUnixLineEnds(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\r') {
      out += '\n';
      if (i + 1 < text.size() && text[i + 1] == '\n') ++i;
    } else {
      out += text[i];
    }
  }
  return out;
}

absl::StatusOr<std::string> ReadTemplate(const std::filesystem::path& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMaxConfigBytes));
  if (const auto bad = FindInvalidUtf8(text)) {
    return FileError(path.string(), "the file", StrCat("no UTF-8 at byte ", *bad), "UTF-8");
  }
  return WithUnixLineEnds(text);
}

bool IsFile(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::is_regular_file(path, ignored);
}

absl::StatusOr<std::vector<std::filesystem::path>> AdditionalTemplates(
    const std::filesystem::path& directory) {
  std::vector<std::filesystem::path> paths;
  std::error_code error;
  for (std::filesystem::directory_iterator it(directory / "additional_chat_templates", error), end;
       !error && it != end; it.increment(error)) {
    if (it->path().extension() == ".jinja") paths.push_back(it->path());
  }
  if (paths.size() > kMaxTemplates) {
    return FileError((directory / "additional_chat_templates").string(), "the folder",
                     StrCat(paths.size(), " templates"), StrCat("at most ", kMaxTemplates));
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

// The value of `chat_template`: a text, or a list of {name, template}. Anything else counts as
// none.
std::vector<ChatTemplate> TemplatesOf(const nlohmann::json& value) {
  if (value.is_string()) return {{"", value.get<std::string>()}};
  std::vector<ChatTemplate> templates;
  if (!value.is_array()) return templates;
  for (const nlohmann::json& choice : value) {
    if (!choice.is_object() || templates.size() == kMaxTemplates) continue;
    const auto name = choice.find("name");
    const auto text = choice.find("template");
    if (name == choice.end() || !name->is_string() || text == choice.end() || !text->is_string() ||
        name->get_ref<const std::string&>().empty()) {
      continue;
    }
    templates.push_back({name->get<std::string>(), text->get<std::string>()});
  }
  return templates;
}

}  // namespace

absl::StatusOr<std::optional<nlohmann::json>> ReadOptionalJson(const std::filesystem::path& path) {
  absl::StatusOr<nlohmann::json> json = ReadJsonObject(path, kMaxConfigBytes);
  if (json.ok()) return *std::move(json);
  if (ErrorOf(json.status()) == Error::kModelNotFound) return std::nullopt;
  return json.status();
}

absl::StatusOr<nlohmann::json> ReadTokenizerConfig(const std::filesystem::path& directory) {
  ASSIGN_OR_RETURN(std::optional<nlohmann::json> read,
                   ReadOptionalJson(directory / "tokenizer_config.json"));
  nlohmann::json config = std::move(read).value_or(nlohmann::json::object());
  if (config.contains("added_tokens_decoder")) return config;
  ASSIGN_OR_RETURN(const std::optional<nlohmann::json> map,
                   ReadOptionalJson(directory / "special_tokens_map.json"));
  if (!map.has_value()) return config;
  for (const auto& [key, value] : map->items()) {
    nlohmann::json& own = config[key];
    if (key == "additional_special_tokens" && value.is_array() && own.is_array()) {
      own.insert(own.end(), value.begin(), value.end());  // a token twice counts once
    } else {
      own = value;
    }
  }
  return config;
}

absl::StatusOr<std::vector<AddedToken>> AddedTokensDecoder(const nlohmann::json& config,
                                                           std::string_view file) {
  std::vector<AddedToken> tokens;
  const auto decoder = config.find("added_tokens_decoder");
  if (decoder == config.end() || decoder->is_null()) return tokens;
  if (!decoder->is_object() || decoder->size() > kMaxAddedTokens) {
    return FileError(file, "added_tokens_decoder", KindOf(*decoder),
                     StrCat("an object with at most ", kMaxAddedTokens, " members"));
  }
  for (const auto& [key, value] : decoder->items()) {
    const std::string field = StrCat("added_tokens_decoder[", Quoted(key), "]");
    uint64_t id = 0;
    const char* const end = key.data() + key.size();
    if (const auto [stop, bad] = std::from_chars(key.data(), end, id);
        bad != std::errc() || stop != end) {
      return FileError(file, field, "this key", "an id");
    }
    const auto content = value.is_object() ? value.find("content") : value.end();
    if (!value.is_object() || content == value.end() || !content->is_string()) {
      return FileError(file, field, KindOf(value), "an object with a string content");
    }
    ASSIGN_OR_RETURN(AddedToken token, MakeToken(file, field, id, content->get<std::string>()));
    const std::array<std::pair<const char*, bool*>, 5> flags = {
        {{"special", &token.special},
         {"normalized", &token.normalized},
         {"lstrip", &token.lstrip},
         {"rstrip", &token.rstrip},
         {"single_word", &token.single_word}}};
    for (const auto& [name, flag] : flags) {
      const auto it = value.find(name);
      if (it == value.end() || it->is_null()) continue;
      if (!it->is_boolean()) {
        return FileError(file, StrCat(field, ".", name), KindOf(*it), "a boolean");
      }
      *flag = it->get<bool>();
    }
    if (!value.contains("normalized")) token.normalized = !token.special;
    tokens.push_back(std::move(token));
  }
  std::sort(tokens.begin(), tokens.end(),
            [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
  return tokens;
}

absl::StatusOr<std::vector<AddedToken>> ReadAddedTokensJson(
    const std::filesystem::path& directory) {
  const std::filesystem::path path = directory / "added_tokens.json";
  ASSIGN_OR_RETURN(const std::optional<nlohmann::json> json, ReadOptionalJson(path));
  std::vector<AddedToken> tokens;
  if (!json.has_value()) return tokens;
  if (json->size() > kMaxAddedTokens) {
    return FileError(path.string(), "the file", StrCat(json->size(), " tokens"),
                     StrCat("at most ", kMaxAddedTokens));
  }
  for (const auto& [content, id] : json->items()) {
    if (!id.is_number_unsigned()) {
      return FileError(path.string(), Quoted(content), KindOf(id), "an id, a whole number from 0");
    }
    ASSIGN_OR_RETURN(AddedToken token,
                     MakeToken(path.string(), Quoted(content), id.get<uint64_t>(), content));
    token.normalized = true;
    tokens.push_back(std::move(token));
  }
  std::sort(tokens.begin(), tokens.end(),
            [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
  return tokens;
}

std::optional<std::string> TokenContent(const nlohmann::json& token) {
  if (token.is_string()) return token.get<std::string>();
  if (!token.is_object()) return std::nullopt;
  const auto content = token.find("content");
  if (content == token.end() || !content->is_string()) return std::nullopt;
  return content->get<std::string>();
}

absl::StatusOr<std::vector<ChatTemplate>> ReadChatTemplates(const std::filesystem::path& directory,
                                                            const nlohmann::json& config) {
  // A null in tokenizer_config.json is a value: no template.
  const auto own = config.find("chat_template");
  if (own != config.end()) return TemplatesOf(*own);
  const std::filesystem::path jinja = directory / "chat_template.jinja";
  if (!IsFile(jinja)) {
    ASSIGN_OR_RETURN(const std::optional<nlohmann::json> json,
                     ReadOptionalJson(directory / "chat_template.json"));
    return TemplatesOf(json.has_value() ? json->value("chat_template", nlohmann::json())
                                        : nlohmann::json());
  }
  ASSIGN_OR_RETURN(std::string text, ReadTemplate(jinja));
  ASSIGN_OR_RETURN(const std::vector<std::filesystem::path> more, AdditionalTemplates(directory));
  std::vector<ChatTemplate> templates = {{more.empty() ? "" : "default", std::move(text)}};
  for (const std::filesystem::path& path : more) {
    ASSIGN_OR_RETURN(std::string other, ReadTemplate(path));
    templates.push_back({path.stem().string(), std::move(other)});
  }
  return templates;
}

}  // namespace quantized::tokenizer
