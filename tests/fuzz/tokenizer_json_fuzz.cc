// Fuzz target: tokenizer.json. Beyond not crashing or hanging, a file that loads keeps the
// tokenizer's promises: texts and ids belong to each other one to one, and every id that a text is
// encoded to has a token.
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include "core/base/check.h"
#include "core/hf/tokenizer/pre_tokenizer_name.h"
#include "core/hf/tokenizer/tokenizer.h"

namespace {

constexpr std::string_view kText =
    "Hello  w\u00f6rld, don't <s> 12345\r\n\t\u2581\u65e5\u672c \U0001F680aaaaaaaaaaaaaaaaaaaaaaaa "
    "ab ";

void CheckVocabulary(const quantized::tokenizer::Vocabulary& vocabulary) {
  size_t texts = 0;
  for (uint32_t id = 0; id < vocabulary.end_id(); ++id) {
    const std::optional<std::string_view> text = vocabulary.TextOf(id);
    if (!text.has_value()) continue;
    CHECK(vocabulary.IdOf(*text) == id);
    ++texts;
  }
  CHECK(texts == vocabulary.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace quantized::tokenizer;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)ParseTokenizerJson(text, "fuzz.json", ModelPart::kSkip);
  auto file = ParseTokenizerJson(text, "fuzz.json", ModelPart::kRead);
  if (!file.ok()) return 0;
  CheckVocabulary(file->vocabulary);
  const PreTokenizerStructure structure = {file->pre_tokenizer, file->normalizer,
                                           file->options.ignore_merges};
  PreTokenizerNameOfStructure(structure);
  const auto tokenizer = Tokenizer::Create(*std::move(file));
  if (!tokenizer.ok()) return 0;
  const auto ids = (*tokenizer)->Encode(kText, /*add_special=*/false);
  if (!ids.ok()) return 0;
  for (const uint32_t id : *ids) {
    CHECK(id < (*tokenizer)->end_id());
    CHECK((*tokenizer)->TextOf(id).has_value());
  }
  (void)(*tokenizer)->Decode(*ids, /*skip_special=*/true);
  return 0;
}
