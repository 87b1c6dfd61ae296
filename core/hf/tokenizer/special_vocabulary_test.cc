#include "core/hf/tokenizer/special_vocabulary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/hf/tokenizer/test_json.h"
#include "tests/support/paths.h"

namespace quantized::tokenizer {
namespace {

using ::quantized::testing::GoldenDir;
using ::quantized::testing::TempDir;
using ::testing::HasSubstr;

struct Keys {
  const char* role;
  const char* id;
  const char* add;
};
constexpr Keys kKeys[] = {
    {"bos", "tokenizer.ggml.bos_token_id", "tokenizer.ggml.add_bos_token"},
    {"eos", "tokenizer.ggml.eos_token_id", "tokenizer.ggml.add_eos_token"},
    {"unk", "tokenizer.ggml.unknown_token_id", nullptr},
    {"sep", "tokenizer.ggml.seperator_token_id", "tokenizer.ggml.add_sep_token"},
    {"pad", "tokenizer.ggml.padding_token_id", nullptr},
    {"mask", "tokenizer.ggml.mask_token_id", nullptr},
    {"eot", "tokenizer.ggml.eot_token_id", nullptr},
    {"eom", "tokenizer.ggml.eom_token_id", nullptr},
};

const char* KeyOf(const std::string& role, const char* Keys::*kind) {
  for (const Keys& keys : kKeys) {
    if (role == keys.role) return keys.*kind;
  }
  return nullptr;
}

// The keys that the reference's writer makes of what its reader found.
gguf::Metadata Expected(const nlohmann::json& test) {
  gguf::Metadata metadata;
  for (const auto& [role, id] : test["ids"].get<std::vector<std::pair<std::string, uint32_t>>>()) {
    if (const char* key = KeyOf(role, &Keys::id)) metadata.Set(key, id);
  }
  for (const auto& [role, add] : test["add"].get<std::vector<std::pair<std::string, bool>>>()) {
    if (const char* key = KeyOf(role, &Keys::add)) metadata.Set(key, add);
  }
  const nlohmann::json& chat = test["template"];
  if (chat.is_string() && chat != "") {
    metadata.Set("tokenizer.chat_template", chat.get<std::string>());
  } else if (chat.is_array()) {
    std::vector<std::string> names;
    for (const auto& choice : chat) {
      const std::string name = choice["name"] == "tool use!" ? "tool_use_" : choice["name"];
      if (name == "default") continue;
      metadata.Set("tokenizer.chat_template." + name, choice["template"].get<std::string>());
      names.push_back(name);
    }
    metadata.Set("tokenizer.chat_templates", gguf::Array(names));
    if (chat[0]["name"] == "default") {
      metadata.Set("tokenizer.chat_template", chat[0]["template"].get<std::string>());
    }
  }
  if (test["lowercase"].is_boolean()) {
    metadata.Set("tokenizer.ggml.normalizer.lowercase", test["lowercase"].get<bool>());
  }
  if (test["strip_accents"].is_boolean()) {
    metadata.Set("tokenizer.ggml.normalizer.strip_accents", test["strip_accents"].get<bool>());
  }
  return metadata;
}

std::vector<std::string> KeysOf(const gguf::Metadata& metadata) {
  std::vector<std::string> keys;
  for (const auto& entry : metadata.entries()) keys.push_back(entry.key);
  return keys;
}

absl::StatusOr<gguf::Metadata> Read(const nlohmann::json& files) {
  const TempDir dir;
  for (const auto& [name, contents] : files.items()) {
    WriteTestJson(dir.path() / name, contents);
  }
  std::optional<TokenizerFile> file;
  if (files.contains("tokenizer.json")) {
    auto read = ReadTokenizerJson(dir.path() / "tokenizer.json", ModelPart::kSkip);
    if (!read.ok()) return read.status();
    file = *std::move(read);
  }
  const auto special = SpecialVocabulary::Read(dir.path(), file.has_value() ? &*file : nullptr,
                                               files["config.json"], std::nullopt);
  if (!special.ok()) return special.status();
  gguf::Metadata metadata;
  special->AppendTo(metadata);
  return metadata;
}

TEST(SpecialVocabularyTest, EqualsTheReferenceForCombinationsOfFiles) {
  const nlohmann::json tests = ReadTestJson(GoldenDir() / "tokenizers" / "special.json");
  ASSERT_GE(tests.size(), 170u);
  for (const nlohmann::json& test : tests) {
    SCOPED_TRACE(test["name"].get<std::string>());
    const auto metadata = Read(test["files"]);
    ASSERT_TRUE(metadata.ok()) << metadata.status();
    const gguf::Metadata expected = Expected(test);
    EXPECT_EQ(KeysOf(*metadata), KeysOf(expected));
    EXPECT_TRUE(*metadata == expected);
  }
}

}  // namespace
}  // namespace quantized::tokenizer
