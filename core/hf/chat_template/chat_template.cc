#include "core/hf/chat_template/chat_template.h"

#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/hf/chat_template/evaluator.h"
#include "core/hf/chat_template/parser.h"
#include "core/hf/tokenizer/tokenizer_config.h"
#include "core/hf/tokenizer/unicode.h"

namespace quantized {
namespace {

constexpr size_t kMaxTemplateBytes = size_t{1} << 20;
constexpr const char* kRoles[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                  "pad_token", "cls_token", "mask_token"};

TemplateTokens TokensOf(const nlohmann::json& config) {
  TemplateTokens tokens;
  for (const char* role : kRoles) {
    const auto it = config.find(role);
    if (it == config.end()) continue;
    if (const auto text = tokenizer::TokenContent(*it)) tokens.emplace_back(role, *text);
  }
  return tokens;
}

}  // namespace

struct ChatRenderer::Program {
  jinja::Block block;
  TemplateTokens tokens;
};

ChatRenderer::ChatRenderer(std::unique_ptr<const Program> program) : program_(std::move(program)) {}
ChatRenderer::ChatRenderer(ChatRenderer&&) noexcept = default;
ChatRenderer& ChatRenderer::operator=(ChatRenderer&&) noexcept = default;
ChatRenderer::~ChatRenderer() = default;

absl::StatusOr<ChatRenderer> ChatRenderer::Create(std::string_view source, TemplateTokens tokens) {
  if (source.size() > kMaxTemplateBytes) {
    return MakeError(
        Error::kValidationFailed,
        StrCat("chat template: ", source.size(), " bytes, expected at most ", kMaxTemplateBytes));
  }
  if (const auto bad = tokenizer::FindInvalidUtf8(source)) {
    return MakeError(Error::kValidationFailed,
                     StrCat("chat template: no UTF-8 at byte ", *bad, ", expected UTF-8"));
  }
  auto program = std::make_unique<Program>();
  ASSIGN_OR_RETURN(program->block, jinja::Parse(source), << "chat template");
  program->tokens = std::move(tokens);
  return ChatRenderer(std::move(program));
}

absl::StatusOr<ChatRenderer> ChatRenderer::FromDirectory(const std::filesystem::path& directory) {
  ASSIGN_OR_RETURN(const nlohmann::json config, tokenizer::ReadTokenizerConfig(directory));
  ASSIGN_OR_RETURN(const std::vector<tokenizer::ChatTemplate> templates,
                   tokenizer::ReadChatTemplates(directory, config));
  for (const std::string_view name : {"", "default"}) {
    for (const tokenizer::ChatTemplate& found : templates) {
      if (found.name == name) return Create(found.text, TokensOf(config));
    }
  }
  return MakeError(Error::kModelNotFound,
                   StrCat(directory.string(), ": the model has no chat template"),
                   "give conversations as text, or add chat_template.jinja to the model");
}

absl::StatusOr<std::string> ChatRenderer::Render(const nlohmann::ordered_json& messages,
                                                 bool add_generation_prompt) const {
  std::vector<std::pair<std::string, jinja::Value>> variables;
  ASSIGN_OR_RETURN(jinja::Value value, jinja::FromJson(messages), << "messages");
  variables.emplace_back("messages", std::move(value));
  variables.emplace_back("tools", jinja::None{});
  variables.emplace_back("documents", jinja::None{});
  variables.emplace_back("add_generation_prompt", add_generation_prompt);
  for (const auto& [name, text] : program_->tokens) variables.emplace_back(name, text);
  ASSIGN_OR_RETURN(std::string text, jinja::Evaluate(program_->block, std::move(variables)),
                   << "chat template");
  return text;
}

}  // namespace quantized
