#include "core/hf/pooling.h"

#include <fstream>

#include "core/base/error.h"
#include "gtest/gtest.h"
#include "tests/support/paths.h"

namespace quantized {
namespace {

class PoolingTest : public ::testing::Test {
 protected:
  void Write(const std::filesystem::path& name, std::string_view text) {
    std::filesystem::create_directories((dir_.path() / name).parent_path());
    std::ofstream(dir_.path() / name) << text;
  }
  void WriteModules(std::string_view folder) {
    Write("modules.json", R"([{"type": "sentence_transformers.models.Transformer", "path": ""},
                              {"type": "sentence_transformers.models.Pooling", "path": ")" +
                              std::string(folder) + "\"}]");
  }

  testing::TempDir dir_;
};

TEST_F(PoolingTest, NoModulesOrNoPoolingModule) {
  EXPECT_EQ(*ReadPoolingType(dir_.path()), std::nullopt);
  Write("modules.json", R"([{"type": "x.Transformer", "path": ""}])");
  EXPECT_EQ(*ReadPoolingType(dir_.path()), std::nullopt);
}

TEST_F(PoolingTest, OldAndNewNames) {
  WriteModules("1_Pooling");
  Write("1_Pooling/config.json",
        R"({"pooling_mode_mean_tokens": false, "pooling_mode_lasttoken": true})");
  EXPECT_EQ(*ReadPoolingType(dir_.path()), 3u);
  Write("1_Pooling/config.json", R"({"pooling_mode": "cls"})");
  EXPECT_EQ(*ReadPoolingType(dir_.path()), 2u);
}

TEST_F(PoolingTest, ReadsWhatItGives) {
  for (const uint32_t type : {1, 2, 3}) {
    const auto files = PoolingFilesOf(type, 32);
    ASSERT_TRUE(files.has_value());
    Write("modules.json", files->modules.dump());
    Write(std::filesystem::path(kPoolingFolder) / "config.json", files->pooling.dump());
    EXPECT_EQ(*ReadPoolingType(dir_.path()), type);
  }
  EXPECT_FALSE(PoolingFilesOf(0, 32).has_value());
  EXPECT_FALSE(PoolingFilesOf(4, 32).has_value());
}

TEST_F(PoolingTest, RefusesOtherWaysAndFoldersElsewhere) {
  WriteModules("1_Pooling");
  Write("1_Pooling/config.json", R"({"pooling_mode_max_tokens": true})");
  EXPECT_EQ(ErrorOf(ReadPoolingType(dir_.path()).status()), Error::kValidationFailed);
  WriteModules("../elsewhere");
  EXPECT_EQ(ErrorOf(ReadPoolingType(dir_.path()).status()), Error::kValidationFailed);
  Write("modules.json", "{}");
  EXPECT_EQ(ErrorOf(ReadPoolingType(dir_.path()).status()), Error::kValidationFailed);
}

}  // namespace
}  // namespace quantized
