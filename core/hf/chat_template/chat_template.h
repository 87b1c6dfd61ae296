// Turns a conversation into the text that a model was trained on, as transformers'
// apply_chat_template does with the model's template, a Jinja program. We render a subset of Jinja
// and refuse the rest by name: docs/design/chat-templates.md. Immutable and thread-safe.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace quantized {

// Names and texts of tokens that a template may use: bos_token, eos_token, …
using TemplateTokens = std::vector<std::pair<std::string, std::string>>;

class ChatRenderer {
 public:
  // `source` is UTF-8. Errors: kValidationFailed, naming the line and what is not in the subset.
  static absl::StatusOr<ChatRenderer> Create(std::string_view source, TemplateTokens tokens);

  // The template without a name, else the one named "default", of a model directory, with the
  // tokens of its tokenizer_config.json. Errors: kModelNotFound when the model has no template;
  // kValidationFailed when a file is damaged, and as above.
  static absl::StatusOr<ChatRenderer> FromDirectory(const std::filesystem::path& directory);

  ChatRenderer(ChatRenderer&&) noexcept;
  ChatRenderer& operator=(ChatRenderer&&) noexcept;
  ~ChatRenderer();

  // `messages` is an array of objects. tools and documents are none; what changes with the day
  // (strftime_now) is undefined, so that the text does not. Errors: kInvalidArgument where the
  // template raises an error; kValidationFailed for what it cannot do with these messages.
  absl::StatusOr<std::string> Render(const nlohmann::ordered_json& messages,
                                     bool add_generation_prompt) const;

 private:
  struct Program;
  explicit ChatRenderer(std::unique_ptr<const Program> program);
  std::unique_ptr<const Program> program_;
};

}  // namespace quantized
