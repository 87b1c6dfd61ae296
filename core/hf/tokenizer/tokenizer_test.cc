#include "core/hf/tokenizer/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "core/base/error.h"
#include "core/hf/tokenizer/test_json.h"
#include "tests/support/paths.h"

namespace quantized::tokenizer {
namespace {

using ::quantized::testing::GoldenDir;
using ::quantized::testing::LargeGoldenDir;
using ::quantized::testing::TempDir;
using ::testing::HasSubstr;

using Ids = std::vector<uint32_t>;

absl::StatusOr<std::unique_ptr<const Tokenizer>> Load(const std::filesystem::path& path) {
  auto file = ReadTokenizerJson(path, ModelPart::kRead);
  if (!file.ok()) return file.status();
  return Tokenizer::Create(*std::move(file));
}

absl::StatusOr<std::unique_ptr<const Tokenizer>> Load(const nlohmann::json& file) {
  const TempDir dir;
  WriteTestJson(dir.path() / "tokenizer.json", file);
  return Load(dir.path() / "tokenizer.json");
}

nlohmann::json ModelFile(const std::string& model) {
  return ReadTestJson(GoldenDir() / "tokenizers" / "models" / model / "tokenizer.json");
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
      const Ids expected = test[special ? "hf_special" : "hf"];
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
    const nlohmann::json vectors = ReadTestJson(directory / "vectors.json");
    EXPECT_EQ(CountEqual(**tokenizer, vectors["cases"]), 2 * 269u);
  }
}

// Tiny vocabularies with the real splitting rules of nine families.
TEST(TokenizerTest, EqualsHuggingFaceOnTinyVocabularies) {
  const std::vector<std::string> texts = ReadTestJson(GoldenDir() / "tokenizers" / "texts.json");
  size_t models = 0;
  for (const auto& model :
       std::filesystem::directory_iterator(GoldenDir() / "tokenizers" / "models")) {
    SCOPED_TRACE(model.path().filename());
    const auto tokenizer = Load(model.path() / "tokenizer.json");
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    const nlohmann::json golden = ReadTestJson(model.path() / "golden.json");
    for (size_t i = 0; i < texts.size(); ++i) {
      SCOPED_TRACE(::testing::PrintToString(texts[i]));
      const auto ids = (*tokenizer)->Encode(texts[i], /*add_special=*/true);
      ASSERT_TRUE(ids.ok()) << ids.status();
      EXPECT_EQ(*ids, golden["ids"][i].get<Ids>());
      const auto decoded = (*tokenizer)->Decode(*ids, /*skip_special=*/true);
      ASSERT_TRUE(decoded.ok()) << decoded.status();
      EXPECT_EQ(*decoded, golden["decoded"][i].get<std::string>());
    }
    ++models;
  }
  EXPECT_EQ(models, 9u);
}

// Every normalizer, pre-tokenizer, decoder, option and regular-expression construct by itself.
TEST(TokenizerTest, EqualsHuggingFaceFeatureByFeature) {
  const nlohmann::json features = ReadTestJson(GoldenDir() / "tokenizers" / "features.json");
  const std::vector<std::string> texts = features["texts"];
  ASSERT_GE(features["cases"].size(), 150u);
  for (const nlohmann::json& test : features["cases"]) {
    SCOPED_TRACE(test["name"].get<std::string>());
    nlohmann::json file = ModelFile(test["base"]);
    if (test["member"].is_string()) file[test["member"].get<std::string>()] = test["value"];
    file["model"].update(test["model"]);
    const auto tokenizer = Load(file);
    if (!tokenizer.ok()) {
      ADD_FAILURE() << tokenizer.status();
      continue;
    }
    for (size_t i = 0; i < texts.size(); ++i) {
      SCOPED_TRACE(::testing::PrintToString(texts[i]));
      const auto ids = (*tokenizer)->Encode(texts[i], /*add_special=*/true);
      ASSERT_TRUE(ids.ok()) << ids.status();
      EXPECT_EQ(*ids, test["ids"][i].get<Ids>());
      if (!test.contains("decoded")) continue;
      const auto decoded = (*tokenizer)->Decode(*ids, /*skip_special=*/false);
      ASSERT_TRUE(decoded.ok()) << decoded.status();
      EXPECT_EQ(*decoded, test["decoded"][i].get<std::string>());
    }
  }
}

TEST(TokenizerTest, EncodesLongRunsInLittleTime) {
  // One word of a quarter of a million characters; a search of all pairs for each merge would take
  // minutes.
  const auto tokenizer = Load(ModelFile("llama2-spm-sharded"));
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  for (const char* unit : {" ", "e", "er ", "\n", "\u00e9"}) {
    SCOPED_TRACE(unit);
    std::string text;
    while (text.size() < 250'000) text += unit;
    const auto ids = (*tokenizer)->Encode(text, /*add_special=*/false);
    ASSERT_TRUE(ids.ok()) << ids.status();
    const auto decoded = (*tokenizer)->Decode(*ids, /*skip_special=*/false);
    ASSERT_TRUE(decoded.ok()) << decoded.status();
    EXPECT_EQ(*decoded, text);
  }
}

TEST(TokenizerTest, RefusesTextThatIsNotUtf8) {
  const auto tokenizer = Load(ModelFile("gpt2-tiny"));
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  for (const std::string text : {"ab\xC0", "ab\xED\xA0\x80", "ab\xF4\x90\x80\x80", "ab\xE2\x82"}) {
    const auto ids = (*tokenizer)->Encode(text, /*add_special=*/false);
    ASSERT_FALSE(ids.ok());
    EXPECT_EQ(ErrorOf(ids.status()), Error::kInvalidArgument);
    EXPECT_THAT(std::string(ids.status().message()), HasSubstr("not UTF-8 at byte 2"));
  }
}

TEST(TokenizerTest, LeavesOutIdsWithoutATokenWhenDecoding) {
  const auto tokenizer = Load(ModelFile("gpt2-tiny"));
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  const auto ids = (*tokenizer)->Encode("the <|endoftext|>", /*add_special=*/false);
  ASSERT_TRUE(ids.ok()) << ids.status();
  std::vector<uint32_t> with_strangers = *ids;
  with_strangers.push_back(100'000);
  EXPECT_EQ((*tokenizer)->Decode(with_strangers, /*skip_special=*/false).value(),
            "the <|endoftext|>");
  EXPECT_EQ((*tokenizer)->Decode(with_strangers, /*skip_special=*/true).value(), "the ");
}

}  // namespace
}  // namespace quantized::tokenizer
