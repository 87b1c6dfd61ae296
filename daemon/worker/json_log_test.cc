#include "daemon/worker/json_log.h"

#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "gtest/gtest.h"

namespace quantized {
namespace {

TEST(JsonLogTest, EveryLineIsOneObjectWhateverTheText) {
  ::testing::internal::CaptureStderr();
  JsonLog log("worker", "J\"1", 3);
  log.Info("line\nfeed \x1b[0m \xff {} \"quoted\"", {{"a key", "a \\ value"}});
  log.Warning("careful");
  log.Error("no");
  std::istringstream lines(::testing::internal::GetCapturedStderr());

  std::string line;
  ASSERT_TRUE(std::getline(lines, line));
  const auto first = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  ASSERT_TRUE(first.is_object()) << line;
  EXPECT_EQ(first["level"], "info");
  EXPECT_EQ(first["component"], "worker");
  EXPECT_EQ(first["job"], "J\"1");
  EXPECT_EQ(first["attempt"], 3);
  EXPECT_EQ(first["message"], "line\nfeed \x1b[0m \ufffd {} \"quoted\"");
  EXPECT_EQ(first["a key"], "a \\ value");
  EXPECT_EQ(first["time"].get<std::string>().size(),
            std::string("2025-01-01T00:00:00.000000Z").size());

  ASSERT_TRUE(std::getline(lines, line));
  EXPECT_EQ(nlohmann::json::parse(line, nullptr, false)["level"], "warning");
  ASSERT_TRUE(std::getline(lines, line));
  EXPECT_EQ(nlohmann::json::parse(line, nullptr, false)["level"], "error");
  EXPECT_FALSE(std::getline(lines, line));
}

}  // namespace
}  // namespace quantized
