// Which files go with a model's weights, by their names: tokenizer, chat templates, generation
// settings, processors, licence. A download fetches them, a quantized checkpoint takes them over.
#pragma once

#include <string_view>

namespace quantized {

// Whether `path`, relative to the model's folder, is one. Never config.json, README.md, weights,
// their indices, or code.
bool IsCompanionName(std::string_view path);

// The folder of further chat templates; its *.jinja are companions.
inline constexpr std::string_view kTemplateFolder = "additional_chat_templates";

}  // namespace quantized
