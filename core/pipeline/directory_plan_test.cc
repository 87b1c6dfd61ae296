#include "core/forward/hf_tensor_source.h"
#include "core/pipeline/directory_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/pipeline/test_directory.h"

namespace quantized {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using testing::DirectoryModel;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

TEST(FindBitLevelTest, TakesEachFormInAnyCase) {
  for (const int bits : {2, 3, 4, 8}) {
    const std::string number = std::to_string(bits);
    for (const std::string& name : {number, number + "bit", number + "-bit", number + "BIT"}) {
      const auto level = FindBitLevel(PackedMethod::kGptq, name);
      ASSERT_TRUE(level.ok()) << level.status();
      EXPECT_EQ(level->bits, bits);
      EXPECT_EQ(level->name, number + "bit");
    }
  }
  EXPECT_TRUE(FindBitLevel(PackedMethod::kAwq, "4bit").ok());
}

TEST(FindBitLevelTest, OthersAreRefusedWithThoseOfTheFormat) {
  struct Case {
    PackedMethod method;
    std::string name, levels;
  };
  for (const Case& one : {Case{PackedMethod::kGptq, "5bit", "2bit, 3bit, 4bit, 8bit"},
                          {PackedMethod::kGptq, "Q4_K_M", "2bit, 3bit, 4bit, 8bit"},
                          {PackedMethod::kGptq, "", "2bit, 3bit, 4bit, 8bit"},
                          {PackedMethod::kAwq, "8bit", "awq: 4bit"}}) {
    SCOPED_TRACE(one.name);
    const auto level = FindBitLevel(one.method, one.name);
    ASSERT_FALSE(level.ok());
    EXPECT_EQ(ErrorOf(level.status()), Error::kInvalidArgument);
    EXPECT_THAT(std::string(level.status().message()), HasSubstr("'" + one.name + "'"));
    EXPECT_THAT(SuggestionOf(level.status()), HasSubstr(one.levels));
  }
}

class DirectoryPlanTest : public ::testing::Test {
 protected:
  absl::StatusOr<DirectoryPlan> Plan(const DirectoryModel& model,
                                     const CalibratedOptions& options = {.group_size = 32},
                                     PackedMethod method = PackedMethod::kGptq,
                                     const std::string& level = "4bit") {
    const std::filesystem::path directory = dir_.path() / "model";
    std::filesystem::remove_all(directory);
    WriteDirectoryModel(directory, model);
    const auto hf_config = HfConfig::Read(directory);
    EXPECT_TRUE(hf_config.ok()) << hf_config.status();
    const Architecture& architecture = *FindArchitecture(hf_config->architecture());
    const auto config = ForwardConfigOf(architecture, *hf_config);
    EXPECT_TRUE(config.ok()) << config.status();
    const auto source = HfTensorSource::Open(directory, architecture);
    EXPECT_TRUE(source.ok()) << source.status();
    return MakeDirectoryPlan(*config, *hf_config, (*source)->tensors(), method, level, options,
                             dir_.path() / "out");
  }

  static std::vector<std::string> Names(const DirectoryPlan& plan) {
    std::vector<std::string> names;
    for (const safetensors::PlannedTensor& tensor : plan.tensors) names.push_back(tensor.name);
    return names;
  }

