// Whole models against the reference quantizer: each tensor's type and bytes at each level that the
// reference was run with, and the whole file where the source is a GGUF file. Data:
// tests/golden/data/models; with the large set (LargeGoldenDir) the full models, too.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/sha256.h"
#include "core/gguf/reader.h"
#include "core/quantize/levels.h"
#include "tests/support/paths.h"
#include "tests/support/quantize_job.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;

// `hash` where it is the beginning of the expected one's kind, else the whole: recorded hashes are
// shortened.
std::string Shortened(const std::string& hash, const std::string& like) {
  return hash.substr(0, like.size());
}

std::string HashOf(const gguf::GgufReader& reader, const gguf::TensorInfo& tensor) {
  constexpr uint64_t kChunkBytes = 1 << 20;
  Sha256 hash;
  std::vector<std::byte> chunk;
  for (uint64_t done = 0; done < tensor.size_bytes; done += chunk.size()) {
    chunk.resize(std::min(kChunkBytes, tensor.size_bytes - done));
    EXPECT_TRUE(reader.Read(tensor, done, chunk).ok());
    hash.Update(chunk);
  }
  return hash.HexDigest();
}

// What the reference made of a model: file, cases, and the importance matrix of the cases with one.
struct GoldenModel {
  fs::path model, cases, imatrix;
};

// The options of a case, pairs of name and value but for the two that have none.
void TakeOptions(const GoldenModel& golden, const nlohmann::json& words, GgufOptions& options) {
  const std::map<std::string, std::function<void(const std::string&)>> takers = {
      {"--imatrix",
       [&](const std::string&) {
         options.imatrix_paths = {golden.imatrix};
         options.imatrix_names = {golden.imatrix.filename()};
       }},
      {"--output-tensor-type", [&](const std::string& v) { options.output_tensor_type = v; }},
      {"--token-embedding-type", [&](const std::string& v) { options.token_embedding_type = v; }},
      {"--tensor-type", [&](const std::string& v) { options.tensor_types.push_back(v); }},
      {"--prune-layers",
       [&](const std::string& v) {
         options.prune_layers.push_back(static_cast<uint32_t>(std::stoul(v)));
       }},
      {"--override-kv", [&](const std::string& v) { options.override_kv.push_back(v); }},
      {"--include-weights", [&](const std::string& v) { options.include_weights.push_back(v); }},
      {"--exclude-weights", [&](const std::string& v) { options.exclude_weights.push_back(v); }},
  };
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string name = words[i];
    if (name == "--pure") {
      options.pure = true;
    } else if (name == "--leave-output-tensor") {
      options.leave_output_tensor = true;
    } else {
      takers.at(name)(words[++i]);
    }
  }
}

QuantizeRequest RequestOf(const GoldenModel& golden, const Recipe& recipe,
                          const nlohmann::json& options, const fs::path& dir) {
  QuantizeRequest request;
  request.model_path = golden.model;
  request.model_name = golden.model.filename();
  request.outputs = {{.level = std::string(recipe.name), .path = dir / "output.gguf"}};
  request.overwrite = true;
  request.checkpoint.directory = dir / "checkpoints";
  TakeOptions(golden, options, request.gguf);
  return request;
}

void CompareFile(const fs::path& output, const GoldenModel& golden,
                 const nlohmann::json& expected) {
  const auto made = gguf::GgufReader::Open(output);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ((*made)->tensors().size(), expected["tensors"].size());
  for (const gguf::TensorInfo& tensor : (*made)->tensors()) {
    SCOPED_TRACE(tensor.name);
    ASSERT_TRUE(expected["tensors"].contains(tensor.name));
    const std::string type = expected["tensors"][tensor.name][0],
                      hash = expected["tensors"][tensor.name][1];
    EXPECT_EQ(kernels::QuantTypeOf(tensor.type).name, type);
    EXPECT_EQ(Shortened(HashOf(**made, tensor), hash), hash);
  }
  if (expected.contains("file_sha256") && golden.model.extension() == ".gguf") {
    EXPECT_EQ(Sha256Hex(*ReadFile(output, uint64_t{1} << 32)),
              expected["file_sha256"].get<std::string>());
  }
}

// Quantizes the model to each level that `golden` has, without and with importance matrix, and
// compares. Where the reference refuses, so must we.
void CompareWithReference(const GoldenModel& golden, size_t least_cases) {
  std::ifstream in(golden.cases);
  const auto json = nlohmann::json::parse(in, nullptr, false);
  ASSERT_FALSE(json.is_discarded()) << golden.cases;
  testing::TempDir dir;
  size_t cases = 0;
  for (const auto& [name, expected] : json["cases"].items()) {
    SCOPED_TRACE(name);
    const size_t slash = name.find('/');
    const auto recipe = FindRecipe(name.substr(0, slash));
    ASSERT_TRUE(recipe.ok()) << recipe.status();
    nlohmann::json options = expected.value("options", nlohmann::json::array());
    if (name.substr(slash + 1) == "im") options = {"--imatrix", ""};
    const QuantizeRequest request = RequestOf(golden, **recipe, options, dir.path());
    const auto result = testing::RunQuantize(request);
    ++cases;
    if (expected.contains("error")) {
      EXPECT_EQ(ErrorOf(result.status()), Error::kInvalidArgument) << result.status();
      continue;
    }
    ASSERT_TRUE(result.ok()) << result.status();
    CompareFile(request.outputs[0].path, golden, expected);
  }
  EXPECT_GE(cases, least_cases) << golden.cases;
}

TEST(GoldenModelsTest, SmallModelsEqualTheReference) {
  const fs::path dir = testing::GoldenDir() / "models";
  CompareWithReference({.model = dir / "nano-rows-f16.gguf",
                        .cases = dir / "nano-rows-f16.json",
                        .imatrix = dir / "nano-rows-f16.imatrix.gguf"},
                       83);
}

TEST(GoldenModelsTest, SmolLm2EqualsTheReference) {
  const auto model = testing::SmolLm2Dir();
  if (!model) GTEST_SKIP() << "SmolLM2 was not made (tests/support/make_smollm2.sh)";
  const fs::path dir = testing::GoldenDir() / "models";
  CompareWithReference({.model = *model,
                        .cases = dir / "smollm2-135m-f16.json",
                        .imatrix = dir / "smollm2-135m.imatrix.gguf"},
                       14);
}

class LargeGoldenModelsTest : public ::testing::TestWithParam<const char*> {};

TEST_P(LargeGoldenModelsTest, EqualTheReference) {
  const auto large = testing::LargeGoldenDir();
  if (!large) GTEST_SKIP() << "the large golden set was not named (QUANTIZED_GOLDEN)";
  const fs::path model = *large / "gguf/nano" / GetParam();
  CompareWithReference({.model = model,
                        .cases = fs::path(model).replace_extension(".json"),
                        .imatrix = fs::path(model).replace_extension(".imatrix.gguf")},
                       36);
}

INSTANTIATE_TEST_SUITE_P(Nano, LargeGoldenModelsTest,
                         ::testing::Values("nano-dense-f16.gguf", "nano-moe8-f32f16.gguf",
                                           "nano-tied-bf16.gguf"),
                         [](const auto& instance) {
                           std::string name = instance.param;
                           std::erase_if(name, [](char c) { return !std::isalnum(c); });
                           return name;
                         });

}  // namespace
}  // namespace quantized
