#include "core/packed/loader_notes.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace quantized {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr auto kAwq = PackedMethod::kAwq;
constexpr auto kLoads = Verdict::kLoads, kSlow = Verdict::kSlow, kRefuses = Verdict::kRefuses;

std::vector<LinearShape> Llama() {
  return {{"q_proj", 4096, 4096, false},
          {"k_proj", 1024, 4096, false},
          {"down_proj", 4096, 14336, true}};
}

struct NoteCase {
  const char* name;
  PackedOptions options;
  std::vector<LinearShape> layers;
  size_t tensor_parallel;
  Verdict vllm, sglang;
  const char* vllm_why;
};

class LoaderNotesTest : public ::testing::TestWithParam<NoteCase> {};

TEST_P(LoaderNotesTest, TheWorstRuleDecides) {
  const NoteCase& c = GetParam();
  const std::vector<LoaderNote> notes = LoaderNotes(c.options, c.layers, c.tensor_parallel);
  ASSERT_THAT(notes, SizeIs(4));
  EXPECT_EQ(notes[0].loader, "vLLM");
  EXPECT_EQ(notes[0].verdict, c.vllm) << notes[0].why;
  EXPECT_THAT(notes[0].why, HasSubstr(c.vllm_why));
  EXPECT_EQ(notes[1].loader, "SGLang");
  EXPECT_EQ(notes[1].verdict, c.sglang) << notes[1].why;
  EXPECT_EQ(notes[2].loader, "transformers");
  EXPECT_EQ(notes[2].verdict, kLoads);
  EXPECT_EQ(notes[3].loader, "GPTQModel");
  EXPECT_EQ(notes[3].verdict, kLoads);
}

std::vector<NoteCase> Cases() {
  const std::vector<LinearShape> narrow = {{"a", 4096, 4096}, {"b", 96, 4096}};
  const std::vector<LinearShape> odd = {{"down_proj", 576, 1536 + 64, true}};
  return {
      {"Default", {}, Llama(), 1, kLoads, kLoads, "Marlin"},
      {"DefaultOnTwo", {}, Llama(), 2, kLoads, kLoads, "Marlin"},
      {"EightBits", {.bits = 8}, Llama(), 1, kLoads, kLoads, "Marlin"},
      {"WholeRows", {.group_size = -1}, Llama(), 2, kLoads, kLoads, "Marlin"},
      {"SymmetricVersion2", {.version = GptqVersion::kV2}, Llama(), 1, kLoads, kLoads, ""},
      {"ThreeBits", {.bits = 3}, Llama(), 1, kRefuses, kSlow, "takes 4 and 8 bits only"},
      {"Asymmetric", {.sym = false}, Llama(), 1, kRefuses, kSlow, "symmetric"},
      {"AsymmetricVersion2",
       {.version = GptqVersion::kV2, .sym = false},
       Llama(),
       1,
       kRefuses,
       kRefuses,
       "symmetric"},
      {"GroupsOf96", {.group_size = 96}, {{"a", 64, 384}}, 1, kRefuses, kSlow, "group sizes"},
      {"Reordered", {.desc_act = true}, Llama(), 1, kSlow, kSlow, "activation order"},
      {"ReorderedWholeRows",
       {.group_size = -1, .desc_act = true},
       Llama(),
       1,
       kLoads,
       kLoads,
       "Marlin"},
      {"NarrowOutputs", {}, narrow, 1, kSlow, kSlow, "b has 4096 inputs and 96 outputs"},
      {"InputsOf64",
       {.group_size = 64},
       {{"o_proj", 576, 576, true}},
       1,
       kSlow,
       kSlow,
       "multiples of 128"},
      {"CutGroups",
       {},
       Llama(),
       32,
       kRefuses,
       kRefuses,
       "down_proj has 14336 inputs and 4096 outputs for 32 devices"},
      {"Indivisible", {}, Llama(), 3, kRefuses, kRefuses, "divisible"},
      {"Awq", {.method = kAwq}, Llama(), 1, kLoads, kLoads, "Marlin"},
      {"AwqNarrow", {.method = kAwq}, narrow, 1, kSlow, kSlow, "outputs in multiples of 64"},
      {"AwqCutGroups", {.method = kAwq, .group_size = 64}, odd, 2, kRefuses, kRefuses, "groups"},
      {"AwqCutRows",
       {.method = kAwq, .group_size = -1},
       Llama(),
       2,
       kRefuses,
       kRefuses,
       "whole groups"},
      {"AwqWholeRows", {.method = kAwq, .group_size = -1}, Llama(), 1, kLoads, kLoads, "Marlin"},
      {"AwqCutWords", {.method = kAwq}, {{"a", 96, 4096}}, 8, kRefuses, kRefuses, "multiple of 8"},
      {"AwqGroupsOf96",
       {.method = kAwq, .group_size = 96},
       {{"a", 64, 384}},
       1,
       kSlow,
       kSlow,
       "group sizes"},
  };
}

std::string CaseName(const ::testing::TestParamInfo<NoteCase>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(All, LoaderNotesTest, ::testing::ValuesIn(Cases()), CaseName);

TEST(LoaderNotesTableTest, VerdictsHaveNames) {
  EXPECT_EQ(NameOf(kLoads), "loads");
  EXPECT_EQ(NameOf(kSlow), "slow path");
  EXPECT_EQ(NameOf(kRefuses), "refuses");
}

}  // namespace
}  // namespace quantized
