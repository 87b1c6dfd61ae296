// Crashes and resumption: what docs/formats/checkpoint.md promises.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <string>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/pipeline/journal.h"
#include "core/pipeline/quantize.h"
#include "tests/support/paths.h"
#include "tests/support/quantize_job.h"
#include "tests/support/synthetic_model.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::RecordingSink;
using testing::RunQuantize;

std::string Contents(const fs::path& path) { return *ReadFile(path, uint64_t{1} << 32); }

void FlipByte(const fs::path& path, uint64_t at) {
  File file = *File::OpenForWrite(path);
  std::byte byte;
  ASSERT_TRUE(file.ReadAt(at, std::span(&byte, 1)).ok());
  byte ^= std::byte{0x10};
  ASSERT_TRUE(file.WriteAt(at, std::span(&byte, 1)).ok());
}

class ResumeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    // Tensors of several slices, so that kills fall into the middle of one.
    const absl::Status status = testing::WriteSyntheticModel(
        model_, {.layers = 2, .hidden = 256, .feed_forward = 512, .vocabulary = 1100});
    ASSERT_TRUE(status.ok()) << status;
    const auto result = RunQuantize(Request());
    ASSERT_TRUE(result.ok()) << result.status();
    tensors_ = result->tensors;
    undisturbed_ = Contents(output_);
    fs::remove_all(output_.parent_path());
  }

  QuantizeRequest Request() const {
    QuantizeRequest request;
    request.model_path = model_;
    request.model_name = "./source.gguf";
    request.outputs = {{.level = "Q8_0", .path = output_}};
    request.checkpoint.directory = checkpoints_;
    return request;
  }

  // Runs the job in a process that is killed when `now` says so; `now` is asked at each phase (with
  // -1) and each report of progress (with their number, from 0).
  void RunAndKill(size_t threads, const std::function<bool(int report, Phase phase)>& now,
                  const QuantizeRequest& request) {
    const pid_t pid = fork();
    if (pid == 0) {
      RecordingSink sink;
      std::atomic<int> reports{0};
      std::atomic<Phase> current{Phase::kProbe};
      sink.on_phase = [&](Phase phase) {
        current = phase;
        if (now(-1, phase)) kill(getpid(), SIGKILL);
      };
      sink.on_progress = [&](const RecordingSink::Progress&) {
        if (now(reports++, current)) kill(getpid(), SIGKILL);
      };
      RunQuantize(request, sink, threads).IgnoreError();
      _exit(0);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    killed_ = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  }

  // As after a cancellation: all tensors finished so far are noted, synced and in the .part file.
  void RunAndCancel(uint64_t after_bytes) {
    RecordingSink sink;
    std::stop_source stop;
    sink.on_progress = [&](const RecordingSink::Progress& progress) {
      if (progress.bytes_written >= after_bytes) stop.request_stop();
    };
    const auto result = RunQuantize(Request(), sink, 1, stop.get_token());
    ASSERT_FALSE(result.ok());
    ASSERT_EQ(ErrorOf(result.status()), Error::kCancelled);
  }

  void ExpectFinished(const absl::StatusOr<QuantizeResult>& result) {
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_TRUE(Contents(output_) == undisturbed_);
    EXPECT_FALSE(fs::exists(part_));
    EXPECT_FALSE(fs::exists(checkpoints_));
  }

  void ExpectCheckpointError(const QuantizeRequest& request, const std::string& what) {
    const bool had_part = fs::exists(part_);
    const auto result = RunQuantize(request);
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(ErrorOf(result.status()), Error::kCheckpoint) << result.status();
    EXPECT_THAT(std::string(result.status().message()), HasSubstr(what));
    EXPECT_FALSE(fs::exists(output_));
    EXPECT_EQ(fs::exists(part_), had_part) << "damage is left for its owner to see";
  }

  fs::path Folder() const { return fs::directory_iterator(checkpoints_)->path(); }
  fs::path Journal() const { return Folder() / "journal"; }

  testing::TempDir dir_;
  const fs::path model_ = dir_.path() / "source.gguf";
  const fs::path output_ = dir_.path() / "out" / "model.gguf";
  const fs::path part_ = output_.string() + ".part";
  const fs::path checkpoints_ = dir_.path() / "checkpoints";
  std::string undisturbed_;
  uint64_t tensors_ = 0;
  bool killed_ = false;
};

TEST_F(ResumeTest, KilledAtEachReportItEndsWithTheSameBytes) {
  for (const size_t threads : {1, 3}) {
    for (int at = 0;; ++at) {
      SCOPED_TRACE(::testing::Message() << threads << " threads, killed at report " << at);
      uint64_t finished = 0;
      RunAndKill(
          threads, [at](int report, Phase) { return report == at; }, Request());
      if (!killed_) {
        EXPECT_GT(at, static_cast<int>(tensors_));
        break;
      }
      EXPECT_FALSE(fs::exists(output_));
      ASSERT_TRUE(fs::exists(Journal()));
      const auto journal = ParseJournal(Contents(Journal()), Folder().filename().string());
      ASSERT_TRUE(journal.ok()) << journal.status();
      finished = journal->units.size();
      const auto result = RunQuantize(Request(), threads);
      ExpectFinished(result);
      // Each tensor whose bytes were complete is taken over: noted ones are never repeated.
      EXPECT_EQ(result->units_reused, finished);
      fs::remove_all(output_.parent_path());
    }
    fs::remove_all(output_.parent_path());
  }
}

