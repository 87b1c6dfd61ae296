#include "core/rebuild/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"
#include "core/hf/tokenizer/test_json.h"
#include "core/hf/tokenizer/tokenizer.h"
#include "core/hf/tokenizer/tokenizer_json.h"
#include "core/hf/tokenizer/tokenizer_metadata.h"
#include "core/rebuild/tokenizer_config.h"
#include "nlohmann/json.hpp"
#include "tests/support/paths.h"

namespace quantized {
namespace {

using nlohmann::json;
using tokenizer::Tokenizer;

using ::testing::HasSubstr;

using Ids = std::vector<uint32_t>;
using Texts = std::vector<std::string>;

// "ab" and a blank before it, a control token at the start and a user-defined one behind a row
// without a token.
gguf::Metadata ByteLevel() {
  gguf::Metadata metadata;
  metadata.Set("tokenizer.ggml.model", std::string("gpt2"));
  metadata.Set("tokenizer.ggml.pre", std::string("smollm"));
  metadata.Set("tokenizer.ggml.tokens", gguf::Array(Texts{"<|end|>", "a", "b", "\u0120", "ab",
                                                          "\u0120ab", "[PAD6]", "<x>"}));
  metadata.Set("tokenizer.ggml.token_type",
               gguf::Array(std::vector<int32_t>{3, 1, 1, 1, 1, 1, 5, 4}));
  metadata.Set("tokenizer.ggml.merges", gguf::Array(Texts{"a b", "\u0120 ab"}));
  metadata.Set("tokenizer.ggml.eos_token_id", uint32_t{0});
  return metadata;
}

// A vocabulary of SentencePiece's with a user-defined run of blanks, written as Gemma's are.
gguf::Metadata SentencePiece() {
  gguf::Metadata metadata;
  metadata.Set("tokenizer.ggml.model", std::string("llama"));
  metadata.Set("tokenizer.ggml.tokens", gguf::Array(Texts{"<unk>", "<s>", "</s>", "  ", "<0x41>",
                                                          "\u2581", "a", "\u2581a", "[PAD8]"}));
  metadata.Set("tokenizer.ggml.scores",
               gguf::Array(std::vector<float>{-1000, -1000, -1000, -1000, 0, -2, -3, -1, -10000}));
  metadata.Set("tokenizer.ggml.token_type",
               gguf::Array(std::vector<int32_t>{2, 3, 3, 4, 6, 1, 1, 1, 5}));
  metadata.Set("tokenizer.ggml.bos_token_id", uint32_t{1});
  metadata.Set("tokenizer.ggml.eos_token_id", uint32_t{2});
  return metadata;
}

Ids Encode(const Architecture& architecture, const gguf::Metadata& metadata,
           std::string_view text) {
  auto file = RebuildTokenizer(architecture, metadata);
  EXPECT_TRUE(file.ok()) << file.status();
  if (!file.ok()) return {};
  const auto made = Tokenizer::Create(*std::move(file));
  EXPECT_TRUE(made.ok()) << made.status();
  const auto ids = made.ok() ? (*made)->Encode(text, /*add_special=*/true) : made.status();
  EXPECT_TRUE(ids.ok()) << ids.status();
  return ids.ok() ? *ids : Ids();
}

json Config(const Architecture& architecture, const gguf::Metadata& metadata) {
  const auto file = RebuildTokenizer(architecture, metadata);
  EXPECT_TRUE(file.ok()) << file.status();
  const auto config = TokenizerConfig(architecture, metadata, *file);
  EXPECT_TRUE(config.ok()) << config.status();
  return config.ok() ? *config : json();
}

TEST(RebuildTokenizerTest, ByteLevelKeepsIdsAndAddedTokens) {
  EXPECT_EQ(Encode(kLlama, ByteLevel(), "ab ab<x>a<|end|>"), Ids({4, 5, 7, 1, 0}));
  const auto file = RebuildTokenizer(kLlama, ByteLevel());
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->vocabulary.TextOf(6), std::nullopt);
  ASSERT_EQ(file->added_tokens.size(), 2u);
  EXPECT_TRUE(file->added_tokens[0].special);
  EXPECT_FALSE(file->added_tokens[1].special);
}

TEST(RebuildTokenizerTest, FlagsSayWhatGoesAroundATextElseTheKindDoes) {
  gguf::Metadata metadata = ByteLevel();
  EXPECT_EQ(Encode(kLlama, metadata, "a"), Ids({1}));
  metadata.Set("tokenizer.ggml.add_eos_token", true);
  EXPECT_EQ(Encode(kLlama, metadata, "a"), Ids({1, 0}));
  metadata.Set("tokenizer.ggml.pre", std::string("llama-bpe"));
  metadata.Set("tokenizer.ggml.bos_token_id", uint32_t{7});
  EXPECT_EQ(Encode(kLlama, metadata, "a"), Ids({7, 1, 0}));
  metadata.Set("tokenizer.ggml.add_bos_token", false);
  EXPECT_EQ(Encode(kLlama, metadata, "a"), Ids({1, 0}));
}

TEST(RebuildTokenizerTest, TheNameOfAnotherPreTokenizerMayBeGiven) {
  gguf::Metadata metadata = ByteLevel();
  metadata.Remove("tokenizer.ggml.pre");
  EXPECT_FALSE(RebuildTokenizer(kLlama, metadata).ok());
  const auto file = RebuildTokenizer(kLlama, metadata, "qwen2");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->normalizer, json({{"type", "NFC"}}));
}

