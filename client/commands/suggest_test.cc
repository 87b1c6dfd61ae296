#include "client/commands/suggest.h"

#include <gtest/gtest.h>

#include <vector>

namespace quantized {
namespace {

TEST(EditDistanceTest, CountsEditsAndSwaps) {
  EXPECT_EQ(EditDistance("", ""), 0);
  EXPECT_EQ(EditDistance("", "abc"), 3);
  EXPECT_EQ(EditDistance("quantise", "quantize"), 1);
  EXPECT_EQ(EditDistance("quantzie", "quantize"), 1);
  EXPECT_EQ(EditDistance("kitten", "sitting"), 3);
}

TEST(NearestTest, FindsWhatWasMeant) {
  const std::vector<std::string> names = {"quantize", "convert", "info", "jobs", "server"};
  EXPECT_EQ(Nearest("quantise", names), "quantize");
  EXPECT_EQ(Nearest("quant", names), "quantize");
  EXPECT_EQ(Nearest("job", names), "jobs");
  EXPECT_EQ(Nearest("sevrer", names), "server");
  EXPECT_EQ(Nearest("frobnicate", names), std::nullopt);
  EXPECT_EQ(Nearest("x", names), std::nullopt);
}

}  // namespace
}  // namespace quantized
