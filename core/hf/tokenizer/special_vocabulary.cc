#include "core/hf/tokenizer/special_vocabulary.h"

#include <algorithm>
#include <limits>
#include <span>

#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/hf/tokenizer/component_json.h"
#include "core/hf/tokenizer/file_error.h"

namespace quantized::tokenizer {
namespace {

struct RoleKey {
  std::string_view role;
  std::string_view key;
};

// The roles that have a key in GGUF ("seperator" is GGUF's spelling).
constexpr RoleKey kIdKeys[] = {
    {"bos", "tokenizer.ggml.bos_token_id"},       {"eos", "tokenizer.ggml.eos_token_id"},
    {"unk", "tokenizer.ggml.unknown_token_id"},   {"sep", "tokenizer.ggml.seperator_token_id"},
    {"pad", "tokenizer.ggml.padding_token_id"},   {"mask", "tokenizer.ggml.mask_token_id"},
    {"eot", "tokenizer.ggml.eot_token_id"},       {"eom", "tokenizer.ggml.eom_token_id"},
    {"prefix", "tokenizer.ggml.prefix_token_id"}, {"suffix", "tokenizer.ggml.suffix_token_id"},
    {"middle", "tokenizer.ggml.middle_token_id"},
};
constexpr RoleKey kAddKeys[] = {
    {"bos", "tokenizer.ggml.add_bos_token"},
    {"eos", "tokenizer.ggml.add_eos_token"},
    {"sep", "tokenizer.ggml.add_sep_token"},
};

std::string_view KeyOf(std::span<const RoleKey> rows, std::string_view role) {
  for (const RoleKey& row : rows) {
    if (row.role == role) return row.key;
  }
  return "";
}

// Empty texts, empty objects and null count as absent, as in Python.
bool Given(const nlohmann::json& value) {
  return !value.is_null() && !(value.is_string() && value.get_ref<const std::string&>().empty()) &&
         !(value.is_structured() && value.empty());
}

// item[kind].id where it is a text; else empty.
std::string ItemId(const nlohmann::json& item, const char* kind) {
  if (!item.is_object()) return "";
  const auto inner = item.find(kind);
  if (inner == item.end() || !inner->is_object()) return "";
  const auto id = inner->find("id");
  return id != inner->end() && id->is_string() ? id->get<std::string>() : "";
}

// The member where it is an array, else an empty one.
nlohmann::json ArrayMember(const nlohmann::json& object, const char* name) {
  const auto it = object.find(name);
  return it != object.end() && it->is_array() ? *it : nlohmann::json::array();
}

std::string KeySafe(std::string_view name) {
  std::string safe(name);
  for (char& c : safe) {
    const bool kept = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!kept) c = '_';
  }
  return safe;
}

}  // namespace

std::string_view TokenIdKey(std::string_view role) { return KeyOf(kIdKeys, role); }
std::string_view AddTokenKey(std::string_view role) { return KeyOf(kAddKeys, role); }

absl::StatusOr<SpecialVocabulary> SpecialVocabulary::Read(const std::filesystem::path& directory,
                                                          const TokenizerFile* file,
                                                          const nlohmann::json& config,
                                                          std::optional<uint64_t> vocab_size,
                                                          std::vector<std::string> roles) {
  SpecialVocabulary special;
  special.roles_ = std::move(roles);
  const std::filesystem::path path = directory / "tokenizer_config.json";
  ASSIGN_OR_RETURN(std::optional<nlohmann::json> read, ReadOptionalJson(path));
  special.has_tokenizer_config_ = read.has_value() && !read->empty();
  special.tokenizer_config_ = std::move(read).value_or(nlohmann::json::object());
  if (file != nullptr) {
    nlohmann::json& own = special.tokenizer_config_;
    special.bos_ = own.value("bos_token", nlohmann::json());
    special.eos_ = own.value("eos_token", nlohmann::json());
    special.cls_ = own.value("cls_token", nlohmann::json());
    special.sep_ = own.value("sep_token", nlohmann::json());
    if (!Given(special.bos_) && Given(special.cls_)) own["bos_token"] = special.bos_ = special.cls_;
    if (!Given(special.eos_) && Given(special.sep_)) own["eos_token"] = special.eos_ = special.sep_;
    special.ReadNormalizer(file->normalizer);
    special.ReadProcessor(file->post_processor);
  }
  if (special.has_tokenizer_config_) {
    RETURN_IF_ERROR(special.ReadConfiguration(directory, file, vocab_size));
  }
  const auto text_config = config.find("text_config");
  for (const std::string& role : special.roles_) {
    const std::string name = StrCat(role, "_token_id");
    nlohmann::json id = config.value(name, nlohmann::json());
    if (id.is_null() && text_config != config.end() && text_config->is_object()) {
      id = text_config->value(name, nlohmann::json());
    }
    RETURN_IF_ERROR(special.SetIdFromFile(role, id, vocab_size, "config.json"));
  }
  return special;
}

