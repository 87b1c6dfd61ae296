#include "daemon/worker/levels.h"

#include <nlohmann/json.hpp>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace quantized {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;

TEST(LevelsTest, PrintsThoseOfEachFormat) {
  ::testing::internal::CaptureStdout();
  const int exit_code = RunLevels();
  const auto answer = nlohmann::json::parse(::testing::internal::GetCapturedStdout());
  EXPECT_EQ(exit_code, 0);
  EXPECT_EQ(answer["status"], "levels");
  EXPECT_THAT(answer["levels"]["gguf"], Contains("Q4_K_M"));
  EXPECT_THAT(answer["levels"]["awq"], ElementsAre("4bit"));
  EXPECT_THAT(answer["levels"]["gptq"], ElementsAre("2bit", "3bit", "4bit", "8bit"));
}

}  // namespace
}  // namespace quantized
