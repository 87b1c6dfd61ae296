#include "core/base/text.h"

#include <string>
#include <string_view>

#include "gtest/gtest.h"

namespace quantized {
namespace {

using std::string_view_literals::operator""sv;

TEST(PrintableTextTest, KeepsText) {
  for (const std::string_view text :
       {""sv, "plain\tline\n"sv,
        "\u00a0\u00e9\u07ff\u0800\ud7ff\ue000\uffff\U00010000\U0010ffff"sv}) {
    EXPECT_EQ(PrintableText(text), text);
  }
}

TEST(PrintableTextTest, ReplacesControlCharacters) {
  EXPECT_EQ(PrintableText("\x1b[31mred\x1b[0m\r\n"), "?[31mred?[0m?\n");
  EXPECT_EQ(PrintableText("a\0b\x7f"sv), "a?b?");
  EXPECT_EQ(PrintableText("\xc2\x80\xc2\x9b"), "????");  // C1: CSI without an escape
}

TEST(PrintableTextTest, ReplacesMalformedSequences) {
  for (const std::string_view bytes : {"\x80"sv, "\xc0\xaf"sv, "\xc1\xbf"sv, "\xe0\x80\x80"sv,
                                       "\xed\xa0\x80"sv, "\xf0\x80\x80\x80"sv, "\xf4\x90\x80\x80"sv,
                                       "\xf5\x80\x80\x80"sv, "\xff"sv, "\xe2\x82"sv, "\xc3"sv}) {
    EXPECT_EQ(PrintableText(bytes), std::string(bytes.size(), '?')) << bytes.size();
  }
  EXPECT_EQ(PrintableText("\xe2\x82z"), "??z");
}

}  // namespace
}  // namespace quantized
