#include "client/commands/output_name.h"

#include <gtest/gtest.h>

#include "core/base/error.h"

namespace quantized {
namespace {

TEST(AutoOutputNameTest, JoinsModelAndLevel) {
  EXPECT_EQ(AutoOutputName("/models/SmolLM2-135M", "Q4_K_M", "gguf"), "SmolLM2-135M-Q4_K_M.gguf");
  EXPECT_EQ(AutoOutputName("/models/m", "q4_k_m", "gguf"), "m-Q4_K_M.gguf");
  EXPECT_EQ(AutoOutputName("/models/v1.5", "F16", "gguf"), "v1.5-F16.gguf");
  EXPECT_EQ(AutoOutputName("/", "Q8_0", "gguf"), "model-Q8_0.gguf");
}

TEST(AutoOutputNameTest, DropsWhatAGgufSaysOfItself) {
  EXPECT_EQ(AutoOutputName("/m/llama-7b.gguf", "Q8_0", "gguf"), "llama-7b-Q8_0.gguf");
  EXPECT_EQ(AutoOutputName("/m/llama-F16.gguf", "Q8_0", "gguf"), "llama-Q8_0.gguf");
  EXPECT_EQ(AutoOutputName("/m/llama-bf16.gguf", "Q8_0", "gguf"), "llama-Q8_0.gguf");
  EXPECT_EQ(AutoOutputName("/m/llama-F32-00001-of-00003.gguf", "Q8_0", "gguf"), "llama-Q8_0.gguf");
  EXPECT_EQ(AutoOutputName("/m/llama-0001-of-00003.gguf", "Q8_0", "gguf"),
            "llama-0001-of-00003-Q8_0.gguf");
  EXPECT_EQ(AutoOutputName("/m/-F16.gguf", "Q8_0", "gguf"), "-F16-Q8_0.gguf");
  EXPECT_EQ(AutoOutputName("/m/folder-F16", "Q8_0", "gguf"), "folder-F16-Q8_0.gguf");
}

TEST(AutoOutputNameTest, OfAFolderNamesTheFormatToo) {
  EXPECT_EQ(AutoOutputName("/models/SmolLM2-135M", "4bit", "gptq"), "SmolLM2-135M-gptq-4bit");
  EXPECT_EQ(AutoOutputName("/models/SmolLM2-135M", "4BIT", "awq"), "SmolLM2-135M-awq-4bit");
  EXPECT_EQ(AutoOutputName("/models/v1.5", "8bit", "gptq"), "v1.5-gptq-8bit");
  EXPECT_EQ(AutoOutputName("/", "4bit", "awq"), "model-awq-4bit");
}

TEST(GivenOutputNameTest, AddsTheSuffixWhereItIsMissing) {
  EXPECT_EQ(*GivenOutputName("out", "gguf"), "out.gguf");
  EXPECT_EQ(*GivenOutputName("out.gguf", "gguf"), "out.gguf");
  EXPECT_EQ(*GivenOutputName("out.GGUF", "gguf"), "out.GGUF");
  EXPECT_EQ(*GivenOutputName("v1.5", "gguf"), "v1.5.gguf");
}

TEST(GivenOutputNameTest, TakesTheNameOfAFolderAsItIs) {
  EXPECT_EQ(*GivenOutputName("out", "awq"), "out");
  EXPECT_EQ(*GivenOutputName("v1.5", "gptq"), "v1.5");
  EXPECT_EQ(*GivenOutputName("out.gguf", "gptq"), "out.gguf");
}

TEST(GivenOutputNameTest, RefusesFolders) {
  for (const std::string_view format : {"gguf", "awq", "gptq"}) {
    for (const std::string_view name : {"a/b", "/a", "..", "."}) {
      EXPECT_EQ(ErrorOf(GivenOutputName(name, format).status()), Error::kInvalidArgument)
          << format << " " << name;
    }
  }
}

}  // namespace
}  // namespace quantized
