#include "client/render/text.h"

#include <gtest/gtest.h>

namespace quantized {
namespace {

TEST(PrintableTest, DropsWhatCouldSteerATerminal) {
  EXPECT_EQ(Printable("a\x1b[2Jb\x07\x7f"), "a[2Jb");
  EXPECT_EQ(Printable("one\ntwo\tthree\r"), "one two three");
  EXPECT_EQ(Printable("\xc2\x9b"
                      "31m red"),
            "31m red");  // CSI as one C1 character
  EXPECT_EQ(Printable("Größe ━ 模型"), "Größe ━ 模型");
  EXPECT_EQ(PrintableLines("one\n\ttwo\x1b\n"), "one\n\ttwo\n");
}

TEST(FormatBytesTest, UsesDecimalUnitsAndOneDecimal) {
  EXPECT_EQ(FormatBytes(0), "0 B");
  EXPECT_EQ(FormatBytes(999), "999 B");
  EXPECT_EQ(FormatBytes(1000), "1.0 kB");
  EXPECT_EQ(FormatBytes(999'949), "999.9 kB");
  EXPECT_EQ(FormatBytes(999'950), "1.0 MB");
  EXPECT_EQ(FormatBytes(3'900'000'000), "3.9 GB");
  EXPECT_EQ(FormatBytes(4'123'456'789), "4.1 GB");
  EXPECT_EQ(FormatBytes(UINT64_MAX), "18.4 EB");
}

TEST(WithThousandsTest, GroupsByThree) {
  EXPECT_EQ(WithThousands(0), "0");
  EXPECT_EQ(WithThousands(999), "999");
  EXPECT_EQ(WithThousands(1000), "1,000");
  EXPECT_EQ(WithThousands(6'738'415'616), "6,738,415,616");
}

TEST(FormatElapsedTest, ShowsHoursOnlyWhereThereAreSome) {
  EXPECT_EQ(FormatElapsed(0), "00:00");
  EXPECT_EQ(FormatElapsed(-1), "00:00");
  EXPECT_EQ(FormatElapsed(923.9), "15:23");
  EXPECT_EQ(FormatElapsed(3599), "59:59");
  EXPECT_EQ(FormatElapsed(3723), "1:02:03");
}

TEST(ShellQuoteTest, QuotesOnlyWhatNeedsIt) {
  EXPECT_EQ(ShellQuote("/a/b-1.gguf"), "/a/b-1.gguf");
  EXPECT_EQ(ShellQuote(""), "''");
  EXPECT_EQ(ShellQuote("my model"), "'my model'");
  EXPECT_EQ(ShellQuote("it's"), "'it'\\''s'");
  EXPECT_EQ(ShellQuote("$HOME;rm"), "'$HOME;rm'");
}

}  // namespace
}  // namespace quantized