TEST(RebuildTokenizerTest, SentencePieceIsLlamasOrGemmas) {
  // Llama's class puts a blank before the text, Gemma's none.
  EXPECT_EQ(Encode(kLlama, SentencePiece(), "a"), Ids({1, 7}));
  EXPECT_EQ(Encode(kGemma3, SentencePiece(), "a"), Ids({1, 6}));
  gguf::Metadata metadata = SentencePiece();
  metadata.Set("tokenizer.ggml.add_space_prefix", false);
  EXPECT_EQ(Encode(kLlama, metadata, "a"), Ids({1, 6}));
  // A user-defined piece comes before all others, and in Gemma's file has marks for blanks.
  EXPECT_EQ(Encode(kGemma3, SentencePiece(), "  a"), Ids({1, 3, 6}));
  EXPECT_EQ(Encode(kGemma3, SentencePiece(), "A"), Ids({1, 4}));
}

TEST(RebuildTokenizerTest, SentencePieceModelEndsWithTheLastToken) {
  const auto model = RebuildSentencePieceModel(kGemma3, SentencePiece());
  ASSERT_TRUE(model.ok()) << model.status();
  ASSERT_EQ(model->pieces.size(), 8u);
  EXPECT_EQ(model->pieces[3].text, "\u2581\u2581");
  EXPECT_EQ(model->pieces[3].score, 0);
  EXPECT_EQ(model->pieces[7].score, -1);
  EXPECT_EQ(model->pieces[0].type, tokenizer::PieceType::kUnknown);
}

TEST(RebuildTokenizerTest, Phi3sTokensTakeBlanksBehindThemAlong) {
  const auto file = RebuildTokenizer(kPhi3, SentencePiece());
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_FALSE(file->added_tokens[1].rstrip) << file->added_tokens[1].content;
  EXPECT_TRUE(file->added_tokens[2].rstrip) << file->added_tokens[2].content;
}

TEST(RebuildTokenizerTest, ConfigHasRolesTemplatesAndTheClass) {
  gguf::Metadata metadata = ByteLevel();
  metadata.Set("llama.context_length", uint32_t{2048});
  metadata.Set("tokenizer.ggml.bos_token_id", uint32_t{1});  // no special token
  metadata.Set("tokenizer.ggml.add_bos_token", false);
  metadata.Set("tokenizer.chat_template", std::string("{{ messages }}\r\n"));
  json config = Config(kLlama, metadata);
  EXPECT_EQ(config["tokenizer_class"], "PreTrainedTokenizerFast");
  EXPECT_EQ(config["eos_token"], "<|end|>");
  EXPECT_TRUE(config["bos_token"].is_null());
  EXPECT_EQ(config["add_bos_token"], false);
  EXPECT_FALSE(config.contains("add_eos_token"));
  EXPECT_EQ(config["model_max_length"], 2048);
  EXPECT_EQ(config["chat_template"], "{{ messages }}\r\n");
  EXPECT_EQ(config["added_tokens_decoder"]["7"]["special"], false);
  metadata.Set("tokenizer.chat_template.tool_use", std::string("tools"));
  config = Config(kPhi3, metadata);
  EXPECT_EQ(config["tokenizer_class"], "GPT2Tokenizer");
  EXPECT_EQ(config["chat_template"],
            json({{{"name", "default"}, {"template", "{{ messages }}\r\n"}},
                  {{"name", "tool_use"}, {"template", "tools"}}}));
}

