#include "client/rpc/user_folders.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/error.h"
#include "tests/support/paths.h"

namespace quantized {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;
using testing::TempDir;
namespace fs = std::filesystem;

TEST(UserFoldersTest, FollowTheXdgVariables) {
  const TempDir dir;
  const auto folders = FindUserFolders(
      {{"XDG_STATE_HOME", "/state"}, {"XDG_RUNTIME_DIR", dir.path()}, {"HOME", "/home/x"}});
  ASSERT_TRUE(folders.ok());
  EXPECT_EQ(folders->state_dir, "/state/llm-quantize");
  EXPECT_EQ(folders->socket_dir, dir.path() / "quantized");
}

TEST(UserFoldersTest, FallBackToHomeAndTmp) {
  const auto folders = FindUserFolders({{"HOME", "/home/x"}});
  ASSERT_TRUE(folders.ok());
  EXPECT_EQ(folders->state_dir, "/home/x/.local/state/llm-quantize");
  EXPECT_EQ(folders->socket_dir, "/tmp/quantized-" + std::to_string(geteuid()));
}

TEST(UserFoldersTest, ARuntimeFolderThatIsNotThereIsNotUsed) {
  const auto folders = FindUserFolders({{"HOME", "/x"}, {"XDG_RUNTIME_DIR", "/does/not/exist"}});
  ASSERT_TRUE(folders.ok());
  EXPECT_THAT(folders->socket_dir.native(), StartsWith("/tmp/quantized-"));
}

TEST(UserFoldersTest, ALongSocketPathMovesToAShortFolder) {
  const TempDir dir;
  const fs::path deep = dir.path() / std::string(120, 'd');
  fs::create_directories(deep);
  const auto folders = FindUserFolders({{"HOME", "/x"}, {"XDG_RUNTIME_DIR", deep}});
  ASSERT_TRUE(folders.ok());
  EXPECT_THAT(folders->socket_dir.native(), StartsWith("/tmp/quantized-"));
  EXPECT_LE(folders->socket().native().size(), 100);
  const auto again = FindUserFolders({{"HOME", "/x"}, {"XDG_RUNTIME_DIR", deep}});
  EXPECT_EQ(again->socket_dir, folders->socket_dir);
}

class SocketFolderTest : public ::testing::Test {
 protected:
  UserFolders Folders() { return {dir_.path() / "state", dir_.path() / "run"}; }
  TempDir dir_;
};

TEST_F(SocketFolderTest, IsMadePrivateAndTakenAgain) {
  ASSERT_TRUE(PrepareUserFolders(Folders()).ok());
  struct stat info;
  ASSERT_EQ(stat(Folders().socket_dir.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0700);
  ASSERT_EQ(stat(Folders().state_dir.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0700);
  EXPECT_TRUE(PrepareUserFolders(Folders()).ok());
}

TEST_F(SocketFolderTest, OpenToOthersIsRefused) {
  fs::create_directory(Folders().socket_dir);
  ASSERT_EQ(chmod(Folders().socket_dir.c_str(), 0755), 0);
  const absl::Status status = PrepareUserFolders(Folders());
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(ErrorOf(status), Error::kDaemonUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("mode 0755, expected 0700"));
}

TEST_F(SocketFolderTest, ASymbolicLinkIsRefused) {
  fs::create_directory(dir_.path() / "elsewhere");
  ASSERT_EQ(chmod((dir_.path() / "elsewhere").c_str(), 0700), 0);
  fs::create_directory_symlink(dir_.path() / "elsewhere", Folders().socket_dir);
  const absl::Status status = PrepareUserFolders(Folders());
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), HasSubstr("not a folder"));
}

TEST_F(SocketFolderTest, OfAnotherUserIsRefused) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can give a folder away";
  fs::create_directory(Folders().socket_dir);
  ASSERT_EQ(chown(Folders().socket_dir.c_str(), 12345, 12345), 0);
  const absl::Status status = PrepareUserFolders(Folders());
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), HasSubstr("belongs to user 12345, expected 0"));
}

}  // namespace
}  // namespace quantized
