#include "core/hf/tokenizer/auto_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/hf/tokenizer/test_json.h"
#include "core/hf/tokenizer/tokenizer.h"
#include "core/hf/tokenizer/tokenizer_config.h"
#include "tests/support/paths.h"

namespace quantized::tokenizer {
namespace {

using ::quantized::testing::GoldenDir;
using ::quantized::testing::TempDir;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// What transformers makes of changed tokenizer_config.json files: ids of a text with special
// tokens, added tokens, tokens with a role.
TEST(AutoTokenizerTest, EqualsTransformers) {
  const std::filesystem::path golden = GoldenDir() / "tokenizers";
  const nlohmann::json file = ReadTestJson(golden / "auto.json");
  ASSERT_GE(file["cases"].size(), 20u);
  for (const nlohmann::json& test : file["cases"]) {
    SCOPED_TRACE(test["name"].get<std::string>());
    const TempDir dir;
    const std::filesystem::path base = golden / "models" / test["base"].get<std::string>();
    std::filesystem::copy(base / "tokenizer.json", dir.path() / "tokenizer.json");
    WriteTestJson(dir.path() / "tokenizer_config.json", test["tokenizer_config"]);
    if (test["special_tokens_map"].is_object()) {
      WriteTestJson(dir.path() / "special_tokens_map.json", test["special_tokens_map"]);
    }
    const std::string model_type = ReadTestJson(base / "config.json")["model_type"];
    const auto tokenizer = Tokenizer::FromDirectory(dir.path(), model_type);
    if (!tokenizer.ok()) {
      ADD_FAILURE() << tokenizer.status();
      continue;
    }
    const auto ids = (*tokenizer)->Encode(file["text"].get<std::string>(), /*add_special=*/true);
    ASSERT_TRUE(ids.ok()) << ids.status();
    EXPECT_EQ(*ids, test["ids"].get<std::vector<uint32_t>>());
    nlohmann::json added = nlohmann::json::array();
    for (uint32_t id = 0; id < (*tokenizer)->end_id(); ++id) {
      const AddedToken* token = (*tokenizer)->AddedTokenOf(id);
      if (token == nullptr) continue;
      added.push_back(
          nlohmann::json::array({id, token->content, token->special, token->normalized}));
    }
    EXPECT_EQ(added, test["added"]);
    const auto config = ReadTokenizerConfig(dir.path());
    ASSERT_TRUE(config.ok()) << config.status();
    std::vector<std::string> special = SpecialTokens(*config, model_type);
    std::sort(special.begin(), special.end());
    special.erase(std::unique(special.begin(), special.end()), special.end());
    EXPECT_EQ(special, test["special_tokens"].get<std::vector<std::string>>());
  }
}

}  // namespace
}  // namespace quantized::tokenizer
