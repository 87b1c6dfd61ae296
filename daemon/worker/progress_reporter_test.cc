#include "daemon/worker/progress_reporter.h"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace quantized {
namespace {

class ProgressReporterTest : public ::testing::Test {
 protected:
  ProgressReporterTest() { ::testing::internal::CaptureStderr(); }
  ~ProgressReporterTest() override {
    ::testing::internal::GetCapturedStderr();
    close(fds_[0]);
    close(fds_[1]);
  }

  // All frames sent so far.
  std::vector<v1::WorkerFrame> Frames() {
    std::vector<v1::WorkerFrame> frames;
    std::array<char, 65536> bytes;
    for (;;) {
      const ssize_t size = recv(fds_[0], bytes.data(), bytes.size(), MSG_DONTWAIT);
      if (size <= 0) break;
      reader_.Append({bytes.data(), static_cast<size_t>(size)});
    }
    for (auto frame = reader_.Next<v1::WorkerFrame>(); frame.ok() && frame->has_value();
         frame = reader_.Next<v1::WorkerFrame>()) {
      frames.push_back(**frame);
    }
    return frames;
  }

  static std::array<int, 2> SocketPair() {
    std::array<int, 2> fds;
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.data()), 0);
    return fds;
  }

  std::array<int, 2> fds_ = SocketPair();
  FrameReader reader_;
  DaemonChannel channel_{fds_[1]};
  JsonLog log_{"worker", "J", 1};
  ProgressReporter reporter_{channel_, log_};
};

TEST_F(ProgressReporterTest, SendsWhatIsSaid) {
  reporter_.OnPhase(Phase::kQuantize);
  reporter_.OnMessage("Loading model: \x1b[1mx");
  reporter_.OnWarning(std::string(100'000, 'w'));
  reporter_.OnCheckpoint(7, "/a/b");
  const std::vector<v1::WorkerFrame> frames = Frames();
  ASSERT_EQ(frames.size(), 4u);
  EXPECT_EQ(frames[0].phase().phase(), v1::QUANTIZE);
  EXPECT_EQ(frames[1].message().line(), "Loading model: ?[1mx");
  EXPECT_EQ(frames[2].warning().line(), std::string(16384, 'w'));
  EXPECT_EQ(frames[3].checkpoint().units(), 7u);
  EXPECT_EQ(frames[3].checkpoint().path(), "/a/b");
}

TEST_F(ProgressReporterTest, ConflatesProgressAndKeepsTheLast) {
  constexpr uint64_t kTotal = 10'000;
  for (uint64_t i = 1; i <= kTotal; ++i) reporter_.OnProgress(i, kTotal, "layers", i * 10);
  const size_t before = Frames().size();
  EXPECT_GE(before, 1u);
  EXPECT_LT(before, 100u);  // ten a second, and this took no ten seconds
  reporter_.OnMessage("next");
  const std::vector<v1::WorkerFrame> frames = Frames();
  ASSERT_EQ(frames.size(), 2u);
  EXPECT_EQ(frames[0].progress().done(), kTotal);
  EXPECT_EQ(frames[0].progress().total(), kTotal);
  EXPECT_EQ(frames[0].progress().unit(), "layers");
  EXPECT_EQ(frames[0].progress().bytes_written(), kTotal * 10);
  EXPECT_EQ(frames[1].message().line(), "next");
}

TEST_F(ProgressReporterTest, FlushSendsWhatWaitsOnce) {
  reporter_.OnProgress(1, 3, "layers", 0);
  reporter_.OnProgress(2, 3, "layers", 0);
  EXPECT_EQ(Frames().size(), 1u);
  reporter_.Flush();
  reporter_.Flush();
  const std::vector<v1::WorkerFrame> frames = Frames();
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(frames[0].progress().done(), 2u);
}

}  // namespace
}  // namespace quantized