absl::Status SpecialVocabulary::ReadConfiguration(const std::filesystem::path& directory,
                                                  const TokenizerFile* file,
                                                  std::optional<uint64_t> vocab_size) {
  ASSIGN_OR_RETURN(templates_, ReadChatTemplates(directory, tokenizer_config_));
  for (const std::string& role : roles_) {
    const auto add = tokenizer_config_.find(StrCat("add_", role, "_token"));
    // Where the post-processor has spoken it is believed.
    if (add != tokenizer_config_.end() && add->is_boolean() && !HasFlag(role)) {
      SetFlag(role, add->get<bool>());
    }
    const std::optional<std::string> text =
        TokenContent(tokenizer_config_.value(StrCat(role, "_token"), nlohmann::json()));
    if (!text.has_value() || file == nullptr) continue;
    for (const AddedToken& token : file->added_tokens) {
      if (token.content != *text) continue;
      RETURN_IF_ERROR(SetIdFromFile(role, token.id, vocab_size, "tokenizer.json"));
      break;
    }
  }
  return absl::OkStatus();
}

void SpecialVocabulary::ReadNormalizer(const nlohmann::json& normalizer) {
  if (!normalizer.is_object()) return;
  const nlohmann::json type = normalizer.value("type", nlohmann::json());
  const auto flag = [&](const char* name, std::optional<bool>* out) {
    const auto it = normalizer.find(name);
    if (it == normalizer.end()) return;
    *out = it->is_boolean() ? std::optional(it->get<bool>()) : std::nullopt;
  };
  if (type == "Lowercase") {
    lowercase_ = true;
  } else if (type == "StripAccents") {
    strip_accents_ = true;
  } else if (type == "BertNormalizer") {
    flag("lowercase", &lowercase_);
    flag("strip_accents", &strip_accents_);
  } else if (type == "Sequence") {
    for (const nlohmann::json& member : ArrayMember(normalizer, "normalizers")) {
      ReadNormalizer(member);  // nested at most as deep as ReadTokenizerJson allows
    }
  }
}

void SpecialVocabulary::ReadProcessor(const nlohmann::json& post_processor) {
  if (!post_processor.is_object() || post_processor.empty()) return;
  nlohmann::json processors = nlohmann::json::array({post_processor});
  if (post_processor.contains("processors")) {
    processors = ArrayMember(post_processor, "processors");
  }
  for (const nlohmann::json& processor : processors) {
    if (!processor.is_object()) continue;
    const nlohmann::json type = processor.value("type", nlohmann::json());
    if (type == "ByteLevel") {
      for (const char* role : {"bos", "eos"}) {
        if (!HasFlag(role)) SetFlag(role, false);
      }
    } else if (type == "TemplateProcessing") {
      ReadTemplate(processor);
    } else if (type == "RobertaProcessing") {
      for (const char* role : {"bos", "eos", "sep"}) SetFlag(role, true);
      const auto text = [&](const char* name, const nlohmann::json& fallback) {
        const nlohmann::json pair = ArrayMember(processor, name);
        return pair.empty() ? fallback : pair[0];
      };
      if (!has_tokenizer_config_) continue;
      if (!Given(cls_)) tokenizer_config_["cls_token"] = cls_ = text("cls", bos_);
      if (!Given(sep_)) tokenizer_config_["sep_token"] = sep_ = text("sep", eos_);
    }
  }
}

void SpecialVocabulary::ReadTemplate(const nlohmann::json& processor) {
  const nlohmann::json single = ArrayMember(processor, "single");
  std::string first, last;
  if (single.size() > 1) {
    first = ItemId(single.front(), "SpecialToken");
    if (!first.empty()) {
      if (!has_tokenizer_config_) {
        bos_ = first;
      } else if (first != bos_ && first != cls_) {
        // A leading token that nothing names is taken for the missing bos, and for cls.
        if (!Given(bos_)) tokenizer_config_["bos_token"] = bos_ = first;
        if (!Given(cls_)) tokenizer_config_["cls_token"] = cls_ = first;
      }
      SetFlag("bos", first == bos_ || first == cls_);
    }
    last = ItemId(single.back(), "SpecialToken");
    if (!last.empty()) {
      if (!has_tokenizer_config_) {
        eos_ = last;
      } else if (last != eos_) {
        // What ends every text is the eos; the token that was called so ends a turn, or a message.
        for (const char* role : {"eot", "eom"}) {
          if (std::find(roles_.begin(), roles_.end(), role) != roles_.end()) continue;
          roles_.emplace_back(role);
          tokenizer_config_[StrCat(role, "_token")] = eos_;
          break;
        }
        tokenizer_config_["eos_token"] = eos_ = last;
      }
      SetFlag("eos", last == eos_);
    }
  }
  ReadPair(processor, first, last);
}

