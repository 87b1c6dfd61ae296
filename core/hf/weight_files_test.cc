#include "core/hf/weight_files.h"

#include <fstream>

#include "core/base/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/paths.h"

namespace quantized {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class WeightFilesTest : public ::testing::Test {
 protected:
  void Write(std::string_view name, std::string_view text = "") {
    std::ofstream(dir_.path() / name) << text;
  }
  std::string Refusal(Error error) {
    const auto found = FindWeightFiles(dir_.path());
    if (found.ok()) return "accepted";
    EXPECT_EQ(ErrorOf(found.status()), error);
    return std::string(found.status().message());
  }

  testing::TempDir dir_;
};

TEST_F(WeightFilesTest, FindsAndSortsFilesWithoutIndex) {
  for (const char* name :
       {"model_b.safetensors", "model_a.safetensors", "model-00001-of-00001.x.safetensors",
        "adapter_model.safetensors", "model.gguf"}) {
    Write(name);
  }
  const auto found = FindWeightFiles(dir_.path());
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_THAT(found->files, ElementsAre("model-00001-of-00001.x.safetensors", "model_a.safetensors",
                                        "model_b.safetensors"));
  EXPECT_FALSE(found->weight_map.has_value());
}

// Other files hold the same tensors in other types.
TEST_F(WeightFilesTest, OneFileOrOneWholeSetCountsAloneWithoutIndex) {
  for (const char* name : {"model-00002-of-00002.safetensors", "model-00001-of-00002.safetensors",
                           "model-00001-of-00003.safetensors", "model.fp16.safetensors",
                           "model.fp16-00001-of-00002.safetensors", "model_int8.safetensors"}) {
    Write(name);
  }
  const auto set = FindWeightFiles(dir_.path());
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_THAT(set->files,
              ElementsAre("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"));
  Write("model.safetensors");
  const auto one = FindWeightFiles(dir_.path());
  ASSERT_TRUE(one.ok()) << one.status();
  EXPECT_THAT(one->files, ElementsAre("model.safetensors"));
  EXPECT_FALSE(one->weight_map.has_value());
}

TEST_F(WeightFilesTest, OfTwoWholeSetsNeitherCountsAlone) {
  for (const char* name :
       {"model-00001-of-00001.safetensors", "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors", "model-00000-of-00000.safetensors"}) {
    Write(name);
  }
  const auto found = FindWeightFiles(dir_.path());
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->files.size(), 4u);
}

TEST_F(WeightFilesTest, IndexDecidesWhichFilesCount) {
  Write("model.safetensors.index.json",
        R"({"metadata": {}, "weight_map": {"b": "y.safetensors", "a": "x.safetensors"}})");
  for (const char* name : {"x.safetensors", "y.safetensors", "model.safetensors"}) Write(name);
  const auto found = FindWeightFiles(dir_.path());
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_THAT(found->files, ElementsAre("x.safetensors", "y.safetensors"));
  EXPECT_EQ(found->weight_map->at("b"), "y.safetensors");
}

TEST_F(WeightFilesTest, NamesMissingShardsOfTheIndex) {
  Write("model.safetensors.index.json",
        R"({"weight_map": {"a": "1.safetensors", "b": "2.safetensors", "c": "2.safetensors"}})");
  Write("1.safetensors");
  EXPECT_THAT(Refusal(Error::kValidationFailed),
              HasSubstr("1 of 2 shards named by model.safetensors.index.json are missing, with 2 "
                        "tensors: 2.safetensors"));
}

TEST_F(WeightFilesTest, NamesMissingShardWithoutIndex) {
  Write("model-00001-of-00003.safetensors");
  Write("model-00003-of-00003.safetensors");
  EXPECT_THAT(Refusal(Error::kValidationFailed), HasSubstr("model-00002-of-00003.safetensors"));
}

TEST_F(WeightFilesTest, ShardCountOfAFileNameIsNotTrusted) {
  Write("model-00001-of-99999.safetensors");
  EXPECT_THAT(Refusal(Error::kValidationFailed), HasSubstr("model-00002-of-99999.safetensors"));
}

TEST_F(WeightFilesTest, SaysWhatIsThereInstead) {
  EXPECT_THAT(Refusal(Error::kModelNotFound), HasSubstr("found no model*.safetensors"));
  Write("consolidated.safetensors");
  EXPECT_THAT(Refusal(Error::kModelNotFound), HasSubstr("only consolidated*.safetensors"));
  Write("m.gguf");
  EXPECT_THAT(Refusal(Error::kModelNotFound), HasSubstr("only GGUF files"));
  Write("pytorch_model-00001-of-00002.bin");
  EXPECT_THAT(Refusal(Error::kModelNotFound), HasSubstr("pickle file can run code"));
}

TEST(WeightIndex, RefusesWhatIsNoMapOfPlainFileNames) {
  for (const char* text :
       {"{}", R"({"weight_map": 1})", R"({"weight_map": {}})", R"({"weight_map": {"a": 1}})",
        R"({"weight_map": {"a": "../secret"}})", R"({"weight_map": {"a": "/etc/passwd"}})",
        R"({"weight_map": {"a": ""}})", R"({"weight_map": {"a": ".."}})",
        R"({"weight_map": {"a": "x\u0000y"}})", R"({"weight_map": {"a": "x", "a": "y"}})"}) {
    const auto map = ParseWeightIndex(text);
    ASSERT_FALSE(map.ok()) << text;
    EXPECT_EQ(ErrorOf(map.status()), Error::kValidationFailed);
    EXPECT_THAT(std::string(map.status().message()), HasSubstr("model.safetensors.index.json"));
  }
}

TEST(WeightIndex, ThreeWaysToDisagreeWithTheFiles) {
  const std::map<std::string, std::string> map = {{"a", "1"}, {"b", "2"}};
  const auto message = [&](std::vector<std::string> names) {
    return std::string(CheckIndexAgrees(map, names).message());
  };
  EXPECT_EQ(message({"b", "a"}), "");
  EXPECT_THAT(message({"a"}), HasSubstr("names 1 tensors that the files do not hold: b (2)"));
  EXPECT_THAT(message({"a", "b", "c"}),
              HasSubstr("does not name 1 tensors that the files hold: c"));
  EXPECT_THAT(message({"a", "c"}), HasSubstr("b (2); the files hold others: c"));
}

}  // namespace
}  // namespace quantized
