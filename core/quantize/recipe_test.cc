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

// What the variants of the golden cases are.
SelectionOptions OptionsOf(const std::string& variant) {
  SelectionOptions options;
  if (variant == "imatrix") options.has_importance = true;
  if (variant == "pure") options.pure = true;
  if (variant == "leave-output") options.leave_output = true;
  if (variant == "out-f16") options.output_type = TypeId::kF16;
  if (variant == "embd-q8") options.embedding_type = TypeId::kQ8_0;
  if (variant == "tt-attn_v") {
    options.tensor_types = {*ParseTensorTypeOverride("attn_v=q8_0")};
  }
  if (variant == "tt-regex") {
    options.tensor_types = {*ParseTensorTypeOverride(R"(blk\.(\d|1[0-3])\.ffn_down=Q6_K)")};
  }
  if (variant == "prune") options.pruned_layers = {1, 4, 2};
  return options;
}

using NamedTypes = std::map<std::string, std::string>;

// `expected` without its patterns, for a model of `layers` layers.
NamedTypes Unfold(const nlohmann::json& tensors, const nlohmann::json& expected, int layers) {
  NamedTypes types;
  for (const auto& row : tensors) {
    const std::string pattern = row[0];
    const bool per_layer = pattern.find('*') != std::string::npos;
    if (!per_layer && LayerOf(pattern) >= layers) continue;  // pruned
    const auto each = Expand(expected.contains(pattern) ? expected[pattern] : expected["*"],
                             per_layer ? layers : 1);
    EXPECT_EQ(each.size(), per_layer ? static_cast<size_t>(layers) : 1) << pattern;
    for (size_t layer = 0; layer < each.size(); ++layer) {
      types[WithLayer(pattern, static_cast<int>(layer))] = each[layer];
    }
  }
  return types;
}

// The reference quantizer's choices: tests/golden/data/type_selection/README.md.
TEST(RecipeGoldenTest, EqualsTheReferenceForEachShapeAndLevel) {
  std::ifstream in(testing::GoldenDir() / "type_selection/type_selection.json");
  const auto golden = nlohmann::json::parse(in, nullptr, false);
  ASSERT_FALSE(golden.is_discarded());
  size_t count = 0;
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
    for (const auto& [names, expected] : model["cases"].items()) {
      std::istringstream cases(names);
      for (std::string name; cases >> name; ++count) {
        SCOPED_TRACE(model_name + " " + name);
        const auto recipe = FindRecipe(name.substr(0, name.find('/')));
        ASSERT_TRUE(recipe.ok()) << recipe.status();
        const auto selection = SelectTypes(**recipe, metadata, Shapes(tensors),
                                           OptionsOf(name.substr(name.find('/') + 1)));
        if (expected == "error") {
          EXPECT_EQ(ErrorOf(selection.status()), Error::kInvalidArgument);
          continue;
        }
        ASSERT_TRUE(selection.ok()) << selection.status();
        NamedTypes found;
        for (const TensorChoice& choice : selection->tensors) {
          found[choice.name] = kernels::QuantTypeOf(choice.type).name;
        }
        const int left = expected.value("layers", layers);
        EXPECT_EQ(found, Unfold(model["tensors"], expected, left));
        EXPECT_EQ(selection->layers_left, left == layers ? 0u : static_cast<uint32_t>(left));
      }
    }
  }
  EXPECT_EQ(count, 10 * 2 * (AllRecipes().size() - 1) + 4 * 5 * 7);
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
    if (recipe.level == Level::kMXFP4_MOE) continue;  // its default is for experts only
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

TEST(RecipeTest, CopyKeepsEverything) {
  const std::vector<Tensor> tensors = {{"output.weight", {256, 32}, TypeId::kQ4_K},
                                       {"blk.0.attn_q.weight", {256, 256}, TypeId::kQ8_0}};
  const auto selection = SelectTypes(RecipeOf(Level::kCopy), LlamaMetadata(1), Shapes(tensors));
  ASSERT_TRUE(selection.ok()) << selection.status();
  EXPECT_EQ(TypesByName(*selection, tensors),
            (NamedTypes{{"output.weight", "Q4_K"}, {"blk.0.attn_q.weight", "Q8_0"}}));
}

TEST(RecipeTest, TypesNamedByOptionsAreNeverReplaced) {
  const std::vector<Tensor> tensors = {{"output.weight", {576, 32}},
                                       {"token_embd.weight", {576, 32}}};
  SelectionOptions output, embedding;
  output.output_type = TypeId::kQ6_K;
  embedding.embedding_type = TypeId::kQ4_K;
  for (const auto& [options, name] :
       {std::pair{output, "output.weight"}, std::pair{embedding, "token_embd.weight"}}) {
    const auto selection =
        SelectTypes(RecipeOf(Level::kQ8_0), LlamaMetadata(1), Shapes(tensors), options);
    ASSERT_FALSE(selection.ok());
    EXPECT_EQ(ErrorOf(selection.status()), Error::kInvalidArgument);
    EXPECT_THAT(std::string(selection.status().message()),
                ::testing::AllOf(HasSubstr(name), HasSubstr("rows of 576 values")));
  }
}

