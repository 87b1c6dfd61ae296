#include "core/hf/tokenizer/auto_tokenizer.h"

#include <array>
#include <optional>
#include <utility>

#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/hf/tokenizer/file_error.h"
#include "core/hf/tokenizer/post_processor.h"
#include "core/hf/tokenizer/sentencepiece_model.h"
#include "core/hf/tokenizer/sentencepiece_tokenizer.h"
#include "core/hf/tokenizer/tokenizer.h"
#include "core/hf/tokenizer/tokenizer_config.h"

namespace quantized::tokenizer {
namespace {

constexpr std::array<std::string_view, 7> kRoles = {
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"};

// What transformers' classes take for granted.
struct ClassRow {
  std::string_view name;      // without "Fast"
  bool wraps;                 // replaces the file's post-processor by bos and eos as its flags say
  bool add_bos;               // the flag where add_bos_token is absent
  std::string_view roles[5];  // defaults of bos, eos, unk, sep, pad
};
constexpr std::string_view kEndOfText = "<|endoftext|>";
constexpr ClassRow kClasses[] = {
    {"LlamaTokenizer", true, true, {"<s>", "</s>", "<unk>", "", ""}},
    {"CodeLlamaTokenizer", true, true, {"<s>", "</s>", "<unk>", "", ""}},
    {"GemmaTokenizer", true, true, {"<bos>", "<eos>", "<unk>", "", "<pad>"}},
    {"CohereTokenizer", true, true, {"<BOS_TOKEN>", "<|END_OF_TURN_TOKEN|>", "<UNK>", "", ""}},
    {"GPTNeoXTokenizer", true, false, {kEndOfText, kEndOfText, kEndOfText, "", ""}},
    {"GPT2Tokenizer", false, false, {kEndOfText, kEndOfText, kEndOfText, "", ""}},
    {"Qwen2Tokenizer", false, false, {"", kEndOfText, kEndOfText, "", kEndOfText}},
};

// The class that a model type stands for where the files name none.
constexpr std::pair<std::string_view, std::string_view> kClassOfModel[] = {
    {"llama", "LlamaTokenizer"},       {"mistral", "LlamaTokenizer"}, {"mixtral", "LlamaTokenizer"},
    {"gemma", "GemmaTokenizer"},       {"gemma2", "GemmaTokenizer"},  {"gemma3", "GemmaTokenizer"},
    {"gemma3_text", "GemmaTokenizer"}, {"qwen2", "Qwen2Tokenizer"},   {"qwen3", "Qwen2Tokenizer"},
};

std::string ClassName(const nlohmann::json& config, std::string_view model_type) {
  const auto name = config.find("tokenizer_class");
  if (name != config.end() && name->is_string()) {
    std::string text = name->get<std::string>();
    if (text.ends_with("Fast")) text.resize(text.size() - 4);
    return text;
  }
  return std::string(TokenizerClassOf(model_type));
}

const ClassRow* FindClass(std::string_view name) {
  for (const ClassRow& row : kClasses) {
    if (row.name == name) return &row;
  }
  return nullptr;
}

// The text of a role: what the file says, where it says anything, else the class's default.
std::optional<std::string> RoleToken(const nlohmann::json& config, const ClassRow* row,
                                     size_t role) {
  const auto own = config.find(std::string(kRoles[role]));
  if (own != config.end()) return TokenContent(*own);
  if (row == nullptr || role >= std::size(row->roles) || row->roles[role].empty()) {
    return std::nullopt;
  }
  return std::string(row->roles[role]);
}

bool Flag(const nlohmann::json& config, const char* name, bool fallback) {
  const auto it = config.find(name);
  return it != config.end() && it->is_boolean() ? it->get<bool>() : fallback;
}

absl::Status ReplacePostProcessor(const nlohmann::json& config, const ClassRow& row,
                                  TokenizerFile* file) {
  const AddedToken* around[2] = {nullptr, nullptr};
  const bool wanted[2] = {Flag(config, "add_bos_token", row.add_bos),
                          Flag(config, "add_eos_token", false)};
  for (size_t role = 0; role < 2; ++role) {
    if (!wanted[role]) continue;
    const std::optional<std::string> text = RoleToken(config, &row, role);
    for (const AddedToken& token : file->added_tokens) {
      if (text == token.content) around[role] = &token;
    }
    if (around[role] == nullptr) {
      return FileError("tokenizer_config.json", kRoles[role],
                       text.has_value() ? Quoted(*text) : "nothing",
                       StrCat("a token, since class ", row.name, " adds it to every text"));
    }
  }
  file->post_processor = TemplateAround(around[0], around[1]);
  return absl::OkStatus();
}

}  // namespace

std::string_view TokenizerClassOf(std::string_view model_type) {
  for (const auto& [model, tokenizer_class] : kClassOfModel) {
    if (model == model_type) return tokenizer_class;
  }
  return "";
}

std::vector<std::string> SpecialTokens(const nlohmann::json& config, std::string_view model_type) {
  const ClassRow* row = FindClass(ClassName(config, model_type));
  std::vector<std::string> tokens;
  for (size_t role = 0; role < kRoles.size(); ++role) {
    if (const auto text = RoleToken(config, row, role)) tokens.push_back(*text);
  }
  const auto more = config.find("additional_special_tokens");
  if (more != config.end() && more->is_array()) {
    for (const nlohmann::json& token : *more) {
      if (const auto text = TokenContent(token)) tokens.push_back(*text);
    }
  }
  return tokens;
}

absl::StatusOr<TokenizerFile> ReadTokenizerFiles(const std::filesystem::path& directory,
                                                 const nlohmann::json& config,
                                                 std::string_view model_type) {
  absl::StatusOr<TokenizerFile> file =
      ReadTokenizerJson(directory / "tokenizer.json", ModelPart::kRead);
  if (file.ok() || ErrorOf(file.status()) != Error::kModelNotFound) return file;
  file = ReadVocabularyAndMerges(directory, ClassName(config, model_type));
  if (!file.ok() && ErrorOf(file.status()) == Error::kModelNotFound) {
    return MakeError(Error::kModelNotFound,
                     StrCat(directory.string(), ": found neither tokenizer.json nor ",
                            "vocab.json and merges.txt"),
                     "add the tokenizer files of the model to its directory");
  }
  return file;
}

absl::StatusOr<TokenizerFile> ReadAnyTokenizerFiles(const std::filesystem::path& directory,
                                                    const nlohmann::json& config,
                                                    std::string_view model_type) {
  absl::StatusOr<TokenizerFile> file = ReadTokenizerFiles(directory, config, model_type);
  if (file.ok() || ErrorOf(file.status()) != Error::kModelNotFound) return file;
  const std::filesystem::path path = directory / "tokenizer.model";
  const absl::StatusOr<SentencePieceModel> model = ReadSentencePieceModel(path);
  if (!model.ok()) {
    return ErrorOf(model.status()) == Error::kModelNotFound ? file.status() : model.status();
  }
  ASSIGN_OR_RETURN(TokenizerFile made,
                   TokenizerFileOf(*model, ClassName(config, model_type), config, path));
  ASSIGN_OR_RETURN(const std::vector<AddedToken> more, ReadAddedTokensJson(directory));
  made.added_tokens.insert(made.added_tokens.end(), more.begin(), more.end());
  return made;
}

absl::Status ApplyTokenizerConfig(const nlohmann::json& config, std::string_view model_type,
                                  TokenizerFile* file) {
  ASSIGN_OR_RETURN(const std::vector<AddedToken> more,
                   AddedTokensDecoder(config, "tokenizer_config.json"));
  std::vector<AddedToken>& added = file->added_tokens;
  added.insert(added.end(), more.begin(), more.end());
  for (const std::string& text : SpecialTokens(config, model_type)) {
    if (text.size() > kMaxAddedTokenBytes) {
      return FileError("tokenizer_config.json", "special tokens", Quoted(text),
                       StrCat("at most ", kMaxAddedTokenBytes, " bytes"));
    }
    AddedToken token;
    token.content = text;
    token.special = true;
    added.push_back(std::move(token));
  }
  ASSIGN_OR_RETURN(added, ResolveAddedTokens(added, file->vocabulary));

  const ClassRow* row = FindClass(ClassName(config, model_type));
  if (row != nullptr && row->wraps) {
    RETURN_IF_ERROR(ReplacePostProcessor(config, *row, file));
  }
  nlohmann::json& pre_tokenizer = file->pre_tokenizer;
  if (pre_tokenizer.is_object() && pre_tokenizer.value("type", nlohmann::json()) == "ByteLevel") {
    // The wrapping classes leave it as it is unless told; for the others absent means false.
    const bool kept =
        row != nullptr && row->wraps && Flag(pre_tokenizer, "add_prefix_space", false);
    pre_tokenizer["add_prefix_space"] = Flag(config, "add_prefix_space", kept);
  }
  return absl::OkStatus();
}

}  // namespace quantized::tokenizer
