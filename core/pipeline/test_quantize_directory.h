// For tests: jobs of format awq and gptq on a small model, in a folder of their own; what they left
// is looked at as files. The tests of several .cc files are of this one fixture.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/job_context.h"
#include "core/base/thread_pool.h"
#include "core/pipeline/quantize.h"
#include "core/pipeline/quantize_directory.h"
#include "core/pipeline/test_directory.h"
#include "tests/support/paths.h"
#include "tests/support/recording_sink.h"

namespace quantized::testing {

class QuantizeDirectoryTest : public ::testing::Test {
 protected:
  using Files = std::map<std::string, std::string>;  // contents by path in the folder

  void SetUp() override {
    WriteModel({});
    WriteDocuments(text_, 60);
  }

  void WriteModel(const DirectoryModel& model) {
    std::filesystem::remove_all(model_);
    WriteDirectoryModel(model_, model);
  }

  QuantizeRequest Request(const std::string& format = "gptq",
                          const std::string& level = "4bit") const {
    QuantizeRequest request;
    request.model_path = model_;
    request.model_name = "./model";
    request.format = format;
    request.outputs = {{.level = level, .path = output_}};
    request.calibration = {.data = text_, .name = "text.txt", .samples = 8, .sequence_length = 32};
    request.calibrated.group_size = 32;
    request.checkpoint.directory = checkpoints_;
    return request;
  }

  // Of one output.
  static absl::StatusOr<QuantizeResult> RunJob(const QuantizeRequest& request, RecordingSink& sink,
                                               size_t threads = 2, std::stop_token stop = {}) {
    ThreadPool pool(threads);
    JobContext context{std::move(stop), sink, pool};
    QuantizeOutcome outcome = QuantizeToDirectory(request, context);
    if (!outcome.status.ok()) return outcome.status;
    EXPECT_THAT(outcome.finished, ::testing::SizeIs(1));
    return std::move(outcome.finished.front());
  }
  static absl::StatusOr<QuantizeResult> RunJob(const QuantizeRequest& request, size_t threads = 2) {
    RecordingSink sink;
    return RunJob(request, sink, threads);
  }

  // The model as a GGUF file.
  std::filesystem::path MakeGguf(const std::string& level) const {
    QuantizeRequest request = Request("gguf", level);
    request.calibration = {};
    request.outputs[0].path = dir_.path() / "model.gguf";
    request.checkpoint.enabled = false;
    ThreadPool pool(2);
    RecordingSink sink;
    JobContext context{{}, sink, pool};
    const absl::Status status = Quantize(request, context).status;
    EXPECT_TRUE(status.ok()) << status;
    return request.outputs[0].path;
  }

  void ExpectError(const absl::StatusOr<QuantizeResult>& result, Error error,
                   const ::testing::Matcher<std::string>& message) const {
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(ErrorOf(result.status()), error) << result.status();
    EXPECT_THAT(std::string(result.status().message()), message);
  }

  void ExpectNothingLeft() const {
    EXPECT_FALSE(std::filesystem::exists(output_));
    EXPECT_FALSE(std::filesystem::exists(part_));
    EXPECT_FALSE(std::filesystem::exists(output_.parent_path()));
    EXPECT_FALSE(std::filesystem::exists(checkpoints_));
  }

  // Stops the job when `layers` layers are done.
  void RunAndStop(const QuantizeRequest& request, uint64_t layers, size_t threads = 2) {
    RecordingSink sink;
    std::stop_source stop;
    sink.on_progress = [&](const RecordingSink::Progress& progress) {
      if (progress.done == layers) stop.request_stop();
    };
    ExpectError(RunJob(request, sink, threads, stop.get_token()), Error::kCancelled, ::testing::_);
    EXPECT_FALSE(std::filesystem::exists(output_));
    EXPECT_TRUE(std::filesystem::exists(part_));
  }

  static std::string Contents(const std::filesystem::path& path) {
    return *ReadFile(path, uint64_t{1} << 32);
  }

  static Files FilesOf(const std::filesystem::path& folder) {
    Files files;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
      if (entry.is_regular_file()) {
        files[entry.path().lexically_relative(folder)] = Contents(entry.path());
      }
    }
    return files;
  }

  // The names of files that differ or are in one only.
  static std::vector<std::string> Differences(const Files& a, const Files& b) {
    std::vector<std::string> names;
    for (const auto& [name, contents] : a) {
      const auto other = b.find(name);
      if (other == b.end() || other->second != contents) names.push_back(name);
    }
    for (const auto& [name, contents] : b) {
      if (!a.contains(name)) names.push_back(name);
    }
    return names;
  }

  static void FlipByte(const std::filesystem::path& path, uint64_t at) {
    File file = *File::OpenForWrite(path);
    std::byte byte;
    ASSERT_TRUE(file.ReadAt(at, std::span(&byte, 1)).ok());
    byte ^= std::byte{0x10};
    ASSERT_TRUE(file.WriteAt(at, std::span(&byte, 1)).ok());
  }

  TempDir dir_;
  const std::filesystem::path model_ = dir_.path() / "model";
  const std::filesystem::path text_ = dir_.path() / "text.txt";
  const std::filesystem::path output_ = dir_.path() / "out" / "model-gptq";
  const std::filesystem::path part_ = output_.string() + ".part";
  const std::filesystem::path checkpoints_ = dir_.path() / "checkpoints";
};

}  // namespace quantized::testing