  testing::TempDir dir_;
};

TEST_F(DirectoryPlanTest, GoesLayerByLayer) {
  const auto plan = Plan({});
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->units, 4u);
  EXPECT_EQ(plan->level.name, "4bit");
  ASSERT_EQ(plan->unit_of.size(), plan->tensors.size());
  EXPECT_TRUE(std::ranges::is_sorted(plan->unit_of));
  EXPECT_THAT(plan->linears, SizeIs(21));
  for (size_t i = 0; i < plan->tensors.size(); ++i) {
    const std::string& name = plan->tensors[i].name;
    EXPECT_EQ(plan->index.at(name), i);
    const bool in_layer = name.starts_with("model.layers.");
    EXPECT_EQ(plan->unit_of[i], in_layer ? static_cast<size_t>(name[13] - '0') + 1 : 0) << name;
  }
  for (const char* name : {"lm_head.weight", "model.norm.weight", "model.embed_tokens.weight",
                           "model.layers.2.input_layernorm.weight"}) {
    ASSERT_THAT(Names(*plan), Contains(name));
    EXPECT_EQ(plan->tensors[plan->index.at(name)].dtype, DType::kF16);
  }
  for (const char* suffix : {"qweight", "qzeros", "scales", "g_idx"}) {
    EXPECT_THAT(Names(*plan), Contains("model.layers.1.mlp.up_proj." + std::string(suffix)));
  }
  EXPECT_THAT(Names(*plan), Not(Contains("model.layers.1.mlp.up_proj.weight")));
  for (const LinearShape& linear : plan->linears) {
    const bool splits = linear.name.ends_with("o_proj") || linear.name.ends_with("down_proj");
    EXPECT_EQ(linear.splits_input, splits) << linear.name;
  }
  // 4 bits, scales and zeros of groups of 32, and an embedding that stays.
  EXPECT_GT(plan->bits_per_weight(), 4.5);
  EXPECT_LT(plan->bits_per_weight(), 16);
}

TEST_F(DirectoryPlanTest, BiasesStay) {
  const auto plan = Plan({.biases = true});
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_THAT(plan->linears, SizeIs(21));
  ASSERT_THAT(Names(*plan), Contains("model.layers.0.self_attn.q_proj.bias"));
  const size_t bias = plan->index.at("model.layers.0.self_attn.q_proj.bias");
  EXPECT_EQ(plan->tensors[bias].dtype, DType::kF16);
  EXPECT_THAT(plan->tensors[bias].shape, ElementsAre(64));
}

TEST_F(DirectoryPlanTest, ATiedHeadIsLeftOut) {
  const auto plan = Plan({.tied = true});
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_THAT(Names(*plan), Not(Contains("lm_head.weight")));
  EXPECT_THAT(Names(*plan), Contains("model.embed_tokens.weight"));
}

TEST_F(DirectoryPlanTest, RoutersAreNotQuantized) {
  const auto plan = Plan({.layers = 2, .experts = 4});
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_THAT(
      plan->packed.modules_not_converted,
      ElementsAre("model.layers.0.block_sparse_moe.gate", "model.layers.1.block_sparse_moe.gate"));
  EXPECT_THAT(plan->linears, SizeIs(2 * (4 + 3 * 4)));
  ASSERT_THAT(Names(*plan), Contains("model.layers.1.block_sparse_moe.gate.weight"));
  const size_t router = plan->index.at("model.layers.1.block_sparse_moe.gate.weight");
  EXPECT_EQ(plan->tensors[router].dtype, DType::kF16);
  EXPECT_EQ(plan->unit_of[router], 2u);
  for (const LinearShape& linear : plan->linears) {
    EXPECT_EQ(linear.splits_input, linear.name.ends_with("o_proj") || linear.name.ends_with(".w2"))
        << linear.name;
  }
}

TEST_F(DirectoryPlanTest, GroupSizes) {
  struct Case {
    uint32_t hidden, feed_forward;
    int64_t wanted, used;
  };
  for (const Case& one : {Case{64, 96, 32, 32},
                          {64, 96, kAutoGroupSize, 32},
                          {64, 96, -1, -1},
                          {64, 192, kAutoGroupSize, 64},
                          {64, 192, 64, 64}}) {
    SCOPED_TRACE(::testing::Message() << one.feed_forward << " by " << one.wanted);
    const auto plan =
        Plan({.hidden = one.hidden, .feed_forward = one.feed_forward}, {.group_size = one.wanted});
    ASSERT_TRUE(plan.ok()) << plan.status();
    EXPECT_EQ(plan->packed.group_size, one.used);
    EXPECT_EQ(plan->group_size(), one.used < 0 ? 0u : static_cast<size_t>(one.used));
    const size_t scales = plan->index.at("model.layers.0.mlp.down_proj.scales");
    const uint64_t groups = one.used < 0 ? 1 : one.feed_forward / static_cast<uint64_t>(one.used);
    EXPECT_THAT(plan->tensors[scales].shape, ElementsAre(groups, one.hidden));
  }
  const auto large = Plan({.layers = 1, .hidden = 128, .feed_forward = 256, .head_dim = 32},
                          {.group_size = kAutoGroupSize});
  ASSERT_TRUE(large.ok()) << large.status();
  EXPECT_EQ(large->packed.group_size, 128);
}

