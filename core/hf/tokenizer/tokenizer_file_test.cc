#include "core/hf/tokenizer/tokenizer_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/base/str_cat.h"
#include "core/hf/tokenizer/test_json.h"
#include "core/hf/tokenizer/tokenizer.h"
#include "tests/support/paths.h"

namespace quantized::tokenizer {
namespace {

using ::quantized::testing::TempDir;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

// A whole small file; tests damage it.
nlohmann::json Valid() {
  return nlohmann::json::parse(R"({
    "version": "1.0",
    "added_tokens": [{"id": 5, "content": "<s>", "special": true, "normalized": false,
                      "lstrip": false, "rstrip": false, "single_word": false}],
    "normalizer": {"type": "NFC"},
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
    "post_processor": null,
    "decoder": {"type": "ByteLevel"},
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "abb": 3, "\u0120": 4},
              "merges": ["a b", ["ab", "b"]]}
  })");
}

absl::StatusOr<TokenizerFile> Parse(const nlohmann::json& json) {
  return ParseTokenizerJson(json.dump(), "dir/tokenizer.json", ModelPart::kRead);
}

// Parses and makes a tokenizer, so that errors of either come out.
absl::Status Check(const nlohmann::json& json) {
  auto file = Parse(json);
  if (!file.ok()) return file.status();
  return Tokenizer::Create(*std::move(file)).status();
}

TEST(TokenizerFileTest, ReadsAllParts) {
  const auto file = Parse(Valid());
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->path, "dir/tokenizer.json");
  ASSERT_EQ(file->added_tokens.size(), 1u);
  EXPECT_EQ(file->added_tokens[0].content, "<s>");
  EXPECT_EQ(file->added_tokens[0].id, 5u);
  EXPECT_TRUE(file->added_tokens[0].special);
  EXPECT_EQ(file->normalizer, nlohmann::json::parse(R"({"type": "NFC"})"));
  EXPECT_TRUE(file->post_processor.is_null());
  EXPECT_EQ(file->vocabulary.size(), 5u);
  EXPECT_EQ(file->vocabulary.IdOf("abb"), 3u);
  EXPECT_EQ(file->vocabulary.TextOf(4), "\u0120");
  EXPECT_EQ(file->vocabulary.TextOf(5), std::nullopt);
  EXPECT_THAT(file->merges, ElementsAre(Pair(0, 1), Pair(2, 1)));
}

TEST(TokenizerFileTest, SkipsAModelOfAnyKind) {
  nlohmann::json json = Valid();
  json["model"] = {{"type", "Unigram"}, {"vocab", nlohmann::json::array()}};
  const auto file = ParseTokenizerJson(json.dump(), "tokenizer.json", ModelPart::kSkip);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->model_type, "Unigram");
  EXPECT_EQ(file->vocabulary.size(), 0u);
  EXPECT_EQ(file->added_tokens.size(), 1u);
}

TEST(TokenizerFileTest, ReadsFilesWithoutAModelTypeAsBpe) {
  nlohmann::json json = Valid();
  json["model"].erase("type");
  EXPECT_TRUE(Check(json).ok()) << Check(json);
}

struct Damage {
  const char* name;
  const char* pointer;  // where in Valid()
  const char* value;    // what stands there instead
  const char* message;
};

class TokenizerFileDamageTest : public ::testing::TestWithParam<Damage> {};

TEST_P(TokenizerFileDamageTest, IsRefused) {
  nlohmann::json json = Valid();
  json[nlohmann::json::json_pointer(GetParam().pointer)] = nlohmann::json::parse(GetParam().value);
  const absl::Status status = Check(json);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(ErrorOf(status), Error::kValidationFailed) << status;
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("tokenizer.json"), HasSubstr(GetParam().message)));
}

