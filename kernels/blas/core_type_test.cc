#include "kernels/blas/core_type.h"

#include <gtest/gtest.h>

namespace quantized::kernels {
namespace {

TEST(FittingCoreTypeTest, IsOfTheInstructionsWhereTheOldestKernelsWereChosen) {
  EXPECT_EQ(FittingCoreType("Prescott", true, true), "SkylakeX");
  EXPECT_EQ(FittingCoreType("Prescott", true, false), "Haswell");
  EXPECT_EQ(FittingCoreType("Nehalem", true, false), "Haswell");
}

TEST(FittingCoreTypeTest, LeavesWhatFits) {
  EXPECT_EQ(FittingCoreType("Prescott", false, false), "");
  for (const char* core : {"Haswell", "Zen", "ZEN", "SkylakeX", "SKYLAKEX", "Cooperlake"}) {
    EXPECT_EQ(FittingCoreType(core, true, true), "") << core;
  }
}

}  // namespace
}  // namespace quantized::kernels
