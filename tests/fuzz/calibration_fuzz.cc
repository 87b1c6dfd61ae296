// Fuzz target: calibration data in each of its forms; the first byte tells which. Beyond not
// crashing, what is read keeps the reader's promises: documents have content and a place, texts and
// messages are UTF-8, ids fit; and their ids, cut into windows, give whole windows with the BOS.
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "core/base/check.h"
#include "core/calibrate/calibration_documents.h"
#include "core/calibrate/calibration_set.h"
#include "simdjson.h"

namespace quantized {
namespace {

void CheckUtf8(const std::string& text) {
  CHECK(simdjson::validate_utf8(text.data(), text.size()));
}

void CheckMessages(const nlohmann::ordered_json& messages) {
  CHECK(messages.is_array() && !messages.empty());
  for (const auto& message : messages) {
    CHECK(message.is_object() && message.at("role").is_string());
    const auto content = message.find("content");
    CHECK(content == message.end() || content->is_null() || content->is_string() ||
          content->is_array());
  }
  CheckUtf8(messages.dump());
}

// Ids stand in for a tokenizer's: the bytes of what has none.
TokenIds IdsOf(const CalibrationDocument& document) {
  if (const auto* ids = std::get_if<TokenIds>(&document.content)) return *ids;
  const auto* text = std::get_if<std::string>(&document.content);
  const std::string bytes = text ? *text : std::get<ChatMessages>(document.content).messages.dump();
  return TokenIds(bytes.begin(), bytes.end());
}

void CheckDocument(const CalibrationDocument& document) {
  CHECK(document.place.starts_with("line ") || document.place.starts_with("record "));
  if (const auto* text = std::get_if<std::string>(&document.content)) {
    CHECK(text->find_first_not_of(" \t\r\n\f\v") != std::string::npos);
    CheckUtf8(*text);
  } else if (const auto* chat = std::get_if<ChatMessages>(&document.content)) {
    CheckMessages(chat->messages);
  } else {
    CHECK(!std::get<TokenIds>(document.content).empty());
  }
}

void CheckWindows(const TokenizedDocuments& data, const CalibrationOptions& options) {
  const auto set = MakeCalibrationSet(data, options);
  const auto held_out = MakeHeldOutSet(data, options, 3);
  CHECK(held_out.ok());
  size_t ids = 0;
  for (const auto* windows : {set.ok() ? &set->windows : nullptr, &held_out->windows}) {
    if (windows == nullptr) continue;
    for (const auto& window : *windows) {
      CHECK(window.size() == options.sequence_length && window[0] == data.marks.prefix[0]);
      ids += window.size() - 1;
    }
  }
  CHECK(ids <= held_out->tokens_available);
}

}  // namespace
}  // namespace quantized

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace quantized;
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto format = static_cast<CalibrationFormat>(data[0] % 3);
  const auto documents = ParseCalibrationDocuments(text, "fuzz", format);
  if (!documents.ok()) return 0;
  CHECK(!documents->documents.empty());
  TokenizedDocuments tokenized;
  tokenized.marks = {7, {5}};
  for (const CalibrationDocument& document : documents->documents) {
    CheckDocument(document);
    tokenized.documents.push_back(IdsOf(document));
  }
  CheckWindows(tokenized, {.samples = 4, .sequence_length = 8, .seed = size});
  return 0;
}
