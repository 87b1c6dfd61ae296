#include "core/base/core_file.h"

#include <sys/prctl.h>
#include <unistd.h>

#include <filesystem>

#include "gtest/gtest.h"

namespace quantized {
namespace {

TEST(CoreFileTest, TheProcessIsClosedAndItsProgramStillKnown) {
  const auto in_child = [] {
    LeaveNoCoreFile();
    std::error_code error;
    const bool known = !std::filesystem::read_symlink("/proc/self/exe", error).empty();
    _exit(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0 && known ? 0 : 1);
  };
  EXPECT_EXIT(in_child(), ::testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace quantized
