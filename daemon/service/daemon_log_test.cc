#include "daemon/service/daemon_log.h"

#include <nlohmann/json.hpp>
#include <sstream>

#include "gtest/gtest.h"

namespace quantized {
namespace {

TEST(DaemonLog, WritesOneObjectPerLineWhateverTheText) {
  ::testing::internal::CaptureStderr();
  DaemonLog log;
  log.Write({.component = "main", .message = "two\nlines, \"quotes\" and \xFF"});
  log.sink()({.level = LogEntry::Level::kError,
              .component = "queue",
              .job = "01ARZ3NDEKTSV4RRFFQ69G5FAV",
              .attempt = 2,
              .message = "state FAILED"});
  std::istringstream lines(::testing::internal::GetCapturedStderr());
  std::string line;
  ASSERT_TRUE(std::getline(lines, line));
  auto json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  EXPECT_EQ(json["level"], "info");
  EXPECT_EQ(json["component"], "main");
  ASSERT_TRUE(std::getline(lines, line));
  json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  EXPECT_EQ(json["level"], "error");
  EXPECT_EQ(json["job"], "01ARZ3NDEKTSV4RRFFQ69G5FAV");
  EXPECT_EQ(json["attempt"], 2);
  EXPECT_EQ(json["message"], "state FAILED");
  EXPECT_FALSE(std::getline(lines, line));
}

}  // namespace
}  // namespace quantized