TEST(RecipeTest, PrunedLayersMustBeThere) {
  const std::vector<Tensor> tensors = {{"output.weight", {256, 32}},
                                       {"blk.0.attn_q.weight", {256, 256}}};
  SelectionOptions options;
  options.pruned_layers = {7};
  const auto selection =
      SelectTypes(RecipeOf(Level::kQ8_0), LlamaMetadata(1), Shapes(tensors), options);
  ASSERT_FALSE(selection.ok());
  EXPECT_THAT(std::string(selection.status().message()), HasSubstr("no layer 7"));
}

TEST(RecipeTest, QuantizedSourceIsEncodedAgainWhereAllowed) {
  const std::vector<Tensor> tensors = {{"output.weight", {256, 32}, TypeId::kQ8_0},
                                       {"blk.0.table.weight", {256, 32}, TypeId::kI32}};
  SelectionOptions options;
  options.allow_requantize = true;
  const auto refused =
      SelectTypes(RecipeOf(Level::kQ4_K_M), LlamaMetadata(1), Shapes(tensors), options);
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("blk.0.table.weight is I32"));
  const auto selection =
      SelectTypes(RecipeOf(Level::kQ4_K_M), LlamaMetadata(1), Shapes({tensors[0]}), options);
  ASSERT_TRUE(selection.ok()) << selection.status();
  EXPECT_EQ(selection->tensors[0].type, TypeId::kQ6_K);
}

TEST(RecipeTest, ImportanceIsNeededByTypeAndLevel) {
  const Recipe &low = RecipeOf(Level::kIQ2_XS), &small = RecipeOf(Level::kQ2_K_S);
  EXPECT_TRUE(NeedsImportance(low, "blk.0.attn_q.weight", TypeId::kIQ2_XS));
  EXPECT_FALSE(NeedsImportance(low, "blk.0.attn_v.weight", TypeId::kQ2_K));
  EXPECT_FALSE(NeedsImportance(low, "token_embd.weight", TypeId::kIQ2_XS));
  EXPECT_FALSE(NeedsImportance(low, "output.weight", TypeId::kIQ2_XS));
  EXPECT_TRUE(NeedsImportance(small, "blk.0.attn_q.weight", TypeId::kQ2_K));
  EXPECT_FALSE(NeedsImportance(RecipeOf(Level::kIQ3_S), "blk.0.attn_q.weight", TypeId::kIQ3_S));
}

std::vector<std::string> KeysOf(const gguf::Metadata& metadata) {
  std::vector<std::string> keys;
  for (const auto& entry : metadata.entries()) keys.push_back(entry.key);
  return keys;
}

TEST(QuantizedMetadataTest, KeysStandInTheReferencesOrder) {
  gguf::Metadata source = LlamaMetadata(5);
  source.Set("general.file_type", uint32_t{1});
  source.Set("split.count", uint16_t{2});
  source.Set("general.name", std::string("model"));
  const std::vector<gguf::Metadata::Entry> overrides = {
      *ParseMetadataOverride("general.name=str:other"), *ParseMetadataOverride("new.key=int:-3")};
  const std::vector<gguf::Metadata::Entry> added = {{"quantize.imatrix.file", std::string("m")}};
  const gguf::Metadata metadata =
      QuantizedMetadata(source, RecipeOf(Level::kQ4_K_M), {}, overrides, added, 3);
  EXPECT_THAT(KeysOf(metadata),
              ElementsAre("general.architecture", "llama.attention.head_count",
                          "llama.attention.head_count_kv", "general.quantization_version",
                          "general.file_type", "general.name", "new.key", "quantize.imatrix.file",
                          "llama.block_count"));
  EXPECT_EQ(*metadata.Get<uint32_t>("general.file_type"), 15u);
  EXPECT_EQ(*metadata.Get<std::string>("general.name"), "other");
  EXPECT_EQ(*metadata.Get<uint32_t>("new.key"), 3u);
  EXPECT_EQ(*metadata.Get<uint32_t>("llama.block_count"), 3u);
}

TEST(QuantizedMetadataTest, CopyKeepsTheFileTypeOrGuessesIt) {
  gguf::Metadata source = LlamaMetadata(1);
  const std::vector<Tensor> tensors = {{"a.weight", {256}, TypeId::kF32},
                                       {"b.weight", {256}, TypeId::kQ3_K},
                                       {"c.weight", {256}, TypeId::kQ3_K}};
  const Recipe& copy = RecipeOf(Level::kCopy);
  EXPECT_EQ(*QuantizedMetadata(source, copy, Shapes(tensors), {}, {}, 0)
                 .Get<uint32_t>("general.file_type"),
            1024u + 12);
  source.Set("general.file_type", uint32_t{7});
  EXPECT_EQ(*QuantizedMetadata(source, copy, Shapes(tensors), {}, {}, 0)
                 .Get<uint32_t>("general.file_type"),
            7u);
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
