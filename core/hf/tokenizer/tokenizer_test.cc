#include "core/hf/tokenizer/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "core/base/file.h"
#include "tests/support/paths.h"

namespace quantized::tokenizer {
namespace {

using ::quantized::testing::LargeGoldenDir;

constexpr uint64_t kMaxFileBytes = uint64_t{1} << 28;

nlohmann::json ReadJson(const std::filesystem::path& path) {
  const auto text = ReadFile(path, kMaxFileBytes);
  EXPECT_TRUE(text.ok()) << text.status();
  return nlohmann::json::parse(text.value_or("null"));
}

absl::StatusOr<std::unique_ptr<const Tokenizer>> Load(const std::filesystem::path& path) {
  auto file = ReadTokenizerJson(path, ModelPart::kRead);
  if (!file.ok()) return file.status();
  return Tokenizer::Create(*std::move(file));
}

// How many of `cases` have the ids that Hugging Face's tokenizers give, without and with special
// tokens.
size_t CountEqual(const Tokenizer& tokenizer, const nlohmann::json& cases) {
  size_t equal = 0;
  for (const nlohmann::json& test : cases) {
    if (!test.contains("hf")) continue;
    const std::string text = test["text"];
    SCOPED_TRACE(::testing::PrintToString(text));
    for (const bool special : {false, true}) {
      const auto ids = tokenizer.Encode(text, special);
      if (!ids.ok()) {
        ADD_FAILURE() << ids.status();
        continue;
      }
      const std::vector<uint32_t> expected = test[special ? "hf_special" : "hf"];
      EXPECT_EQ(*ids, expected);
      equal += *ids == expected;
    }
  }
  return equal;
}

TEST(TokenizerTest, EqualsHuggingFaceOnWholeVocabularies) {
  const auto large = LargeGoldenDir();
  if (!large.has_value()) GTEST_SKIP() << "QUANTIZED_GOLDEN names no folder";
  for (const std::string name : {"gpt-2", "falcon", "llama-bpe", "llama-spm", "smollm", "gemma3"}) {
    SCOPED_TRACE(name);
    const std::filesystem::path directory = *large / "hf2gguf" / "tokenizers" / name;
    std::filesystem::path json = directory / "tokenizer.json";
    // The set has no tokenizer.json of these two: it comes with the models, which QUANTIZED_MODELS
    // may hold under these names.
    if (name == "smollm" || name == "gemma3") {
      const char* models = std::getenv("QUANTIZED_MODELS");
      if (models == nullptr) continue;
      json = std::filesystem::path(models) / name / "tokenizer.json";
    }
    const auto tokenizer = Load(json);
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    const nlohmann::json vectors = ReadJson(directory / "vectors.json");
    EXPECT_EQ(CountEqual(**tokenizer, vectors["cases"]), 2 * 269u);
  }
}

}  // namespace
}  // namespace quantized::tokenizer
