#include "client/render/error_object.h"

#include <gtest/gtest.h>

#include "core/base/error.h"

namespace quantized {
namespace {

TEST(ErrorObjectTest, ComesBackAsTheError) {
  const absl::Status status = ErrorInObject(
      R"({"status":"error","error_code":6,"error_type":"ValidationError","message":"bad","suggestion":"s"})");
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(ErrorOf(status), Error::kValidationFailed);
  EXPECT_EQ(status.message(), "bad");
  EXPECT_EQ(SuggestionOf(status), "s");
}

TEST(ErrorObjectTest, OtherTextIsNoError) {
  for (const char* text : {R"({"model_name":"m"})", "[]", "not json", ""}) {
    EXPECT_TRUE(ErrorInObject(text).ok()) << text;
  }
}

}  // namespace
}  // namespace quantized