TEST_F(ResumeTest, KilledBetweenTheStepsItEndsWithTheSameBytes) {
  for (const Phase at :
       {Phase::kProbe, Phase::kLoad, Phase::kQuantize, Phase::kValidate, Phase::kPublish}) {
    SCOPED_TRACE(static_cast<int>(at));
    RunAndKill(
        2, [at](int report, Phase phase) { return report < 0 && phase == at; }, Request());
    ASSERT_TRUE(killed_);
    EXPECT_FALSE(fs::exists(output_));
    const auto result = RunQuantize(Request());
    ExpectFinished(result);
    EXPECT_EQ(result->units_reused, at >= Phase::kValidate ? tensors_ : 0);
    fs::remove_all(output_.parent_path());
  }
}

TEST_F(ResumeTest, KilledAgainAndAgainItStillEnds) {
  int kills = 0;
  do {
    // Each run makes a few tensors more than the one before.
    RunAndKill(
        2, [](int report, Phase) { return report == 6; }, Request());
    ++kills;
  } while (killed_ && kills < 100);
  ASSERT_FALSE(killed_);
  EXPECT_GT(kills, 3);
  EXPECT_TRUE(Contents(output_) == undisturbed_);
  EXPECT_FALSE(fs::exists(checkpoints_));
}

// Between the renaming of the output and the removal of the checkpoint.
TEST_F(ResumeTest, KilledRightAfterPublishingItKnowsItsOutput) {
  const fs::path saved = dir_.path() / "saved";
  RecordingSink sink;
  sink.on_phase = [&](Phase phase) {
    if (phase == Phase::kPublish) fs::copy(checkpoints_, saved, fs::copy_options::recursive);
  };
  ASSERT_TRUE(RunQuantize(Request(), sink).ok());
  for (const bool overwrite : {false, true}) {
    SCOPED_TRACE(overwrite);
    fs::copy(saved, checkpoints_, fs::copy_options::recursive);
    const auto written = fs::last_write_time(output_);
    QuantizeRequest request = Request();
    request.overwrite = overwrite;
    const auto result = RunQuantize(request);
    ExpectFinished(result);
    EXPECT_EQ(result->units_reused, tensors_);
    EXPECT_EQ(fs::last_write_time(output_), written);
  }
  // Another file in that place is not its output.
  fs::copy(saved, checkpoints_, fs::copy_options::recursive);
  FlipByte(output_, undisturbed_.size() / 2);
  const auto result = RunQuantize(Request());
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(ErrorOf(result.status()), Error::kInvalidArgument);
}

TEST_F(ResumeTest, ACancelledJobGoesOnWhereItWas) {
  RunAndCancel(undisturbed_.size() / 2);
  RecordingSink sink;
  const auto result = RunQuantize(Request(), sink, 2);
  ExpectFinished(result);
  EXPECT_GT(result->units_reused, 0u);
  EXPECT_GT(sink.progress.front().bytes_written, 0u) << "what is there already counts";
}

TEST_F(ResumeTest, WithoutCheckpointsAKilledJobStartsAnew) {
  QuantizeRequest request = Request();
  request.checkpoint.enabled = false;
  RunAndKill(
      2, [](int report, Phase) { return report == 10; }, request);
  ASSERT_TRUE(killed_);
  EXPECT_TRUE(fs::exists(part_));
  const auto result = RunQuantize(request);
  ExpectFinished(result);
  EXPECT_EQ(result->units_reused, 0u);
}

TEST_F(ResumeTest, WithoutCheckpointsACancelledJobLeavesNothing) {
  QuantizeRequest request = Request();
  request.checkpoint.enabled = false;
  RecordingSink sink;
  std::stop_source stop;
  sink.on_progress = [&](const RecordingSink::Progress&) { stop.request_stop(); };
  const auto result = RunQuantize(request, sink, 2, stop.get_token());
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(ErrorOf(result.status()), Error::kCancelled);
  EXPECT_FALSE(fs::exists(output_.parent_path()));
}

TEST_F(ResumeTest, ResumeOptionTakesTheFolderOrItsParent) {
  for (const bool parent : {false, true}) {
    RunAndCancel(undisturbed_.size() / 2);
    QuantizeRequest request = Request();
    request.checkpoint.resume_from = parent ? checkpoints_ : Folder();
    request.checkpoint.directory = dir_.path() / "elsewhere";
    const auto result = RunQuantize(request);
    ExpectFinished(result);
    EXPECT_GT(result->units_reused, 0u);
    fs::remove_all(output_.parent_path());
  }
}

