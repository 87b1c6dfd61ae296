#include "core/gguf/split.h"

#include <string>

#include "gtest/gtest.h"

namespace quantized::gguf {
namespace {

TEST(SplitNameTest, ParsesAndFormats) {
  for (const char* text : {"m-00001-of-00003.gguf", "m-Q4_K_M-00012-of-00012.gguf",
                           "a-00001-of-00002-00002-of-00002.gguf"}) {
    const auto name = ParseSplitName(text);
    ASSERT_TRUE(name) << text;
    EXPECT_EQ(FormatSplitName(*name), text);
  }
  const auto name = ParseSplitName("m-Q4_K_M-00002-of-00012.gguf");
  EXPECT_EQ(name->prefix, "m-Q4_K_M");
  EXPECT_EQ(name->number, 2u);
  EXPECT_EQ(name->count, 12u);
}

TEST(SplitNameTest, RefusesOtherNames) {
  for (const char* text :
       {"", "m.gguf", "-00001-of-00003.gguf", "m-00001-of-00003.bin", "m-00000-of-00003.gguf",
        "m-00004-of-00003.gguf", "m-1-of-3.gguf", "m-0000x-of-00003.gguf", "m_00001-of-00003.gguf",
        "m-00001_of_00003.gguf"}) {
    EXPECT_FALSE(ParseSplitName(text)) << text;
  }
}

}  // namespace
}  // namespace quantized::gguf