// Whole vocabularies: from their files to metadata, from that to tokenizer.json, and from its text
// to the ids of Hugging Face's tokenizers.
struct WholeVocabulary {
  std::string_view name;
  const Architecture& architecture;
};

TEST(RebuildTokenizerTest, EncodesAsHuggingFaceOnWholeVocabularies) {
  const auto large = testing::LargeGoldenDir();
  if (!large) GTEST_SKIP() << "QUANTIZED_GOLDEN names no folder with the large golden data";
  const WholeVocabulary vocabularies[] = {{"gpt-2", kLlama},     {"falcon", kLlama},
                                          {"llama-bpe", kLlama}, {"llama-spm", kLlama},
                                          {"smollm", kLlama},    {"gemma3", kGemma3}};
  for (const auto& [name, architecture] : vocabularies) {
    SCOPED_TRACE(std::string(name));
    const std::filesystem::path golden = *large / "hf2gguf/tokenizers" / name;
    std::filesystem::path directory = golden;
    // The files of these two come with the models, which QUANTIZED_MODELS may hold.
    if (!std::filesystem::exists(golden / "tokenizer.json")) {
      const char* models = std::getenv("QUANTIZED_MODELS");
      if (models == nullptr) continue;
      directory = std::filesystem::path(models) / name;
    }
    const json config = tokenizer::ReadTestJson(directory / "config.json");
    gguf::Metadata metadata;
    ASSERT_TRUE(AppendTokenizerMetadata(
                    directory, {config, config["vocab_size"], std::string(architecture.gguf_name)},
                    metadata)
                    .ok());
    const auto rebuilt = RebuildTokenizer(architecture, metadata);
    ASSERT_TRUE(rebuilt.ok()) << rebuilt.status();
    auto file = tokenizer::ParseTokenizerJson(tokenizer::TokenizerJsonText(*rebuilt), "written",
                                              tokenizer::ModelPart::kRead);
    ASSERT_TRUE(file.ok()) << file.status();
    const auto made = Tokenizer::Create(*std::move(file));
    ASSERT_TRUE(made.ok()) << made.status();
    const json vectors = tokenizer::ReadTestJson(golden / "vectors.json");
    size_t texts = 0;
    for (const json& test : vectors["cases"]) {
      if (!test.contains("hf")) continue;
      ++texts;
      const std::string text = test["text"];
      SCOPED_TRACE(::testing::PrintToString(text));
      EXPECT_EQ(*(*made)->Encode(text, /*add_special=*/false), test["hf"].get<Ids>());
      EXPECT_EQ(*(*made)->Encode(text, /*add_special=*/true), test["hf_special"].get<Ids>());
    }
    EXPECT_EQ(texts, 269u);
  }
}

struct Damage {
  bool is_byte_level;
  std::function<void(gguf::Metadata&)> apply;
  std::string_view message;
  Error error = Error::kValidationFailed;
};

