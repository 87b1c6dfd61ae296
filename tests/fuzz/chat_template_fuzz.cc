// Fuzz target: a chat template over fixed conversations. Beyond not crashing, and ending, what is
// rendered is the same each time, within the bound, and UTF-8 where the conversation is.
#include <cstdint>
#include <string>
#include <string_view>

#include "core/base/check.h"
#include "core/hf/chat_template/chat_template.h"
#include "simdjson.h"

namespace {

const nlohmann::ordered_json& Conversations() {
  static const auto conversations = nlohmann::ordered_json::parse(R"([
    [{"role": "system", "content": " s \n"}, {"role": "user", "content": "Gr\u00fc\u00dfe \ud83d\ude00"},
     {"role": "assistant", "content": "<think>\nt\n</think>\n\na", "tool_calls": [
       {"id": "call00001", "function": {"name": "f", "arguments": {"b": [1, 2.5, null], "a": true}}}]}],
    [{"role": "user", "content": [{"type": "text", "text": "x"}]}],
    []
  ])");
  return conversations;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace quantized;
  const std::string_view source(reinterpret_cast<const char*>(data), size);
  const auto renderer = ChatRenderer::Create(source, {{"bos_token", "<s>"}, {"eos_token", "</s>"}});
  if (!renderer.ok()) return 0;
  for (const auto& messages : Conversations()) {
    const auto text = renderer->Render(messages, /*add_generation_prompt=*/true);
    if (!text.ok()) continue;
    CHECK(text->size() <= size_t{64} << 20);
    CHECK(simdjson::validate_utf8(text->data(), text->size()));
    const auto again = renderer->Render(messages, /*add_generation_prompt=*/true);
    CHECK(again.ok() && *again == *text);
  }
  return 0;
}
