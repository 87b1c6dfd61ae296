#include "daemon/worker/error_detail.h"

#include "core/base/error.h"
#include "gtest/gtest.h"

namespace quantized {
namespace {

TEST(ErrorDetailTest, CarriesTheRowAndPrintableWords) {
  const v1::ErrorDetail detail =
      ErrorDetailOf(MakeError(Error::kModelNotFound, "no \xff in it", "look\x1b elsewhere"));
  EXPECT_EQ(detail.error(), static_cast<int>(Error::kModelNotFound));
  EXPECT_EQ(detail.exit_code(), 3);
  EXPECT_EQ(detail.error_type(), "ModelNotFoundError");
  EXPECT_EQ(detail.message(), "no ? in it");
  EXPECT_EQ(detail.suggestion(), "look? elsewhere");
}

}  // namespace
}  // namespace quantized
