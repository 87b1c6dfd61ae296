// Whole models against the reference quantizer: each tensor's type and bytes at each level that the
// reference was run with, and the whole file where the source is a GGUF file. Data:
// tests/golden/data/models; with the large set (LargeGoldenDir) the full models, too.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

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

// Quantizes `model` to each level of ours that `golden` has without importance matrix, and
// compares.
void CompareWithReference(const fs::path& model, const fs::path& golden) {
  std::ifstream in(golden);
  const auto json = nlohmann::json::parse(in, nullptr, false);
  ASSERT_FALSE(json.is_discarded()) << golden;
  testing::TempDir dir;
  size_t levels = 0;
  for (const Recipe& recipe : AllRecipes()) {
    const auto found = json["cases"].find(std::string(recipe.name) + "/none");
    if (found == json["cases"].end()) continue;
    ++levels;
    SCOPED_TRACE(std::string(recipe.name));
    QuantizeRequest request;
    request.model_path = model;
    request.model_name = model.filename();
    const fs::path output = dir.path() / "output.gguf";
    request.outputs = {{.level = std::string(recipe.name), .path = output}};
    request.overwrite = true;
    request.checkpoint.directory = dir.path() / "checkpoints";
    const auto result = testing::RunQuantize(request);
    ASSERT_TRUE(result.ok()) << result.status();

    const auto made = gguf::GgufReader::Open(output);
    ASSERT_TRUE(made.ok()) << made.status();
    const auto& expected = (*found)["tensors"];
    EXPECT_EQ((*made)->tensors().size(), expected.size());
    for (const gguf::TensorInfo& tensor : (*made)->tensors()) {
      SCOPED_TRACE(tensor.name);
      ASSERT_TRUE(expected.contains(tensor.name));
      const std::string type = expected[tensor.name][0], hash = expected[tensor.name][1];
      EXPECT_EQ(kernels::QuantTypeOf(tensor.type).name, type);
      EXPECT_EQ(Shortened(HashOf(**made, tensor), hash), hash);
    }
    if (found->contains("file_sha256") && model.extension() == ".gguf") {
      EXPECT_EQ(Sha256Hex(*ReadFile(output, uint64_t{1} << 32)),
                (*found)["file_sha256"].get<std::string>());
    }
  }
  EXPECT_GT(levels, 8u) << golden;
}

TEST(GoldenModelsTest, SmallModelsEqualTheReference) {
  const fs::path dir = testing::GoldenDir() / "models";
  CompareWithReference(dir / "nano-rows-f16.gguf", dir / "nano-rows-f16.json");
}

TEST(GoldenModelsTest, SmolLm2EqualsTheReference) {
  const auto model = testing::SmolLm2Dir();
  if (!model) GTEST_SKIP() << "SmolLM2 was not made (tests/support/make_smollm2.sh)";
  CompareWithReference(*model, testing::GoldenDir() / "models/smollm2-135m-f16.json");
}

class LargeGoldenModelsTest : public ::testing::TestWithParam<const char*> {};

TEST_P(LargeGoldenModelsTest, EqualTheReference) {
  const auto large = testing::LargeGoldenDir();
  if (!large) GTEST_SKIP() << "the large golden set was not named (QUANTIZED_GOLDEN)";
  const fs::path model = *large / "gguf/nano" / GetParam();
  CompareWithReference(model, fs::path(model).replace_extension(".json"));
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
