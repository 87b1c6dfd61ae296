#include "core/hf/tokenizer/tokenizer_json.h"

#include <gtest/gtest.h>

#include "core/hf/tokenizer/test_json.h"
#include "tests/support/paths.h"

namespace quantized::tokenizer {
namespace {

void ExpectSame(const TokenizerFile& got, const TokenizerFile& want) {
  ASSERT_EQ(got.added_tokens.size(), want.added_tokens.size());
  for (size_t i = 0; i < want.added_tokens.size(); ++i) {
    const AddedToken &a = got.added_tokens[i], &b = want.added_tokens[i];
    EXPECT_EQ(a.id, b.id);
    EXPECT_EQ(a.content, b.content);
    EXPECT_EQ(a.special, b.special);
    EXPECT_EQ(a.normalized, b.normalized);
    EXPECT_EQ(a.lstrip, b.lstrip);
    EXPECT_EQ(a.rstrip, b.rstrip);
    EXPECT_EQ(a.single_word, b.single_word);
  }
  EXPECT_EQ(got.normalizer, want.normalizer);
  EXPECT_EQ(got.pre_tokenizer, want.pre_tokenizer);
  EXPECT_EQ(got.post_processor, want.post_processor);
  EXPECT_EQ(got.decoder, want.decoder);
  EXPECT_EQ(got.model_type, want.model_type);
  EXPECT_EQ(got.options.unk_token, want.options.unk_token);
  EXPECT_EQ(got.options.continuing_subword_prefix, want.options.continuing_subword_prefix);
  EXPECT_EQ(got.options.end_of_word_suffix, want.options.end_of_word_suffix);
  EXPECT_EQ(got.options.fuse_unk, want.options.fuse_unk);
  EXPECT_EQ(got.options.byte_fallback, want.options.byte_fallback);
  EXPECT_EQ(got.options.ignore_merges, want.options.ignore_merges);
  EXPECT_EQ(got.vocabulary.size(), want.vocabulary.size());
  ASSERT_EQ(got.vocabulary.end_id(), want.vocabulary.end_id());
  for (uint32_t id = 0; id < want.vocabulary.end_id(); ++id) {
    EXPECT_EQ(got.vocabulary.TextOf(id), want.vocabulary.TextOf(id));
  }
  EXPECT_EQ(got.merges, want.merges);
}

TEST(TokenizerJsonTest, IsReadBackAsItWas) {
  size_t files = 0;
  for (const auto& model : std::filesystem::directory_iterator(::quantized::testing::GoldenDir() /
                                                               "tokenizers" / "models")) {
    SCOPED_TRACE(model.path().filename());
    const auto file = ReadTokenizerJson(model.path() / "tokenizer.json", ModelPart::kRead);
    ASSERT_TRUE(file.ok()) << file.status();
    const std::string text = TokenizerJsonText(*file);
    EXPECT_EQ(nlohmann::json::parse(text)["version"], "1.0");
    const auto again = ParseTokenizerJson(text, "written", ModelPart::kRead);
    ASSERT_TRUE(again.ok()) << again.status();
    ExpectSame(*again, *file);
    ++files;
  }
  EXPECT_EQ(files, 9u);
}

TEST(TokenizerJsonTest, EscapesTextsAndLeavesGapsInIds) {
  TokenizerFile file;
  file.model_type = "BPE";
  file.vocabulary = Vocabulary(3, 16);
  ASSERT_TRUE(file.vocabulary.Add("\"\\\n", 0).ok());
  ASSERT_TRUE(file.vocabulary.Add("\u2581", 7).ok());
  ASSERT_TRUE(file.vocabulary.Add("\x01", 3).ok());
  const auto again = ParseTokenizerJson(TokenizerJsonText(file), "written", ModelPart::kRead);
  ASSERT_TRUE(again.ok()) << again.status();
  ExpectSame(*again, file);
}

}  // namespace
}  // namespace quantized::tokenizer
