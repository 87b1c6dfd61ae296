// Fuzz target: tokenizer.model. Beyond not crashing, a file that is read keeps the reader's
// promises: pieces are UTF-8, not empty, all different, and one is the unknown one.
#include <cstdint>
#include <set>
#include <span>
#include <string>

#include "core/base/check.h"
#include "core/hf/tokenizer/sentencepiece_model.h"
#include "core/hf/tokenizer/unicode.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace quantized::tokenizer;
  const auto model = ParseSentencePieceModel(std::as_bytes(std::span(data, size)), "fuzz.model");
  if (!model.ok()) return 0;
  std::set<std::string> texts;
  size_t unknown = 0;
  for (const Piece& piece : model->pieces) {
    CHECK(!piece.text.empty());
    CHECK(!FindInvalidUtf8(piece.text).has_value());
    CHECK(texts.insert(piece.text).second);
    unknown += piece.type == PieceType::kUnknown;
  }
  CHECK(unknown == 1);
  return 0;
}
