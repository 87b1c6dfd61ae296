#include "core/packed/companion_files.h"

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"
#include "core/base/file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/paths.h"

namespace quantized {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class CompanionFilesTest : public ::testing::Test {
 protected:
  void Put(std::string_view name, std::string_view contents = "x") {
    std::filesystem::create_directories((source_.path() / name).parent_path());
    ASSERT_TRUE(WriteFileAtomically(source_.path() / name, contents).ok());
  }

  std::vector<std::string> Found() {
    const auto files = CompanionFiles(source_.path());
    EXPECT_TRUE(files.ok()) << files.status();
    return files.value_or(std::vector<std::string>());
  }

  const testing::TempDir source_;
};

TEST_F(CompanionFilesTest, WhatBelongsToTheTextIsTaken) {
  for (const char* name :
       {"tokenizer.json", "tokenizer.model", "tokenizer.model.v3", "vocab.json", "merges.txt",
        "qwen.tiktoken", "added_tokens.json", "special_tokens_map.json", "chat_template.jinja",
        "preprocessor_config.json", "generation_config.json", "tokenizer_config.json"}) {
    Put(name, "{}");
  }
  Put("LICENSE");
  Put("Notice.txt");
  Put("USE_POLICY.md");
  Put("additional_chat_templates/rag.jinja");
  // Left behind.
  for (const char* name :
       {"model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "README.md",
        "model-00001-of-00002.safetensors", "quantize_config.json", ".git/config", ".gitattributes",
        "original/tokenizer.model", "train.py", "additional_chat_templates/notes.txt",
        "consolidated.00.pth", "mytokenizer.json"}) {
    Put(name);
  }
  Put("config.json", "{}");
  EXPECT_THAT(Found(), ElementsAre("LICENSE", "Notice.txt", "USE_POLICY.md", "added_tokens.json",
                                   "additional_chat_templates/rag.jinja", "chat_template.jinja",
                                   "generation_config.json", "merges.txt",
                                   "preprocessor_config.json", "qwen.tiktoken",
                                   "special_tokens_map.json", "tokenizer.json", "tokenizer.model",
                                   "tokenizer.model.v3", "tokenizer_config.json", "vocab.json"));
}

TEST_F(CompanionFilesTest, CodeIsTakenWhereItIsNamedOrImported) {
  Put("config.json", R"({"auto_map": {"AutoConfig": "configuration_x.XConfig",
      "AutoModel": "other/repo--modeling_y.Y", "AutoModelForCausalLM": "modeling_x.X",
      "AutoProcessor": "../secret.S", "AutoVideo": "missing.M", "AutoThing": 3}})");
  Put("tokenizer_config.json", R"({"auto_map": {"AutoTokenizer": ["tokenization_x.T", null]}})");
  Put("modeling_x.py",
      "import os\nfrom .configuration_x import XConfig\n"
      "    from  .layers_x import a, b\n# from .comment_x import c\nfrom ..up import d\n"
      "from torch import nn\n");
  Put("layers_x.py", "from .modeling_x import X\nfrom .");
  for (const char* name : {"configuration_x.py", "tokenization_x.py", "modeling_y.py",
                           "comment_x.py", "secret.py", "up.py", "setup.py"}) {
    Put(name, "");
  }
  EXPECT_THAT(Found(), ElementsAre("configuration_x.py", "layers_x.py", "modeling_x.py",
                                   "tokenization_x.py", "tokenizer_config.json"));
}

TEST_F(CompanionFilesTest, DamagedConfigurationIsRefused) {
  Put("config.json", "{");
  EXPECT_EQ(ErrorOf(CompanionFiles(source_.path()).status()), Error::kValidationFailed);
}

TEST_F(CompanionFilesTest, LinksToFilesAreFilesAndOthersAreNot) {
  Put("blobs/1234", "text");
  std::filesystem::create_symlink("blobs/1234", source_.path() / "vocab.txt");
  std::filesystem::create_symlink("blobs/none", source_.path() / "merges.txt");
  std::filesystem::create_directory(source_.path() / "LICENSES");
  EXPECT_THAT(Found(), ElementsAre("vocab.txt"));
  const testing::TempDir target;
  ASSERT_TRUE(CopyFiles(source_.path(), target.path(), Found()).ok());
  EXPECT_FALSE(std::filesystem::is_symlink(target.path() / "vocab.txt"));
  EXPECT_EQ(ReadFile(target.path() / "vocab.txt", 100).value(), "text");
}

TEST_F(CompanionFilesTest, NoFolderHasNoFiles) {
  EXPECT_THAT(CompanionFiles(source_.path() / "none").value(), IsEmpty());
}

TEST_F(CompanionFilesTest, CopiesAreEqualAndReplaceWhatIsThere) {
  Put("tokenizer.json", std::string("a\0b", 3));
  Put("additional_chat_templates/rag.jinja", "{{ x }}");
  const testing::TempDir target;
  ASSERT_TRUE(WriteFileAtomically(target.path() / "tokenizer.json", "old").ok());
  ASSERT_TRUE(CopyFiles(source_.path(), target.path(), Found()).ok());
  EXPECT_EQ(ReadFile(target.path() / "tokenizer.json", 100).value(), std::string("a\0b", 3));
  EXPECT_EQ(ReadFile(target.path() / "additional_chat_templates/rag.jinja", 100).value(),
            "{{ x }}");
  EXPECT_EQ(ErrorOf(CopyFiles(source_.path(), target.path(), {"none"})), Error::kModelNotFound);
}

}  // namespace
}  // namespace quantized