constexpr Damage kDamages[] = {
    {"WordPiece", "/model/type", R"("WordPiece")",
     R"(model.type: found "WordPiece", expected "BPE")"},
    {"Unigram", "/model/type", R"("Unigram")", R"(found "Unigram")"},
    {"TypeIsNumber", "/model/type", "1", "model.type: found a number, expected a string"},
    {"NoModel", "/model", "null", "model: found null, expected an object"},
    {"VocabIsArray", "/model/vocab", "[]", "model.vocab: found an array, expected an object"},
    {"VocabEmpty", "/model/vocab", "{}", "model.vocab: found 0 tokens"},
    {"IdNegative", "/model/vocab/a", "-1", "expected an id"},
    {"IdFraction", "/model/vocab/a", "0.5", "expected an id"},
    {"IdHuge", "/model/vocab/a", "4294967296", "has id 4294967296"},
    {"IdTwice", "/model/vocab/a", "1", "id 1 is there twice"},
    {"MergeOfThree", "/model/merges/0", R"("a b c")", "model.merges[0]: found \"a b c\""},
    {"MergeUnknown", "/model/merges/0", R"("a z")", "model.merges[0]: found \"z\""},
    {"MergeMakesNothing", "/model/merges/1", R"(["b", "a"])",
     "model.merges[1]: found a merge to \"ba\""},
    {"MergePairOfNumbers", "/model/merges/1", "[1, 2]", "model.merges[1]: found an array"},
    {"MergeTriple", "/model/merges/1", R"(["a", "b", "b"])", "expected a pair of strings"},
    {"MergesMissing", "/model/merges", "null", "model.merges: found null, expected an array"},
    {"UnkUnknown", "/model/unk_token", R"("<unk>")", "model.unk_token: found \"<unk>\""},
    {"FlagIsText", "/model/byte_fallback", R"("yes")", "model.byte_fallback: found a string"},
    {"AddedIsObject", "/added_tokens", "{}", "added_tokens: found an object, expected an array"},
    {"AddedWithoutContent", "/added_tokens/0/content", "7",
     "added_tokens[0].content: found a number"},
    {"AddedIdHuge", "/added_tokens/0/id", "99999999", "added_tokens[0].id"},
    {"AddedFlagIsNumber", "/added_tokens/0/special", "1",
     "added_tokens[0].special: found a number"},
    {"NormalizerUnknown", "/normalizer/type", R"("Precompiled")",
     "normalizer.type: found \"Precompiled\""},
    {"NormalizerIsText", "/normalizer", R"("NFC")",
     "normalizer: found a string, expected an object"},
    {"PreTokenizerUnknown", "/pre_tokenizer/type", R"("UnicodeScripts")",
     "pre_tokenizer.type: found \"UnicodeScripts\""},
    {"PreTokenizerNested", "/pre_tokenizer",
     R"({"type": "Sequence", "pretokenizers": [{"type": "Sequence", "pretokenizers": 5}]})",
     "pre_tokenizer.pretokenizers[0].pretokenizers: found a number"},
    {"PatternMalformed", "/pre_tokenizer",
     R"({"type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated"})",
     "pre_tokenizer.pattern: regular expression"},
    {"PatternUnsupported", "/pre_tokenizer",
     R"({"type": "Split", "pattern": {"Regex": "[a&&b]"}, "behavior": "Isolated"})",
     "an intersection in brackets at offset 2"},
    {"PatternVerb", "/pre_tokenizer",
     R"({"type": "Split", "pattern": {"Regex": "(*UTF)a"}, "behavior": "Isolated"})", "a verb"},
    {"PatternHuge", "/pre_tokenizer",
     R"({"type": "Split", "pattern": {"Regex": "((a{1000}){1000}){1000}"}, "behavior": "Isolated"})",
     "regular expression"},
    {"BehaviorUnknown", "/pre_tokenizer",
     R"({"type": "Split", "pattern": {"String": "a"}, "behavior": "Merged"})",
     "pre_tokenizer.behavior: found \"Merged\""},
    {"PatternEmpty", "/pre_tokenizer",
     R"({"type": "Split", "pattern": {"String": ""}, "behavior": "Isolated"})", "an empty string"},
    {"DecoderUnknown", "/decoder/type", R"("WordPiece")", "decoder.type: found \"WordPiece\""},
    {"ProcessorUnknown", "/post_processor", R"({"type": "Other"})",
     "post_processor.type: found \"Other\""},
    {"TemplateToken", "/post_processor",
     R"({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}]})",
     "post_processor.special_tokens"},
    {"TemplateWithoutText", "/post_processor", R"({"type": "TemplateProcessing", "single": []})",
     "no sequence A"},
    {"TwoTemplates", "/post_processor",
     R"({"type": "Sequence", "processors": [{"type": "BertProcessing", "cls": ["a", 0], "sep": ["b", 1]}, {"type": "BertProcessing", "cls": ["a", 0], "sep": ["b", 1]}]})",
     "a second processor that adds tokens"},
};

INSTANTIATE_TEST_SUITE_P(All, TokenizerFileDamageTest, ::testing::ValuesIn(kDamages),
                         [](const auto& test) { return test.param.name; });