TEST_F(DirectoryPlanTest, AGroupSizeThatDoesNotFitNamesThoseThatDo) {
  const auto plan = Plan({.feed_forward = 192}, {.group_size = 128});
  ASSERT_FALSE(plan.ok());
  EXPECT_EQ(ErrorOf(plan.status()), Error::kInvalidArgument);
  EXPECT_THAT(std::string(plan.status().message()),
              AllOf(HasSubstr("group size 128 does not divide the "),
                    HasSubstr("sizes that fit this model: 64, 32")));
  EXPECT_THAT(SuggestionOf(plan.status()), HasSubstr("--group-size 64"));
}

TEST_F(DirectoryPlanTest, AGroupSizeThatNoLoaderTakesIsRefused) {
  for (const int64_t size : {16, 48, -2}) {
    SCOPED_TRACE(size);
    const auto plan = Plan({.feed_forward = 192}, {.group_size = size});
    ASSERT_FALSE(plan.ok());
    EXPECT_EQ(ErrorOf(plan.status()), Error::kInvalidArgument) << plan.status();
    EXPECT_THAT(std::string(plan.status().message()),
                HasSubstr("group size " + std::to_string(size)));
  }
}

TEST_F(DirectoryPlanTest, WidthsThatNoFileHoldsAreRefused) {
  const auto plan = Plan({.feed_forward = 48}, {.group_size = kAutoGroupSize});
  ASSERT_FALSE(plan.ok());
  EXPECT_EQ(ErrorOf(plan.status()), Error::kInvalidArgument);
  EXPECT_THAT(std::string(plan.status().message()),
              AllOf(HasSubstr("mlp."), HasSubstr("48"), HasSubstr("multiples of 32")));
}

TEST_F(DirectoryPlanTest, OptionsReachTheConfiguration) {
  const auto plan = Plan(
      {.layers = 1},
      {.group_size = 32, .symmetric = false, .order = ColumnOrder::kActivation, .damping = 0.02});
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_FALSE(plan->packed.sym);
  EXPECT_TRUE(plan->packed.desc_act);
  EXPECT_FALSE(plan->packed.static_groups);
  EXPECT_EQ(plan->packed.damp_percent, 0.02);
  const auto fixed =
      Plan({.layers = 1}, {.group_size = 32, .order = ColumnOrder::kStaticActivation});
  ASSERT_TRUE(fixed.ok()) << fixed.status();
  EXPECT_TRUE(fixed->packed.sym);
  EXPECT_FALSE(fixed->packed.desc_act);
  EXPECT_TRUE(fixed->packed.static_groups);
  const auto awq = Plan({.layers = 1}, {.group_size = 32}, PackedMethod::kAwq);
  ASSERT_TRUE(awq.ok()) << awq.status();
  EXPECT_FALSE(awq->packed.sym);
  EXPECT_THAT(Names(*awq), Not(Contains("model.layers.0.mlp.up_proj.g_idx")));
}

TEST_F(DirectoryPlanTest, EachLevelTakesItsBits) {
  uint64_t last = 0;
  for (const char* level : {"2bit", "3bit", "4bit", "8bit"}) {
    const auto plan = Plan({.layers = 1}, {.group_size = 32}, PackedMethod::kGptq, level);
    ASSERT_TRUE(plan.ok()) << plan.status();
    EXPECT_EQ(plan->packed.bits, plan->level.bits);
    EXPECT_GT(plan->layout.total_bytes, last);
    last = plan->layout.total_bytes;
  }
}

}  // namespace
}  // namespace quantized
