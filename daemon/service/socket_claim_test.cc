#include "daemon/service/socket_claim.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <string>

#include "core/base/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/paths.h"

namespace quantized {
namespace {

using ::testing::HasSubstr;
constexpr std::chrono::milliseconds kNoPatience{0};

// A socket file that nobody listens on any more.
void LeaveSocket(const std::filesystem::path& path) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, path.c_str());
  ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  close(fd);
}

class SocketClaimTest : public ::testing::Test {
 protected:
  testing::TempDir dir_;
  const std::filesystem::path path_ = dir_.path() / "run" / "quantized.sock";
};

TEST_F(SocketClaimTest, RemovesWhatADeadDaemonLeft) {
  { ASSERT_TRUE(SocketClaim::Take(path_, kNoPatience).ok()); }
  LeaveSocket(path_);
  const auto claim = SocketClaim::Take(path_, kNoPatience);
  ASSERT_TRUE(claim.ok()) << claim.status();
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(SocketClaimTest, LeavesALivingDaemonAlone) {
  const auto claim = SocketClaim::Take(path_, kNoPatience);
  LeaveSocket(path_);
  const auto second = SocketClaim::Take(path_, kNoPatience);
  ASSERT_FALSE(second.ok());
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("in use by another daemon"));
  EXPECT_TRUE(std::filesystem::exists(path_));
}

TEST_F(SocketClaimTest, RefusesOtherThingsUnderItsName) {
  { ASSERT_TRUE(SocketClaim::Take(path_, kNoPatience).ok()); }
  std::ofstream(path_) << "precious";
  const auto claim = SocketClaim::Take(path_, kNoPatience);
  ASSERT_FALSE(claim.ok());
  EXPECT_THAT(std::string(claim.status().message()), HasSubstr("something else"));
  EXPECT_TRUE(std::filesystem::exists(path_));
}

TEST_F(SocketClaimTest, RefusesPathsThatDoNotFitAndFoldersThatAreOpen) {
  const auto claim = SocketClaim::Take("/" + std::string(120, 'x'), kNoPatience);
  EXPECT_EQ(ErrorOf(claim.status()), Error::kInvalidArgument);
  std::filesystem::create_directory(dir_.path() / "open");
  ASSERT_EQ(chmod((dir_.path() / "open").c_str(), 0777), 0);
  EXPECT_FALSE(SocketClaim::Take(dir_.path() / "open" / "s", kNoPatience).ok());
}

}  // namespace
}  // namespace quantized
