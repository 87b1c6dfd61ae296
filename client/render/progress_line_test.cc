#include "client/render/progress_line.h"

#include <gtest/gtest.h>

namespace quantized {
namespace {

ProgressState State(uint64_t done, uint64_t total) {
  return {"Quantizing", done, total, "layers", 923};
}

TEST(ProgressLineTest, HasTheContractsLook) {
  EXPECT_EQ(ProgressLine(State(32, 32), /*utf8=*/true, 80),
            "Quantizing ━━━━━━━━━━━━━━━━━━━━ 100% 32/32 layers [15:23 elapsed]");
}

TEST(ProgressLineTest, ShowsWhatIsLeft) {
  EXPECT_EQ(ProgressLine(State(8, 32), /*utf8=*/true, 80),
            "Quantizing ━━━━━─────────────── 25% 8/32 layers [15:23 elapsed]");
  EXPECT_EQ(ProgressLine(State(0, 32), /*utf8=*/false, 80),
            "Quantizing .................... 0% 0/32 layers [15:23 elapsed]");
  EXPECT_EQ(ProgressLine(State(16, 32), /*utf8=*/false, 80),
            "Quantizing ##########.......... 50% 16/32 layers [15:23 elapsed]");
}

TEST(ProgressLineTest, OfBytesItTellsHowFastTheyComeAndTheTimeLeft) {
  ProgressState state = {"Downloading", 3'400'000'000, 13'500'000'000, "bytes", 56};
  EXPECT_EQ(ProgressLine(state, /*utf8=*/true, 80),
            "Downloading ━━━━━─────────────── 25% 3.4 GB/13.5 GB [00:56 elapsed]");
  state.per_second = 61.2e6;
  EXPECT_EQ(ProgressLine(state, /*utf8=*/true, 100),
            "Downloading ━━━━━─────────────── 25% 3.4 GB/13.5 GB 61.2 MB/s "
            "[00:56 elapsed, 02:45 left]");
}

TEST(ProgressLineTest, FitsItsColumns) {
  EXPECT_EQ(ProgressLine(State(16, 32), /*utf8=*/false, 54),
            "Quantizing #####..... 50% 16/32 layers [15:23 elapsed]");
  EXPECT_EQ(ProgressLine(State(16, 32), /*utf8=*/false, 30), "Quantizing 50% 16/32 layers [1");
  for (int columns = 0; columns < 100; ++columns) {
    EXPECT_LE(ProgressLine(State(16, 32), /*utf8=*/false, columns).size(), columns);
  }
}

TEST(PercentTest, IsWholeOnlyWhenAllIsDone) {
  EXPECT_EQ(PercentOf(State(0, 0)), 0);
  EXPECT_EQ(PercentOf(State(999, 1000)), 99);
  EXPECT_EQ(PercentOf(State(1000, 1000)), 100);
  EXPECT_EQ(PercentOf(State(1001, 1000)), 100);
  EXPECT_EQ(PercentOf(State(UINT64_MAX - 1, UINT64_MAX)), 99);
}

}  // namespace
}  // namespace quantized