// The template for two texts tells whether a separator stands between them: A [sep] [sep] B.
void SpecialVocabulary::ReadPair(const nlohmann::json& processor, const std::string& first,
                                 const std::string& last) {
  nlohmann::json pair = ArrayMember(processor, "pair");
  const auto drop_front = [&] { pair.erase(pair.begin()); };
  const auto drop_back = [&] { pair.erase(pair.size() - 1); };
  if (pair.empty()) return;
  const bool has_last = !last.empty() && ItemId(pair.back(), "SpecialToken") == last;
  if (!first.empty() && ItemId(pair.front(), "SpecialToken") == first) drop_front();
  if (has_last && !pair.empty()) drop_back();
  if (pair.size() < 3 || ItemId(pair.front(), "Sequence") != "A" ||
      ItemId(pair.back(), "Sequence") != "B") {
    return;
  }
  drop_front();
  drop_back();
  const auto separates = [&](const nlohmann::json& item) {
    const std::string id = ItemId(item, "SpecialToken");
    return !id.empty() && (id == sep_ || id == eos_);
  };
  bool add = separates(pair[0]) && last.empty();
  if (pair.size() == 2 && separates(pair[1])) add = true;
  SetFlag("sep", add);
  if (add && !Given(sep_) && has_tokenizer_config_) tokenizer_config_["sep_token"] = eos_;
}

absl::Status SpecialVocabulary::SetIdFromFile(std::string_view role, const nlohmann::json& id,
                                              std::optional<uint64_t> vocab_size,
                                              std::string_view file) {
  if (!id.is_number_integer()) return absl::OkStatus();  // lists of ids are left out
  if (!id.is_number_unsigned() || id.get<uint64_t>() > std::numeric_limits<uint32_t>::max()) {
    if (id.is_number_unsigned() && vocab_size.has_value()) return absl::OkStatus();
    return FileError(file, StrCat(role, "_token_id"), id.dump(),
                     "a token id, a whole number from 0");
  }
  if (vocab_size.has_value() && id.get<uint64_t>() >= *vocab_size) return absl::OkStatus();
  SetId(role, id.get<uint32_t>());
  return absl::OkStatus();
}

void SpecialVocabulary::SetId(std::string_view role, uint32_t id) {
  for (const auto& [known, unused] : ids_) {
    if (known == role) return;
  }
  ids_.emplace_back(role, id);
}

void SpecialVocabulary::SetFlag(std::string_view role, bool value) {
  for (auto& [known, flag] : add_) {
    if (known != role) continue;
    flag = value;
    return;
  }
  add_.emplace_back(role, value);
}

bool SpecialVocabulary::HasFlag(std::string_view role) const {
  return std::any_of(add_.begin(), add_.end(),
                     [&](const auto& flag) { return flag.first == role; });
}

void SpecialVocabulary::AppendTo(gguf::Metadata& metadata) const {
  for (const auto& [role, id] : ids_) {
    const std::string_view key = TokenIdKey(role);
    if (!key.empty()) metadata.Set(key, id);
  }
  for (const auto& [role, add] : add_) {
    const std::string_view key = AddTokenKey(role);
    if (!key.empty()) metadata.Set(key, add);
  }
  // Named templates first, then their names, then the default one.
  std::string standard;
  std::vector<std::string> names;
  for (const ChatTemplate& choice : templates_) {
    const std::string name = KeySafe(choice.name);
    if (choice.text.empty()) continue;
    if (name.empty() || name == "default") {
      standard = choice.text;
      continue;
    }
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
    metadata.Set(StrCat("tokenizer.chat_template.", name), choice.text);
  }
  if (!names.empty()) metadata.Set("tokenizer.chat_templates", gguf::Array(std::move(names)));
  if (!standard.empty()) metadata.Set("tokenizer.chat_template", std::move(standard));
  if (lowercase_.has_value()) metadata.Set("tokenizer.ggml.normalizer.lowercase", *lowercase_);
  if (strip_accents_.has_value()) {
    metadata.Set("tokenizer.ggml.normalizer.strip_accents", *strip_accents_);
  }
}

}  // namespace quantized::tokenizer