TEST(RebuildTokenizerTest, RefusesWhatContradictsItself) {
  const auto texts = [](Texts list) { return gguf::Array(std::move(list)); };
  const auto ints = [](std::vector<int32_t> list) { return gguf::Array(std::move(list)); };
  const auto floats = [](std::vector<float> list) { return gguf::Array(std::move(list)); };
  using M = gguf::Metadata;
  const Damage damages[] = {
      {true, [](M& m) { m.Remove("tokenizer.ggml.model"); },
       "tokenizer.ggml.model: found nothing, expected gpt2 or llama"},
      {true, [](M& m) { m.Set("tokenizer.ggml.model", std::string("bert")); },
       "tokenizer.ggml.model: found \"bert\", expected gpt2 or llama",
       Error::kUnsupportedConversion},
      {true, [](M& m) { m.Remove("tokenizer.ggml.tokens"); },
       "tokenizer.ggml.tokens: found 0, expected 1 to 4194304"},
      {true, [&](M& m) { m.Set("tokenizer.ggml.tokens", ints({1})); },
       "tokenizer.ggml.tokens: found an array of 1 int32, expected an array of strings"},
      {true, [&](M& m) { m.Set("tokenizer.ggml.tokens", texts({"a"})); },
       "tokenizer.ggml.token_type: found 8, expected one for each of the 1 tokens"},
      {true,
       [&](M& m) {
         m.Set("tokenizer.ggml.tokens", texts({"a", "a", "b", "c", "ab", "d", "e", "f"}));
       },
       "tokenizer.ggml.tokens: token \"a\" is there twice, with ids 0 and 1"},
      {true,
       [&](M& m) {
         m.Set("tokenizer.ggml.tokens", texts({"a", "\xff", "b", "c", "ab", "d", "e", "f"}));
       },
       "tokenizer.ggml.tokens[1]: found \"\\xff\", expected UTF-8 text"},
      {true,
       [&](M& m) {
         m.Set("tokenizer.ggml.token_type", ints({1, 1, 1, 1, 1, 1, 1, 9}));
       },
       "tokenizer.ggml.token_type[7]: found 9, expected 1 to 6"},
      {true, [](M& m) { m.Remove("tokenizer.ggml.token_type"); },
       "tokenizer.ggml.token_type: found nothing, expected one for each of the 8 tokens"},
      {true, [](M& m) { m.Set("tokenizer.ggml.pre", std::string("default")); },
       "tokenizer.ggml.pre: found \"default\", expected a name whose rules",
       Error::kUnsupportedConversion},
      {true, [](M& m) { m.Remove("tokenizer.ggml.merges"); },
       "tokenizer.ggml.merges: found nothing, expected the merges"},
      {true,
       [&](M& m) {
         m.Set("tokenizer.ggml.merges", texts({"a b", "ab"}));
       },
       "tokenizer.ggml.merges: found \"ab\", expected two tokens that make a third"},
      {true, [&](M& m) { m.Set("tokenizer.ggml.merges", texts({"b a"})); },
       "tokenizer.ggml.merges: found \"b a\", expected two tokens that make a third"},
      {true, [](M& m) { m.Set("tokenizer.ggml.eos_token_id", uint32_t{8}); },
       "tokenizer.ggml.eos_token_id: found 8, expected an id below 8"},
      {true, [](M& m) { m.Set("tokenizer.ggml.add_bos_token", true); },
       "tokenizer.ggml.bos_token_id: found nothing, expected the id of a token, since "
       "tokenizer.ggml.add_bos_token is true"},
      {true, [](M& m) { m.Set("tokenizer.ggml.add_bos_token", uint32_t{1}); },
       "tokenizer.ggml.add_bos_token: found 1, expected true or false"},
      {false, [](M& m) { m.Remove("tokenizer.ggml.bos_token_id"); },
       "tokenizer.ggml.bos_token_id: found nothing, expected the id of a token, since "
       "tokenizer.ggml.add_bos_token is taken to be true"},
      {false, [](M& m) { m.Remove("tokenizer.ggml.scores"); },
       "tokenizer.ggml.scores: found nothing, expected one for each of the 9 tokens"},
      {false,
       [&](M& m) {
         m.Set("tokenizer.ggml.scores", floats({1, 2}));
       },
       "tokenizer.ggml.scores: found 2, expected one for each of the 9 tokens"},
      {false,
       [&](M& m) {
         m.Set("tokenizer.ggml.scores", floats({0, 0, 0, 0, 0, 0, std::nanf(""), 0, 0}));
       },
       "tokenizer.ggml.scores[6]: found nan, expected a number"},
      {false,
       [&](M& m) {
         m.Set("tokenizer.ggml.token_type", ints({1, 1, 1, 1, 1, 1, 1, 1, 5}));
       },
       "tokenizer.ggml.unknown_token_id: found nothing, expected the id of the unknown token"},
      {false, [](M& m) { m.Set("tokenizer.ggml.unknown_token_id", uint32_t{8}); },
       "tokenizer.ggml.unknown_token_id: found 8, a padding token, expected"},
  };
  for (const Damage& damage : damages) {
    SCOPED_TRACE(std::string(damage.message));
    gguf::Metadata metadata = damage.is_byte_level ? ByteLevel() : SentencePiece();
    damage.apply(metadata);
    const auto file = RebuildTokenizer(kLlama, metadata);
    ASSERT_FALSE(file.ok());
    EXPECT_EQ(ErrorOf(file.status()), damage.error) << file.status();
    EXPECT_THAT(std::string(file.status().message()), HasSubstr(std::string(damage.message)));
  }
}

}  // namespace
}  // namespace quantized