TEST_F(ResumeTest, ResumeOptionWithNothingThereOrAnothersIsRefused) {
  QuantizeRequest request = Request();
  request.checkpoint.resume_from = dir_.path() / "nothing";
  ExpectCheckpointError(request, "holds no checkpoint");
  EXPECT_FALSE(fs::exists(output_.parent_path()));

  RunAndCancel(undisturbed_.size() / 2);
  request.checkpoint.resume_from = checkpoints_;
  request.outputs[0].level = "Q5_K_M";
  ExpectCheckpointError(request, "belongs to ./source.gguf at Q8_0");
  // The checkpoint of the other level is as good as before.
  ExpectFinished(RunQuantize(Request()));
}

TEST_F(ResumeTest, AChangedSourceIsAnotherJob) {
  RunAndCancel(undisturbed_.size() / 2);
  fs::last_write_time(model_, fs::last_write_time(model_) + std::chrono::seconds(2));
  const auto result = RunQuantize(Request());
  ExpectFinished(result);  // the checkpoint that no job can use any more is gone, too
  EXPECT_EQ(result->units_reused, 0u);
}

TEST_F(ResumeTest, ADamagedJournalIsRefused) {
  RunAndCancel(undisturbed_.size() / 2);
  FlipByte(Journal(), Contents(Journal()).find("unit") + 6);
  ExpectCheckpointError(Request(), "journal line");
}

TEST_F(ResumeTest, ADamagedJobFileIsRefused) {
  RunAndCancel(undisturbed_.size() / 2);
  FlipByte(Folder() / "job.json", 0);
  ExpectCheckpointError(Request(), "job.json: is damaged");
}

TEST_F(ResumeTest, DamagedBytesOfASyncedTensorAreRefused) {
  RunAndCancel(undisturbed_.size() / 2);
  const auto journal = ParseJournal(Contents(Journal()), Folder().filename().string());
  ASSERT_TRUE(journal.ok()) << journal.status();
  ASSERT_GT(journal->synced_units, 1u);
  FlipByte(part_, journal->units[0].offset + journal->units[0].size_bytes - 1);
  ExpectCheckpointError(Request(), "is not what the checkpoint says");
}

TEST_F(ResumeTest, BytesLostAfterTheLastSyncAreMadeAgain) {
  RunAndCancel(undisturbed_.size() / 2);
  const std::string fingerprint = Folder().filename();
  const auto journal = ParseJournal(Contents(Journal()), fingerprint);
  ASSERT_TRUE(journal.ok()) << journal.status();
  const size_t count = journal->units.size();
  ASSERT_GT(count, 2u);
  // As after a power cut: the last two tensors were noted, but not synced, and one was lost.
  std::string text = JournalHeader(fingerprint);
  for (size_t i = 0; i < count; ++i) {
    if (i == count - 2) text += JournalSyncedMark(fingerprint, i);
    text += JournalUnit(fingerprint, journal->units[i]);
  }
  ASSERT_TRUE(WriteFileAtomically(Journal(), text).ok());
  FlipByte(part_, journal->units.back().offset);
  const auto result = RunQuantize(Request());
  ExpectFinished(result);
  EXPECT_EQ(result->units_reused, count - 1);
}

TEST_F(ResumeTest, ALostPartFileIsNoMixture) {
  RunAndCancel(undisturbed_.size() / 2);
  fs::remove(part_);
  QuantizeRequest request = Request();
  request.checkpoint.resume_from = checkpoints_;
  ExpectCheckpointError(request, "is gone");

  RecordingSink sink;
  const auto result = RunQuantize(Request(), sink);
  ExpectFinished(result);
  EXPECT_EQ(result->units_reused, 0u);
  EXPECT_THAT(sink.warnings, ::testing::Contains(HasSubstr("starting anew")));
}

TEST_F(ResumeTest, APartFileOfAnotherSizeIsRefused) {
  RunAndCancel(undisturbed_.size() / 2);
  File part = *File::OpenForWrite(part_);
  ASSERT_TRUE(part.Truncate(1000).ok());
  ASSERT_TRUE(part.Close().ok());
  ExpectCheckpointError(Request(), "has 1000 bytes");
}

TEST_F(ResumeTest, ABadSourceEndsTheCheckpointToo) {
  RunAndCancel(undisturbed_.size() / 2);
  // The last tensor of the file becomes NaN, times as before: the same job, with bad input.
  const auto time = fs::last_write_time(model_);
  const uint16_t nan = 0x7e00;
  File file = *File::OpenForWrite(model_);
  const uint64_t size = *file.SizeBytes();
  ASSERT_TRUE(file.WriteAt(size - 64, std::as_bytes(std::span(&nan, 1))).ok());
  std::string text = JournalHeader(Folder().filename().string());
  ASSERT_TRUE(WriteFileAtomically(Journal(), text).ok());
  fs::last_write_time(model_, time);
  const auto result = RunQuantize(Request());
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(ErrorOf(result.status()), Error::kValidationFailed) << result.status();
  EXPECT_FALSE(fs::exists(part_));
  EXPECT_FALSE(fs::exists(checkpoints_));
}

}  // namespace
}  // namespace quantized
