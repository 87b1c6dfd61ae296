#include "client/commands/output_name.h"

#include <gtest/gtest.h>

#include "core/base/error.h"

namespace quantized {
namespace {

TEST(AutoOutputNameTest, JoinsModelAndLevel) {
  EXPECT_EQ(AutoOutputName("/models/SmolLM2-135M", "Q4_K_M"), "SmolLM2-135M-Q4_K_M.gguf");
  EXPECT_EQ(AutoOutputName("/models/m", "q4_k_m"), "m-Q4_K_M.gguf");
  EXPECT_EQ(AutoOutputName("/models/v1.5", "F16"), "v1.5-F16.gguf");
  EXPECT_EQ(AutoOutputName("/", "Q8_0"), "model-Q8_0.gguf");
}

TEST(AutoOutputNameTest, DropsWhatAGgufSaysOfItself) {
  EXPECT_EQ(AutoOutputName("/m/llama-7b.gguf", "Q8_0"), "llama-7b-Q8_0.gguf");
  EXPECT_EQ(AutoOutputName("/m/llama-F16.gguf", "Q8_0"), "llama-Q8_0.gguf");
  EXPECT_EQ(AutoOutputName("/m/llama-bf16.gguf", "Q8_0"), "llama-Q8_0.gguf");
  EXPECT_EQ(AutoOutputName("/m/llama-F32-00001-of-00003.gguf", "Q8_0"), "llama-Q8_0.gguf");
  EXPECT_EQ(AutoOutputName("/m/llama-0001-of-00003.gguf", "Q8_0"), "llama-0001-of-00003-Q8_0.gguf");
  EXPECT_EQ(AutoOutputName("/m/-F16.gguf", "Q8_0"), "-F16-Q8_0.gguf");
  EXPECT_EQ(AutoOutputName("/m/folder-F16", "Q8_0"), "folder-F16-Q8_0.gguf");
}

TEST(GivenOutputNameTest, AddsTheSuffixWhereItIsMissing) {
  EXPECT_EQ(*GivenOutputName("out"), "out.gguf");
  EXPECT_EQ(*GivenOutputName("out.gguf"), "out.gguf");
  EXPECT_EQ(*GivenOutputName("out.GGUF"), "out.GGUF");
  EXPECT_EQ(*GivenOutputName("v1.5"), "v1.5.gguf");
}

TEST(GivenOutputNameTest, RefusesFolders) {
  for (const std::string_view name : {"a/b", "/a", "..", "."}) {
    EXPECT_EQ(ErrorOf(GivenOutputName(name).status()), Error::kInvalidArgument) << name;
  }
}

}  // namespace
}  // namespace quantized
