// Fuzz target: a README.md with front matter, and through it the heuristics on names. Metadata made
// of it holds no empty text and nothing that is not UTF-8.
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "core/base/check.h"
#include "core/hf/front_matter.h"
#include "core/source/general_metadata.h"
#include "simdjson.h"

namespace {

void CheckText(const std::string& text) {
  CHECK(!text.empty());
  CHECK(simdjson::validate_utf8(text.data(), text.size()));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace quantized;
  const std::string_view readme(reinterpret_cast<const char*>(data), size);
  const nlohmann::json card = ParseFrontMatter(readme);
  CHECK(card.is_object());
  const nlohmann::json nothing = nlohmann::json::object();
  gguf::Metadata metadata;
  AppendGeneralMetadata({.card = card,
                         .config = nothing,
                         .generation_config = nothing,
                         .directory_name = "model",
                         .parameters = 7'000'000},
                        metadata);
  for (const auto& [key, value] : metadata.entries()) {
    CHECK(key.starts_with("general."));
    if (const auto* text = std::get_if<std::string>(&value)) CheckText(*text);
  }
  return 0;
}
