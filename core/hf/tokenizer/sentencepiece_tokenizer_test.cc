#include "core/hf/tokenizer/sentencepiece_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <utility>

#include "core/base/error.h"
#include "core/hf/tokenizer/test_json.h"
#include "core/hf/tokenizer/tokenizer.h"
#include "tests/support/paths.h"

namespace quantized::tokenizer {
namespace {

using ::quantized::testing::GoldenDir;
using ::quantized::testing::LargeGoldenDir;
using ::quantized::testing::TempDir;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Ids = std::vector<uint32_t>;

// The tokenizer of `model`'s files without tokenizer.json, with `changes` in its
// tokenizer_config.json.
absl::StatusOr<std::unique_ptr<const Tokenizer>> FromModelFile(const std::filesystem::path& model,
                                                               const nlohmann::json& changes) {
  const TempDir dir;
  for (const char* name : {"tokenizer.model", "added_tokens.json"}) {
    if (std::filesystem::exists(model / name)) {
      std::filesystem::copy(model / name, dir.path() / name);
    }
  }
  nlohmann::json config = ReadTestJson(model / "tokenizer_config.json");
  config.update(changes);
  WriteTestJson(dir.path() / "tokenizer_config.json", config);
  return Tokenizer::FromDirectory(dir.path(), "");
}

// tokenizer.json of these models is what the converters made; "legacy" is how Llama's prefixes are.
TEST(SentencePieceTokenizerTest, EqualsTokenizerJson) {
  const std::vector<std::string> texts = ReadTestJson(GoldenDir() / "tokenizers" / "texts.json");
  for (const char* name : {"llama2-spm-sharded", "gemma-3-tiny-it"}) {
    SCOPED_TRACE(name);
    const std::filesystem::path model = GoldenDir() / "tokenizers" / "models" / name;
    const auto tokenizer = FromModelFile(model, {{"legacy", true}});
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    const nlohmann::json golden = ReadTestJson(model / "golden.json");
    for (size_t i = 0; i < texts.size(); ++i) {
      SCOPED_TRACE(::testing::PrintToString(texts[i]));
      const auto ids = (*tokenizer)->Encode(texts[i], /*add_special=*/true);
      ASSERT_TRUE(ids.ok()) << ids.status();
      EXPECT_EQ(*ids, golden["ids"][i].get<Ids>());
      EXPECT_EQ((*tokenizer)->Decode(*ids, /*skip_special=*/true).value(),
                golden["decoded"][i].get<std::string>());
    }
  }
}

TEST(SentencePieceTokenizerTest, EqualsHuggingFaceOnWholeVocabularies) {
  const auto large = LargeGoldenDir();
  if (!large.has_value()) GTEST_SKIP() << "QUANTIZED_GOLDEN names no folder";
  const std::filesystem::path model = *large / "hf2gguf" / "tokenizers" / "llama-spm";
  const auto tokenizer = FromModelFile(model, {{"legacy", true}});
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  size_t cases = 0;
  const nlohmann::json vectors = ReadTestJson(model / "vectors.json");
  for (const nlohmann::json& test : vectors["cases"]) {
    if (!test.contains("hf")) continue;
    SCOPED_TRACE(::testing::PrintToString(test["text"].get<std::string>()));
    EXPECT_EQ((*tokenizer)->Encode(test["text"].get<std::string>(), true).value(),
              test["hf_special"].get<Ids>());
    ++cases;
  }
  EXPECT_EQ(cases, 269u);
}

// Pieces with ids in order, behind <unk>.
SentencePieceModel ModelOf(const std::vector<std::pair<std::string, float>>& pieces) {
  SentencePieceModel model;
  model.kind = SentencePieceModel::Kind::kBpe;
  model.pieces.push_back({"<unk>", 0, PieceType::kUnknown});
  for (const auto& [text, score] : pieces) model.pieces.push_back({text, score});
  return model;
}

const nlohmann::json kNoConfig = nlohmann::json::object();

TEST(SentencePieceTokenizerTest, MergesAreRankedByScoreThenByIds) {
  // abc is a+bc and ab+c; ca has a better score; ä is a letter of two bytes.
  const auto file = TokenizerFileOf(ModelOf({{"a", -9},
                                             {"b", -9},
                                             {"c", -9},
                                             {"ab", -3},
                                             {"bc", -3},
                                             {"abc", -2},
                                             {"ca", -1},
                                             {"\u00e4", -9},
                                             {"\u00e4\u00e4", -3}}),
                                    "LlamaTokenizer", kNoConfig, "m");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_THAT(file->merges, ElementsAre(Merge(3, 1), Merge(1, 5), Merge(4, 3), Merge(1, 2),
                                        Merge(2, 3), Merge(8, 8)));
}

std::string NormalizerOf(std::string_view tokenizer_class, const nlohmann::json& config) {
  const auto file = TokenizerFileOf(ModelOf({{"a", -1}}), tokenizer_class, config, "m");
  return file->normalizer.dump() + file->pre_tokenizer.dump();
}

TEST(SentencePieceTokenizerTest, ClassesAndFlagsDecideOnThePrefix) {
  EXPECT_THAT(NormalizerOf("LlamaTokenizer", kNoConfig), HasSubstr("Prepend"));
  const std::string modern = NormalizerOf("", {{"legacy", false}});
  EXPECT_THAT(modern, HasSubstr("Metaspace"));
  EXPECT_THAT(modern, HasSubstr("\"first\""));
  EXPECT_THAT(NormalizerOf("", {{"legacy", false}, {"add_prefix_space", false}}),
              HasSubstr("\"never\""));
  EXPECT_THAT(NormalizerOf("", {{"add_prefix_space", false}}),
              ::testing::Not(HasSubstr("Prepend")));
  EXPECT_THAT(NormalizerOf("GemmaTokenizer", kNoConfig), HasSubstr("MergedWithPrevious"));
}

TEST(SentencePieceTokenizerTest, AddedTokensAreControlAndUserDefinedPieces) {
  SentencePieceModel model = ModelOf({{"a", -1}, {"<0x09>", 0}, {"<end_of_turn>", 0}, {"<c>", 0}});
  model.pieces[2].type = PieceType::kByte;
  model.pieces[3].type = PieceType::kUserDefined;
  model.pieces[4].type = PieceType::kControl;
  const auto llama = TokenizerFileOf(model, "LlamaTokenizer", kNoConfig, "m");
  ASSERT_EQ(llama->added_tokens.size(), 2u);
  EXPECT_EQ(llama->added_tokens[0].id, 3u);
  EXPECT_FALSE(llama->added_tokens[0].special);
  EXPECT_TRUE(llama->added_tokens[1].special);
  EXPECT_FALSE(llama->added_tokens[1].normalized);
  EXPECT_EQ(llama->options.unk_token, "<unk>");
  EXPECT_EQ(llama->vocabulary.IdOf("\t"), std::nullopt);
  const auto gemma = TokenizerFileOf(model, "GemmaTokenizer", kNoConfig, "m");
  EXPECT_TRUE(gemma->added_tokens[0].special);
  EXPECT_EQ(gemma->vocabulary.IdOf("\t"), 2u);
}

TEST(SentencePieceTokenizerTest, RefusesOtherModels) {
  SentencePieceModel model = ModelOf({{"a", -1}});
  model.kind = SentencePieceModel::Kind::kUnigram;
  EXPECT_EQ(std::string(TokenizerFileOf(model, "", kNoConfig, "m").status().message()),
            "m: trainer_spec.model_type: found 1, expected 2, byte-pair encoding");
  EXPECT_EQ(
      std::string(TokenizerFileOf(ModelOf({{"a", NAN}}), "", kNoConfig, "m").status().message()),
      "m: pieces[1].score: found nan, expected a number");
  model = ModelOf({{std::string(70'000, 'a'), -1}});
  EXPECT_EQ(std::string(TokenizerFileOf(model, "", kNoConfig, "m").status().message()),
            "m: pieces: found longer ones, expected pieces of a few characters");
}

}  // namespace
}  // namespace quantized::tokenizer