TEST(TokenizerFileTest, RefusesWhatIsNoJson) {
  const std::string valid = Valid().dump();
  for (const std::string& text :
       {std::string(), valid.substr(0, valid.size() / 2), std::string("[]"), std::string("\xFF"),
        std::string(100'000, '['), StrCat("{\"model\":", std::string(100'000, '['))}) {
    const auto file = ParseTokenizerJson(text, "tokenizer.json", ModelPart::kRead);
    ASSERT_FALSE(file.ok()) << text.substr(0, 40);
    EXPECT_EQ(ErrorOf(file.status()), Error::kValidationFailed);
    EXPECT_THAT(std::string(file.status().message()), HasSubstr("tokenizer.json: the file"));
  }
}

TEST(TokenizerFileTest, RefusesAGitLfsPointer) {
  const auto file = ParseTokenizerJson("version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
                                       "tokenizer.json", ModelPart::kRead);
  ASSERT_FALSE(file.ok());
  EXPECT_THAT(std::string(file.status().message()), HasSubstr("git-lfs pointer"));
  EXPECT_THAT(SuggestionOf(file.status()), HasSubstr("git lfs pull"));
}

TEST(TokenizerFileTest, RefusesTokensAndMembersThatStandTwice) {
  std::string text = Valid().dump();
  const size_t at = text.find("\"a\":0");
  ASSERT_NE(at, std::string::npos);
  auto file = ParseTokenizerJson(std::string(text).insert(at, "\"b\":9,"), "tokenizer.json",
                                 ModelPart::kRead);
  ASSERT_FALSE(file.ok());
  EXPECT_THAT(std::string(file.status().message()),
              HasSubstr("token \"b\" is there twice, with ids 9 and 1"));
  file = ParseTokenizerJson(text.insert(1, "\"model\":{},"), "tokenizer.json", ModelPart::kRead);
  ASSERT_FALSE(file.ok());
  EXPECT_THAT(std::string(file.status().message()),
              HasSubstr("model: found a second one, expected one"));
}

TEST(TokenizerFileTest, RefusesDeepNormalizers) {
  nlohmann::json inner = {{"type", "NFC"}};
  for (int i = 0; i < 12; ++i) {
    inner = {{"type", "Sequence"}, {"normalizers", nlohmann::json::array({inner})}};
  }
  nlohmann::json json = Valid();
  json["normalizer"] = inner;
  const absl::Status status = Check(json);
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), HasSubstr("at depth 8"));
}

class VocabularyAndMergesTest : public ::testing::Test {
 protected:
  void Write(std::string_view vocab, std::string_view merges) {
    WriteTestFile(dir_.path() / "vocab.json", vocab);
    WriteTestFile(dir_.path() / "merges.txt", merges);
  }
  TempDir dir_;
};

TEST_F(VocabularyAndMergesTest, AreRead) {
  Write(R"({"a": 0, "b": 1, "ab": 2, "#": 3, "#a": 4})", "#version: 0.2\r\na b\r\n\r\n# a\n");
  WriteTestFile(dir_.path() / "added_tokens.json", R"({"<x>": 6, "<s>": 5})");
  auto file = ReadVocabularyAndMerges(dir_.path(), "Qwen2Tokenizer");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_THAT(file->merges, ElementsAre(Pair(0, 1), Pair(3, 0)));
  EXPECT_EQ(file->normalizer["type"], "NFC");
  ASSERT_EQ(file->added_tokens.size(), 2u);
  EXPECT_EQ(file->added_tokens[0].content, "<s>");
  file = ReadVocabularyAndMerges(dir_.path(), "GPT2Tokenizer");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_TRUE(file->normalizer.is_null());
  EXPECT_EQ(file->pre_tokenizer["type"], "ByteLevel");
}

TEST_F(VocabularyAndMergesTest, AreRefusedWhereDamaged) {
  Write(R"({"a": 0, "b": 1, "ab": 2})", "a b\na b b\n");
  auto file = ReadVocabularyAndMerges(dir_.path(), "");
  ASSERT_FALSE(file.ok());
  EXPECT_THAT(std::string(file.status().message()),
              AllOf(HasSubstr("merges.txt"), HasSubstr("line 2")));
  Write(R"({"a": 0, "b": true})", "a b\n");
  file = ReadVocabularyAndMerges(dir_.path(), "");
  ASSERT_FALSE(file.ok());
  EXPECT_THAT(std::string(file.status().message()),
              AllOf(HasSubstr("vocab.json"), HasSubstr("found a boolean")));
  std::filesystem::remove(dir_.path() / "merges.txt");
  Write(R"({"a": 0})", "");
  std::filesystem::remove(dir_.path() / "merges.txt");
  file = ReadVocabularyAndMerges(dir_.path(), "");
  ASSERT_FALSE(file.ok());
  EXPECT_EQ(ErrorOf(file.status()), Error::kModelNotFound);
}

}  // namespace
}  // namespace quantized::tokenizer
