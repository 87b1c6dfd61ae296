#include "core/hf/generation_config.h"

#include "gtest/gtest.h"

namespace quantized {
namespace {

gguf::Metadata Sampling(const char* text) {
  gguf::Metadata metadata;
  AppendSamplingMetadata(nlohmann::json::parse(text), metadata);
  return metadata;
}

TEST(GenerationConfig, WritesWhatTheFormatKnowsInItsOrder) {
  gguf::Metadata expected;
  expected.Set("general.sampling.top_k", int32_t{20});
  expected.Set("general.sampling.top_p", 0.8f);
  expected.Set("general.sampling.temp", 1.0f);
  expected.Set("general.sampling.penalty_repeat", 1.1f);
  EXPECT_EQ(Sampling(R"({"temperature": 1, "top_p": 0.8, "top_k": 20, "do_sample": true,
                         "repetition_penalty": 1.1, "min_p": null})"),
            expected);
}

TEST(GenerationConfig, ItsOwnNameOfAPenaltyHidesTheOther) {
  EXPECT_EQ(*Sampling(R"({"penalty_repeat": 2, "repetition_penalty": 1.1})")
                 .Get<float>("general.sampling.penalty_repeat"),
            2.0f);
}

TEST(GenerationConfig, LeavesOutWhatIsNoNumberOfTheKeysType) {
  EXPECT_TRUE(Sampling(R"({"top_k": 1.5, "top_p": "x", "temperature": 1e60, "sequence": "",
                           "mirostat": -3000000000, "min_p": [1]})")
                  .entries()
                  .empty());
}

TEST(GenerationConfig, GivesBackTheFieldsThatTransformersKnows) {
  const nlohmann::json fields = {
      {"top_k", 20}, {"top_p", 0.8}, {"temperature", 1.0}, {"repetition_penalty", 1.1}};
  gguf::Metadata metadata;
  AppendSamplingMetadata(fields, metadata);
  EXPECT_EQ(SamplingFields(metadata), fields);
  metadata.Set("general.sampling.top_k", 1.0f);  // another type
  EXPECT_FALSE(SamplingFields(metadata).contains("top_k"));
}

}  // namespace
}  // namespace quantized
