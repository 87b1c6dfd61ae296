#include "client/rpc/connection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/rpc/error_detail.h"
#include "client/rpc/fake_daemon.h"
#include "core/base/error.h"
#include "core/base/version.h"
#include "tests/support/paths.h"

namespace quantized {
namespace {

using std::chrono::milliseconds;
using testing::FakeDaemon;
using ::testing::HasSubstr;

class ConnectionTest : public ::testing::Test {
 protected:
  std::string Socket() const { return dir_.path() / "d.sock"; }
  ConnectionOptions Options() const {
    ConnectionOptions options;
    options.host = "unix:" + Socket();
    options.retry = {.first_pause = milliseconds(1), .longest_pause = milliseconds(5)};
    return options;
  }
  static v1::ServerInfo OtherVersion(int64_t running) {
    v1::ServerInfo info;
    info.set_version("9.9.9");
    info.set_api_version(99);
    info.set_jobs_running(running);
    return info;
  }
  // Options of a client whose embedded daemon listens on `socket`, in a state of this test.
  ConnectionOptions Embedded() const {
    ConnectionOptions options = Options();
    options.host.clear();
    options.system_socket = dir_.path() / "no-system-daemon";
    options.environment = {{"XDG_STATE_HOME", dir_.path() / "state"},
                           {"XDG_RUNTIME_DIR", dir_.path()}};
    options.daemon_program = testing::BinDir() / "fake_quantized";
    return options;
  }
  testing::TempDir dir_;
};

TEST_F(ConnectionTest, ANamedDaemonThatIsNotThereIsAnError) {
  const auto connection = Connection::Open(Options(), {});
  ASSERT_FALSE(connection.ok());
  EXPECT_EQ(ErrorOf(connection.status()), Error::kDaemonUnavailable);
  EXPECT_THAT(std::string(connection.status().message()), HasSubstr(Socket()));
}

TEST_F(ConnectionTest, TheSystemDaemonIsPreferredToTheEmbeddedOne) {
  FakeDaemon daemon(Socket());
  ConnectionOptions options = Embedded();
  options.system_socket = Socket();
  const auto connection = Connection::Open(std::move(options), {});
  ASSERT_TRUE(connection.ok()) << connection.status();
  EXPECT_EQ((*connection)->target(), "unix:" + Socket());
  EXPECT_FALSE((*connection)->embedded_folders().has_value());
}

TEST_F(ConnectionTest, ANamedDaemonOfAnotherVersionIsLeftAlone) {
  FakeDaemon daemon(Socket());
  daemon.SetInfo(OtherVersion(/*running=*/0));
  const auto connection = Connection::Open(Options(), {});
  ASSERT_FALSE(connection.ok());
  EXPECT_EQ(ErrorOf(connection.status()), Error::kVersionSkew);
  EXPECT_FALSE(daemon.shutdown_asked());
}

TEST_F(ConnectionTest, AnEmbeddedDaemonOfAnotherVersionWithWorkIsLeftAlone) {
  const ConnectionOptions options = Embedded();
  const auto folders = FindUserFolders(options.environment);
  ASSERT_TRUE(PrepareUserFolders(*folders).ok());
  FakeDaemon daemon(folders->socket());
  daemon.SetInfo(OtherVersion(/*running=*/1));
  const auto connection = Connection::Open(options, {});
  ASSERT_FALSE(connection.ok());
  EXPECT_EQ(ErrorOf(connection.status()), Error::kVersionSkew);
  EXPECT_FALSE(daemon.shutdown_asked());
}

TEST_F(ConnectionTest, AnIdleEmbeddedDaemonOfAnotherVersionMakesWay) {
  const ConnectionOptions options = Embedded();
  const auto folders = FindUserFolders(options.environment);
  ASSERT_TRUE(PrepareUserFolders(*folders).ok());
  FakeDaemon old(folders->socket());
  old.SetInfo(OtherVersion(/*running=*/0));
  std::thread ending([&] {
    old.AwaitShutdown();
    old.Stop();
  });
  const auto connection = Connection::Open(options, {});
  ending.join();
  ASSERT_TRUE(connection.ok()) << connection.status();
  const auto info = (*connection)->GetServerInfo({});
  ASSERT_TRUE(info.ok());
  EXPECT_EQ(info->version(), kVersion);
  EXPECT_TRUE((*connection)->Shutdown({}, {}).ok());
}

TEST_F(ConnectionTest, CallsAreRepeatedWhileTheDaemonIsAway) {
  FakeDaemon daemon(Socket());
  const auto connection = Connection::Open(Options(), {});
  ASSERT_TRUE(connection.ok());
  daemon.FailNext(4, grpc::StatusCode::UNAVAILABLE);
  EXPECT_TRUE((*connection)->ListJobs({}, {}).ok());
  daemon.FailNext(5, grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(ErrorOf((*connection)->ListJobs({}, {}).status()), Error::kDaemonUnavailable);
}

TEST_F(ConnectionTest, OtherFailuresAreNot) {
  FakeDaemon daemon(Socket());
  const auto connection = Connection::Open(Options(), {});
  ASSERT_TRUE(connection.ok());
  daemon.FailNext(1, grpc::StatusCode::UNIMPLEMENTED);
  EXPECT_EQ(ErrorOf((*connection)->ListJobs({}, {}).status()), Error::kVersionSkew);
  daemon.FailNext(1, grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(ErrorOf((*connection)->ListJobs({}, {}).status()), Error::kAuthenticationRequired);
  daemon.FailNext(1, grpc::StatusCode::INTERNAL);
  EXPECT_EQ(ErrorOf((*connection)->ListJobs({}, {}).status()), Error::kInternal);
  EXPECT_TRUE((*connection)->ListJobs({}, {}).ok());
}

TEST(ErrorDetailTest, ComesBackAsTheErrorItWasMadeFrom) {
  for (const ErrorRow& row : AllErrors()) {
    v1::ErrorDetail detail;
    detail.set_error(static_cast<int>(row.error));
    detail.set_message("what happened");
    detail.set_suggestion("what to do");
    detail.set_log_tail("last line");
    const absl::Status status = StatusOf(detail);
    EXPECT_EQ(ErrorOf(status), row.error);
    EXPECT_EQ(SuggestionOf(status), "what to do");
    EXPECT_EQ(LogTailOf(status), "last line");
  }
}

TEST(ErrorDetailTest, AnUnknownNumberIsAGeneralError) {
  v1::ErrorDetail detail;
  detail.set_error(1000);
  EXPECT_EQ(ErrorOf(StatusOf(detail)), Error::kInternal);
  detail.set_error(0);
  EXPECT_FALSE(StatusOf(detail).ok());
}

}  // namespace
}  // namespace quantized
