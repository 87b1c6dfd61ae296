#include "core/quantize/recipe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "tests/support/paths.h"

namespace quantized {
namespace {

using kernels::TypeId;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct Tensor {
  std::string name;
  std::vector<uint64_t> dims;
  TypeId type = TypeId::kF16;
};

std::vector<TensorShape> Shapes(const std::vector<Tensor>& tensors) {
  std::vector<TensorShape> shapes;
  for (const Tensor& tensor : tensors) shapes.push_back({tensor.name, tensor.type, tensor.dims});
  return shapes;
}

gguf::Metadata LlamaMetadata(uint32_t layers) {
  gguf::Metadata metadata;
  metadata.Set("general.architecture", std::string("llama"));
  metadata.Set("llama.block_count", layers);
  metadata.Set("llama.attention.head_count", uint32_t{8});
  metadata.Set("llama.attention.head_count_kv", uint32_t{8});
  return metadata;
}

std::map<std::string, std::string> TypesByName(const TypeSelection& selection,
                                               const std::vector<Tensor>& tensors) {
  std::map<std::string, std::string> types;
  for (const TensorChoice& choice : selection.tensors) {
    types[tensors[choice.tensor].name] = kernels::QuantTypeOf(choice.type).name;
  }
  return types;
}

// "blk.*.ffn_up.weight" → "blk.7.ffn_up.weight".
std::string WithLayer(const std::string& pattern, int layer) {
  const size_t star = pattern.find('*');
  if (star == std::string::npos) return pattern;
  return pattern.substr(0, star) + std::to_string(layer) + pattern.substr(star + 1);
}

// "Q6_K*2 Q4_K*3" → Q6_K, Q6_K, Q4_K, Q4_K, Q4_K; one word without a star: `count` times.
std::vector<std::string> Expand(const std::string& runs, int count) {
  if (runs.find('*') == std::string::npos) return std::vector<std::string>(count, runs);
  std::vector<std::string> types;
  std::istringstream words(runs);
  for (std::string word; words >> word;) {
    const size_t star = word.find('*');
    types.insert(types.end(), std::stoi(word.substr(star + 1)), word.substr(0, star));
  }
  return types;
}

// The reference quantizer's choices: tests/golden/data/type_selection/README.md.
TEST(RecipeGoldenTest, EqualsTheReferenceForEachShapeAndLevel) {
  std::ifstream in(testing::GoldenDir() / "type_selection/type_selection.json");
  const auto golden = nlohmann::json::parse(in, nullptr, false);
  ASSERT_FALSE(golden.is_discarded());
  size_t cases = 0;
  for (const auto& [model_name, model] : golden["models"].items()) {
    gguf::Metadata metadata;
    for (const auto& [key, value] : model["kv"].items()) {
      if (value.is_string()) metadata.Set(key, value.get<std::string>());
      if (value.is_number_integer()) metadata.Set(key, value.get<uint32_t>());
    }
    const int layers = model["layers"];
    std::vector<Tensor> tensors;
    for (const auto& row : model["tensors"]) {
      const std::string pattern = row[0];
      const bool per_layer = pattern.find('*') != std::string::npos;
      const auto dims = row[1].get<std::vector<uint64_t>>();
      for (int layer = 0; layer < (per_layer ? layers : 1); ++layer) {
        tensors.push_back(
            {WithLayer(pattern, layer), dims, dims.size() == 1 ? TypeId::kF32 : TypeId::kF16});
      }
    }
    for (const auto& [level, expected] : model["levels"].items()) {
      SCOPED_TRACE(model_name + " " + level);
      std::map<std::string, std::string> want;
      for (const auto& row : model["tensors"]) {
        const std::string pattern = row[0];
        const bool per_layer = pattern.find('*') != std::string::npos;
        const auto types = Expand(expected.contains(pattern) ? expected[pattern] : expected["*"],
                                  per_layer ? layers : 1);
        ASSERT_EQ(types.size(), per_layer ? static_cast<size_t>(layers) : 1);
        for (size_t layer = 0; layer < types.size(); ++layer) {
          want[WithLayer(pattern, static_cast<int>(layer))] = types[layer];
        }
      }
      const auto recipe = FindRecipe(level);
      ASSERT_TRUE(recipe.ok()) << recipe.status();
      const auto selection = SelectTypes(**recipe, metadata, Shapes(tensors));
      ASSERT_TRUE(selection.ok()) << selection.status();
      EXPECT_EQ(TypesByName(*selection, tensors), want);
      ++cases;
    }
  }
  EXPECT_EQ(cases, 10 * AllRecipes().size());
}

TEST(RecipeTest, OutputIsOrderedByLayerThenName) {
  const std::vector<Tensor> tensors = {
      {"token_embd.weight", {256, 32}},    {"blk.10.attn_q.weight", {256, 256}},
      {"blk.2.attn_v.weight", {256, 256}}, {"blk.2.attn_k.weight", {256, 256}},
      {"output.weight", {256, 32}},        {"output_norm.weight", {256}, TypeId::kF32}};
  const auto selection = SelectTypes(RecipeOf(Level::kQ8_0), LlamaMetadata(11), Shapes(tensors));
  ASSERT_TRUE(selection.ok()) << selection.status();
  std::vector<std::string> names;
  for (const TensorChoice& choice : selection->tensors)
    names.push_back(tensors[choice.tensor].name);
  EXPECT_THAT(names,
              ElementsAre("output.weight", "output_norm.weight", "token_embd.weight",
                          "blk.2.attn_k.weight", "blk.2.attn_v.weight", "blk.10.attn_q.weight"));
}

TEST(RecipeTest, RowsThatDoNotFitAreListed) {
  const std::vector<Tensor> tensors = {{"output.weight", {576, 32}},
                                       {"blk.0.attn_q.weight", {576, 576}},
                                       {"blk.0.ffn_up.weight", {100, 64}},
                                       {"blk.0.ffn_gate.weight", {512, 64}}};
  const auto selection = SelectTypes(RecipeOf(Level::kQ4_K_M), LlamaMetadata(1), Shapes(tensors));
  ASSERT_TRUE(selection.ok()) << selection.status();
  EXPECT_EQ(TypesByName(*selection, tensors),
            (std::map<std::string, std::string>{{"output.weight", "Q8_0"},
                                                {"blk.0.attn_q.weight", "Q5_0"},
                                                {"blk.0.ffn_up.weight", "F16"},
                                                {"blk.0.ffn_gate.weight", "Q4_K"}}));
  ASSERT_EQ(selection->substitutions.size(), 3u);
  EXPECT_EQ(selection->substitutions[0].wanted, TypeId::kQ6_K);
  EXPECT_EQ(selection->substitutions[1].wanted, TypeId::kQ4_K);
  EXPECT_EQ(selection->substitutions[2].used, TypeId::kF16);
  EXPECT_THAT(selection->substitutions[1].why, HasSubstr("576"));
  EXPECT_THAT(selection->substitutions[1].why, HasSubstr("256"));
}

TEST(RecipeTest, VectorsAndNormsKeepTheirType) {
  const std::vector<Tensor> tensors = {{"blk.0.attn_norm.weight", {256, 4}, TypeId::kF32},
                                       {"blk.0.attn_v.bias", {256, 4}, TypeId::kF32},
                                       {"blk.0.scale.weight", {256, 1}, TypeId::kF32},
                                       {"blk.0.ffn_gate_inp.weight", {256, 8}, TypeId::kF32},
                                       {"position_embd.weight", {256, 8}, TypeId::kF32},
                                       {"blk.0.hc_up.weight", {256, 8}, TypeId::kF32}};
  for (const Recipe& recipe : AllRecipes()) {
    SCOPED_TRACE(std::string(recipe.name));
    const auto selection = SelectTypes(recipe, LlamaMetadata(1), Shapes(tensors));
    ASSERT_TRUE(selection.ok()) << selection.status();
    for (const TensorChoice& choice : selection->tensors) {
      const bool free = choice.tensor == 5;  // pinned in another architecture only
      EXPECT_EQ(choice.type, free ? recipe.default_type : TypeId::kF32)
          << tensors[choice.tensor].name;
    }
  }
}

TEST(RecipeTest, ArchitectureNamesBindTheirArchitectureOnly) {
  gguf::Metadata metadata;
  metadata.Set("general.architecture", std::string("glm5-next"));
  metadata.Set("glm5-next.block_count", uint32_t{1});
  const std::vector<Tensor> tensors = {{"output.weight", {256, 32}},
                                       {"blk.0.hc_up.weight", {256, 8}, TypeId::kF32},
                                       {"blk.0.attn_q_a.weight", {256, 8}}};
  const auto selection = SelectTypes(RecipeOf(Level::kQ4_K_M), metadata, Shapes(tensors));
  ASSERT_TRUE(selection.ok()) << selection.status();
  EXPECT_EQ(TypesByName(*selection, tensors),
            (std::map<std::string, std::string>{{"output.weight", "Q6_K"},
                                                {"blk.0.hc_up.weight", "F32"},
                                                {"blk.0.attn_q_a.weight", "Q8_0"}}));
}

TEST(RecipeTest, HeadCountsPerLayerCountAsTheFirst) {
  gguf::Metadata metadata = LlamaMetadata(8);
  metadata.Set("llama.attention.head_count_kv", gguf::Array(std::vector<int32_t>{2, 8}));
  const std::vector<Tensor> tensors = {{"output.weight", {256, 32}},
                                       {"blk.3.attn_v.weight", {256, 256}}};
  const auto selection = SelectTypes(RecipeOf(Level::kQ2_K), metadata, Shapes(tensors));
  ASSERT_TRUE(selection.ok()) << selection.status();
  EXPECT_EQ(TypesByName(*selection, tensors).at("blk.3.attn_v.weight"), "Q4_K");
}

TEST(RecipeTest, QuantizedSourceIsCopiedButNeverEncodedAgain) {
  const std::vector<Tensor> same = {{"output.weight", {256, 32}, TypeId::kQ8_0}};
  const auto selection = SelectTypes(RecipeOf(Level::kQ8_0), LlamaMetadata(1), Shapes(same));
  ASSERT_TRUE(selection.ok()) << selection.status();
  EXPECT_THAT(selection->tensors, ::testing::SizeIs(1));
  EXPECT_THAT(selection->substitutions, IsEmpty());

  const auto refused = SelectTypes(RecipeOf(Level::kQ4_K_M), LlamaMetadata(1), Shapes(same));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(ErrorOf(refused.status()), Error::kInvalidArgument);
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("output.weight is Q8_0"));
}

TEST(RecipeTest, MetadataThatTheRulesNeedMustBeThere) {
  const std::vector<Tensor> tensors = {{"output.weight", {256, 32}}};
  gguf::Metadata no_layers = LlamaMetadata(1), wrong_type = LlamaMetadata(1), nothing;
  no_layers.Remove("llama.block_count");
  wrong_type.Set("llama.block_count", std::string("32"));
  for (const auto& [metadata, key] :
       {std::pair{no_layers, "llama.block_count"}, std::pair{wrong_type, "llama.block_count"},
        std::pair{nothing, "general.architecture"}}) {
    const auto selection = SelectTypes(RecipeOf(Level::kQ4_0), metadata, Shapes(tensors));
    ASSERT_FALSE(selection.ok());
    EXPECT_EQ(ErrorOf(selection.status()), Error::kValidationFailed);
    EXPECT_THAT(std::string(selection.status().message()), HasSubstr(key));
  }
}

TEST(RecipeTest, LayerOfReadsOnlyWholeNumbers) {
  EXPECT_EQ(LayerOf("blk.0.attn_q.weight"), 0);
  EXPECT_EQ(LayerOf("blk.123.ffn_up.weight"), 123);
  for (const char* name : {"blk.", "blk..x", "blk.1", "blk.x.y", "enc.blk.1.x", "output.weight",
                           "blk.99999999999999999999.x"}) {
    EXPECT_EQ(LayerOf(name), -1) << name;
  }
}

}  // namespace
}  // namespace quantized
