// Jobs of format awq or gptq that were stopped or killed, and what a later one makes of that.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <stop_token>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/sha256.h"
#include "core/forward/activation_store.h"
#include "core/pipeline/convert.h"
#include "core/pipeline/quantize_directory.h"
#include "core/pipeline/test_directory_distance.h"
#include "core/pipeline/test_quantize_directory.h"
#include "core/pipeline/walk_snapshot.h"
#include "tests/support/recording_sink.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;
using ::testing::_;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::kNearKl;
using testing::PredictionDistance;
using testing::QuantizeDirectoryTest;
using testing::RecordingSink;
using testing::WeightDistance;

// Where a tensor's bytes begin in a file of weights.
uint64_t PlaceOf(const std::string& tensor, const fs::path& file) {
  const std::string bytes = *ReadFile(file, uint64_t{1} << 32);
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, bytes.data(), sizeof(header_bytes));
  const auto header = nlohmann::json::parse(bytes.substr(sizeof(header_bytes), header_bytes));
  return sizeof(header_bytes) + header_bytes + header[tensor]["data_offsets"][0].get<uint64_t>();
}

// Stopped in the middle of layer k + 1, and after the last one.
TEST_F(QuantizeDirectoryTest, StoppedAfterEachLayerItEndsWithTheSameBytes) {
  WriteModel({.biases = true});
  QuantizeRequest by_activation = Request();
  by_activation.calibrated.order = ColumnOrder::kActivation;
  by_activation.calibrated.symmetric = false;
  for (const QuantizeRequest& request : {Request(), by_activation, Request("awq")}) {
    SCOPED_TRACE(request.format);
    ASSERT_TRUE(RunJob(request).ok());
    const Files undisturbed = FilesOf(output_);
    fs::remove_all(output_.parent_path());
    for (uint64_t layers = 0; layers <= 3; ++layers) {
      SCOPED_TRACE(layers);
      RunAndStop(request, layers);
      const auto result = RunJob(request, layers % 2 + 1);
      ASSERT_TRUE(result.ok()) << result.status();
      EXPECT_EQ(result->units_reused, layers);
      EXPECT_THAT(Differences(FilesOf(output_), undisturbed), IsEmpty());
      EXPECT_FALSE(fs::exists(part_));
      EXPECT_FALSE(fs::exists(checkpoints_));
      fs::remove_all(output_.parent_path());
    }
  }
}

// A layer's tensors may lie in two files then.
TEST_F(QuantizeDirectoryTest, SplitOverFilesItEndsWithTheSameBytes) {
  QuantizeRequest request = Request();
  request.calibrated.max_file_bytes = 12'000;
  ASSERT_TRUE(RunJob(request).ok());
  const Files undisturbed = FilesOf(output_);
  EXPECT_TRUE(undisturbed.contains("model.safetensors.index.json"));
  EXPECT_GT(std::ranges::count_if(
                undisturbed, [](const auto& file) { return file.first.starts_with("model-000"); }),
            4);
  EXPECT_LT(WeightDistance(model_, output_), 0.25);
  EXPECT_LT(PredictionDistance(model_, output_), kNearKl);
  for (uint64_t layers = 0; layers <= 3; ++layers) {
    SCOPED_TRACE(layers);
    fs::remove_all(output_.parent_path());
    RunAndStop(request, layers);
    const auto result = RunJob(request);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->units_reused, layers);
    EXPECT_THAT(Differences(FilesOf(output_), undisturbed), IsEmpty());
  }
  const auto again = RunJob(request);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_TRUE(again->already_done);
  request.calibrated.max_file_bytes = 24'000;  // another job
  ExpectError(RunJob(request), Error::kInvalidArgument, HasSubstr("exists already"));
}

// Whether the walk that another attempt saved is used shows where it holds something else.
TEST_F(QuantizeDirectoryTest, GoesOnWithTheSavedWalk) {
  const auto first = RunJob(Request());
  ASSERT_TRUE(first.ok()) << first.status();
  const Files undisturbed = FilesOf(output_);
  fs::remove_all(output_.parent_path());
  const fs::path walk = checkpoints_ / first->fingerprint / "walk";
  const uint64_t width = nlohmann::json::parse(Contents(model_ / "config.json"))["hidden_size"];
  const auto save_zeros = [&](uint32_t layers_done) {
    const auto zeros = ActivationStore::Create(256, width, "");
    ASSERT_TRUE(zeros.ok() && SaveWalk(walk, {layers_done, ""}, *zeros).ok());
  };
  struct Case {
    const char* name;
    std::function<void()> change;
    bool is_used;
  };
  const Case cases[] = {
      {"gone", [&] { fs::remove(walk); }, false},
      {"cut short", [&] { fs::resize_file(walk, fs::file_size(walk) - 1); }, false},
      {"ahead", [&] { save_zeros(3); }, false},
      {"of these layers", [&] { save_zeros(2); }, true},
      {"of an earlier layer", [&] { save_zeros(1); }, true},
  };
  for (const Case& one : cases) {
    SCOPED_TRACE(one.name);
    RunAndStop(Request(), 2);
    EXPECT_TRUE(fs::exists(walk));
    one.change();
    const auto result = RunJob(Request());
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->units_reused, 2u);
    EXPECT_EQ(Differences(FilesOf(output_), undisturbed).empty(), !one.is_used);
    fs::remove_all(output_.parent_path());
  }
}

// A router that was scaled is part of what a replay reads.
TEST_F(QuantizeDirectoryTest, AMixtureIsReplayedWithTheRouterThatWasWritten) {
  WriteModel({.layers = 2, .experts = 4});
  const auto first = RunJob(Request("awq"));
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_LT(PredictionDistance(model_, output_), kNearKl);
  const Files undisturbed = FilesOf(output_);
  fs::remove_all(output_.parent_path());
  RunAndStop(Request("awq"), 1);
  ASSERT_TRUE(fs::remove(checkpoints_ / first->fingerprint / "walk"));
  const auto result = RunJob(Request("awq"));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->units_reused, 1u);
  EXPECT_THAT(Differences(FilesOf(output_), undisturbed), IsEmpty());
}

TEST_F(QuantizeDirectoryTest, StoppedAgainAndAgainItStillEnds) {
  ASSERT_TRUE(RunJob(Request()).ok());
  const Files undisturbed = FilesOf(output_);
  fs::remove_all(output_.parent_path());
  for (uint64_t layers = 1; layers <= 3; ++layers) RunAndStop(Request(), layers);
  const auto result = RunJob(Request());
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->units_reused, 3u);
  EXPECT_THAT(Differences(FilesOf(output_), undisturbed), IsEmpty());
}

// Between the steps that follow the last layer.
TEST_F(QuantizeDirectoryTest, StoppedAfterTheLayersItEndsWithTheSameBytes) {
  ASSERT_TRUE(RunJob(Request()).ok());
  const Files undisturbed = FilesOf(output_);
  fs::remove_all(output_.parent_path());
  for (const Phase at : {Phase::kValidate, Phase::kPublish}) {
    SCOPED_TRACE(static_cast<int>(at));
    RecordingSink sink;
    std::stop_source stop;
    sink.on_phase = [&](Phase phase) {
      if (phase == at) stop.request_stop();
    };
    ExpectError(RunJob(Request(), sink, 2, stop.get_token()), Error::kCancelled, _);
    const auto result = RunJob(Request());
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->units_reused, 3u);
    EXPECT_THAT(Differences(FilesOf(output_), undisturbed), IsEmpty());
    fs::remove_all(output_.parent_path());
  }
}

// Killed while the files that tell of each layer were removed.
TEST_F(QuantizeDirectoryTest, WithoutTheFilesOfLayersTheProvenanceTells) {
  ASSERT_TRUE(RunJob(Request()).ok());
  const Files undisturbed = FilesOf(output_);
  fs::remove_all(output_.parent_path());
  RecordingSink sink;
  std::stop_source stop;
  sink.on_phase = [&](Phase phase) {
    if (phase == Phase::kPublish) stop.request_stop();
  };
  ExpectError(RunJob(Request(), sink, 2, stop.get_token()), Error::kCancelled, _);
  EXPECT_FALSE(fs::exists(part_ / ".layer-1.json"));
  // Of another job it tells nothing.
  const std::string provenance = Contents(part_ / "llm-quantize.json");
  std::string foreign = provenance;
  foreign.replace(foreign.find("\"fingerprint\": \"") + 16, 4, "0000");
  ASSERT_NE(foreign, provenance);
  ASSERT_TRUE(WriteFileAtomically(part_ / "llm-quantize.json", foreign).ok());
  ExpectError(RunJob(Request()), Error::kCheckpoint, HasSubstr(".layer-0.json"));
  ASSERT_TRUE(WriteFileAtomically(part_ / "llm-quantize.json", provenance).ok());
  const auto result = RunJob(Request());
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->units_reused, 3u);
  EXPECT_THAT(Differences(FilesOf(output_), undisturbed), IsEmpty());
}

TEST_F(QuantizeDirectoryTest, ResumeOptionTakesItsCheckpointOnly) {
  RunAndStop(Request(), 2);
  QuantizeRequest other = Request("gptq", "8bit");
  other.checkpoint.resume_from = checkpoints_;
  ExpectError(RunJob(other), Error::kCheckpoint, HasSubstr("belongs to ./model at 4bit"));
  QuantizeRequest nowhere = Request();
  nowhere.checkpoint.resume_from = dir_.path() / "nothing";
  ExpectError(RunJob(nowhere), Error::kCheckpoint, HasSubstr("holds no checkpoint"));
  QuantizeRequest request = Request();
  request.checkpoint.resume_from = checkpoints_;
  request.checkpoint.directory = dir_.path() / "elsewhere";
  const auto result = RunJob(request);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->units_reused, 2u);
}

TEST_F(QuantizeDirectoryTest, WithoutCheckpointsAStoppedJobLeavesNothing) {
  QuantizeRequest request = Request();
  request.checkpoint.enabled = false;
  RecordingSink sink;
  std::stop_source stop;
  sink.on_progress = [&](const RecordingSink::Progress& progress) {
    if (progress.done == 1) stop.request_stop();
  };
  ExpectError(RunJob(request, sink, 2, stop.get_token()), Error::kCancelled, _);
  ExpectNothingLeft();
}

TEST_F(QuantizeDirectoryTest, AnOutputThatIsThere) {
  const auto first = RunJob(Request());
  ASSERT_TRUE(first.ok()) << first.status();
  const Files files = FilesOf(output_);

  const auto same = RunJob(Request());
  ASSERT_TRUE(same.ok()) << same.status();
  EXPECT_TRUE(same->already_done);
  EXPECT_EQ(same->fingerprint, first->fingerprint);
  EXPECT_EQ(same->mean_module_error, first->mean_module_error);

  ExpectError(RunJob(Request("gptq", "8bit")), Error::kInvalidArgument,
              AllOf(HasSubstr(output_.string()), HasSubstr("exists already")));
  QuantizeRequest other = Request();
  other.calibration.seed = 3;
  ExpectError(RunJob(other), Error::kInvalidArgument, HasSubstr("exists already"));
  EXPECT_THAT(Differences(FilesOf(output_), files), IsEmpty());
  EXPECT_FALSE(fs::exists(part_));

  QuantizeRequest replacing = Request("gptq", "8bit");
  replacing.overwrite = true;
  const auto replaced = RunJob(replacing);
  ASSERT_TRUE(replaced.ok()) << replaced.status();
  EXPECT_FALSE(replaced->already_done);
  EXPECT_EQ(nlohmann::json::parse(Contents(output_ / "config.json"))["quantization_config"]["bits"],
            8);
  EXPECT_FALSE(fs::exists(part_));
}

// An output of this very job, changed since.
class ChangedOutputTest : public QuantizeDirectoryTest {
 protected:
  QuantizeRequest ConversionTo(const std::string& format, const fs::path& gguf) const {
    QuantizeRequest request = Request(format, "");
    request.model_path = gguf;
    request.conversion = {.is_wanted = true, .may_requantize = true};
    return request;
  }

  static absl::StatusOr<QuantizeResult> RunEither(const QuantizeRequest& request) {
    if (!request.conversion.is_wanted) return RunJob(request);
    ThreadPool pool(2);
    RecordingSink sink;
    JobContext context{{}, sink, pool};
    QuantizeOutcome outcome = Convert(request, context);
    if (!outcome.status.ok()) return outcome.status;
    return std::move(outcome.finished.at(0));
  }

  void Put(const std::string& name, const std::string& contents) const {
    ASSERT_TRUE(WriteFileAtomically(output_ / name, contents).ok());
  }

  // llm-quantize.json with another list of files.
  void PutList(const nlohmann::json& list) const {
    auto provenance = nlohmann::json::parse(Contents(output_ / "llm-quantize.json"));
    provenance["files"] = list;
    Put("llm-quantize.json", provenance.dump());
  }

  struct Change {
    const char* name;
    std::function<void()> make;
    std::string message;
  };

  std::vector<Change> Changes() const {
    const fs::path weights = output_ / "model.safetensors", config = output_ / "config.json";
    const uint64_t size_bytes = fs::file_size(weights);
    const auto of_bytes = [=](uint64_t found) {
      return "model.safetensors: found " + std::to_string(found) + " bytes, expected " +
             std::to_string(size_bytes);
    };
    const std::string no_list = "llm-quantize.json: found no list of files";
    return {
        {"weights end early", [=] { fs::resize_file(weights, size_bytes - 100); },
         of_bytes(size_bytes - 100)},
        {"weights go on", [=] { fs::resize_file(weights, size_bytes + 8); },
         of_bytes(size_bytes + 8)},
        {"a code",
         [=] { FlipByte(weights, PlaceOf("model.layers.2.mlp.up_proj.qweight", weights)); },
         "model.safetensors: found SHA-256 "},
        {"the last byte", [=] { FlipByte(weights, size_bytes - 1); },
         "model.safetensors: found SHA-256 "},
        {"the header", [=] { FlipByte(weights, 20); }, "model.safetensors: found SHA-256 "},
        {"no weights", [=] { fs::remove(weights); },
         "model.safetensors: found no file, expected one of "},
        {"no tokenizer", [this] { fs::remove(output_ / "tokenizer.json"); },
         "tokenizer.json: found no file, expected one of "},
        {"an empty configuration", [this] { Put("config.json", "{}"); },
         "config.json: found 2 bytes, expected "},
        {"another configuration", [=] { FlipByte(config, fs::file_size(config) / 2); },
         "config.json: found SHA-256 "},
        {"a folder",
         [=] {
           fs::remove(config);
           fs::create_directory(config);
         },
         "config.json: found no file, expected one of "},
        {"no list, as of earlier versions", [this] { PutList(nullptr); }, no_list},
        {"an empty list", [this] { PutList(nlohmann::json::object()); }, no_list},
        {"names alone",
         [this] {
           PutList({"config.json", "model.safetensors"});
         },
         no_list},
        {"sizes alone",
         [this] {
           PutList({{"config.json", {{"size_bytes", 5}}}});
         },
         no_list},
        {"the provenance ends early",
         [this] { fs::resize_file(output_ / "llm-quantize.json", 100); }, "exists already"},
    };
  }

  void Restore(const Files& files) const {
    fs::remove_all(output_);
    fs::create_directories(output_);
    for (const auto& [name, contents] : files) Put(name, contents);
  }

  void ExpectChangesAreSeen(const QuantizeRequest& request) {
    const auto first = RunEither(request);
    ASSERT_TRUE(first.ok()) << first.status();
    const Files made = FilesOf(output_);
    for (const Change& change : Changes()) {
      SCOPED_TRACE(change.name);
      change.make();
      const Files changed = FilesOf(output_);
      const auto refused = RunEither(request);
      ExpectError(refused, Error::kInvalidArgument,
                  AllOf(HasSubstr("the output " + output_.string() + " exists already"),
                        HasSubstr(change.message)));
      EXPECT_THAT(SuggestionOf(refused.status()), HasSubstr("--overwrite"));
      EXPECT_THAT(Differences(FilesOf(output_), changed), IsEmpty());
      Restore(made);
    }

    // What its owner may do with it.
    Put("README.md", "Ours.");
    Put("notes.txt", "of ours");
    const auto same = RunEither(request);
    ASSERT_TRUE(same.ok()) << same.status();
    EXPECT_TRUE(same->already_done);
    fs::remove(output_ / "README.md");
    EXPECT_TRUE(RunEither(request).ok());

    // An attempt that may overwrite does so, whichever it is.
    QuantizeRequest replacing = request;
    replacing.overwrite = true;
    for (const bool retried : {false, true}) {
      SCOPED_TRACE(retried);
      fs::resize_file(output_ / "model.safetensors", 1000);
      replacing.retried = retried;
      const auto replaced = RunEither(replacing);
      ASSERT_TRUE(replaced.ok()) << replaced.status();
      EXPECT_FALSE(replaced->already_done);
      EXPECT_THAT(Differences(FilesOf(output_), made), IsEmpty());
    }
    fs::remove_all(output_.parent_path());
  }
};

TEST_F(ChangedOutputTest, OfQuantizeIsNotTakenForDone) {
  for (const char* format : {"gptq", "awq"}) {
    SCOPED_TRACE(format);
    ExpectChangesAreSeen(Request(format));
  }
}

TEST_F(ChangedOutputTest, OfConvertIsNotTakenForDone) {
  const fs::path gguf = MakeGguf("Q4_0");
  for (const char* format : {"gptq", "awq"}) {
    SCOPED_TRACE(format);
    ExpectChangesAreSeen(ConversionTo(format, gguf));
  }
}

TEST_F(ChangedOutputTest, TheListHasEachFileThatTheJobWrote) {
  QuantizeRequest split = Request();
  split.calibrated.max_file_bytes = 12'000;
  for (const QuantizeRequest& request :
       {Request("awq"), split, ConversionTo("gptq", MakeGguf("Q8_0"))}) {
    ASSERT_TRUE(RunEither(request).ok());
    nlohmann::json want;
    for (const auto& [name, contents] : FilesOf(output_)) {
      if (name == "README.md" || name == "llm-quantize.json") continue;
      want[name] = {{"size_bytes", contents.size()}, {"sha256", Sha256Hex(contents)}};
    }
    EXPECT_GE(want.size(), 5u);
    EXPECT_EQ(nlohmann::json::parse(Contents(output_ / "llm-quantize.json"))["files"], want);
    fs::remove_all(output_.parent_path());
  }
}

// Layers lie in one file, or in two, or begin in one whose other layers are whole.
TEST_F(ChangedOutputTest, WhatChangesBeforeItIsValidatedIsFoundInEveryFile) {
  QuantizeRequest request = Request();
  request.calibrated.max_file_bytes = 40'000;
  ASSERT_TRUE(RunJob(request).ok());
  std::vector<std::string> names;
  for (const auto& [name, contents] : FilesOf(output_)) {
    if (name.ends_with(".safetensors")) names.push_back(name);
  }
  EXPECT_GE(names.size(), 4u);
  fs::remove_all(output_.parent_path());
  for (const std::string& name : names) {
    SCOPED_TRACE(name);
    RecordingSink sink;
    sink.on_phase = [&](Phase phase) {
      if (phase == Phase::kValidate) FlipByte(part_ / name, fs::file_size(part_ / name) - 1);
    };
    ExpectError(RunJob(request, sink), Error::kValidationFailed,
                HasSubstr("is not what was written"));
    ExpectNothingLeft();
  }
}

// Between the renaming of the output and the removal of the checkpoint.
TEST_F(QuantizeDirectoryTest, KilledRightAfterPublishingItKnowsItsOutput) {
  const fs::path saved = dir_.path() / "saved";
  RecordingSink sink;
  sink.on_phase = [&](Phase phase) {
    if (phase == Phase::kPublish) fs::copy(checkpoints_, saved, fs::copy_options::recursive);
  };
  ASSERT_TRUE(RunJob(Request(), sink).ok());
  const Files files = FilesOf(output_);
  for (const bool resumes : {false, true}) {
    SCOPED_TRACE(resumes);
    fs::copy(saved, checkpoints_, fs::copy_options::recursive);
    QuantizeRequest request = Request();
    if (resumes) request.checkpoint.resume_from = checkpoints_;
    const auto result = RunJob(request);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_TRUE(result->already_done);
    EXPECT_FALSE(fs::exists(checkpoints_));
    EXPECT_THAT(Differences(FilesOf(output_), files), IsEmpty());
  }
  // A retried attempt of a job that may overwrite knows its own output, too.
  QuantizeRequest request = Request();
  request.overwrite = true;
  request.retried = true;
  const auto result = RunJob(request);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(result->already_done);
}

class DamagedCheckpointTest : public QuantizeDirectoryTest {
 protected:
  void SetUp() override {
    QuantizeDirectoryTest::SetUp();
    RunAndStop(Request(), 2);
  }
  void ExpectDamage(const ::testing::Matcher<std::string>& message) {
    ExpectError(RunJob(Request()), Error::kCheckpoint, message);
    EXPECT_FALSE(fs::exists(output_));
    EXPECT_TRUE(fs::exists(part_)) << "damage is left for its owner to see";
  }
  fs::path Folder() const { return fs::directory_iterator(checkpoints_)->path(); }
};

TEST_F(DamagedCheckpointTest, BytesOfAFinishedLayer) {
  const fs::path file = part_ / "model.safetensors";
  FlipByte(file, PlaceOf("model.layers.0.mlp.up_proj.qweight", file));
  ExpectDamage(HasSubstr(": layer 0 is not what the checkpoint says"));
}

TEST_F(DamagedCheckpointTest, BytesOutsideTheLayers) {
  FlipByte(part_ / "model.safetensors", fs::file_size(part_ / "model.safetensors") / 4);
  ExpectDamage(HasSubstr("outside the layers is not what the checkpoint says"));
}

// With another checkpoint folder, so that this job's is not removed as stale.
TEST_F(DamagedCheckpointTest, AnotherJobsPartIsNoDamage) {
  QuantizeRequest other = Request("gptq", "8bit");
  other.checkpoint.directory = dir_.path() / "other-checkpoints";
  RecordingSink sink;
  std::stop_source stop;
  sink.on_progress = [&](const RecordingSink::Progress& progress) {
    if (progress.done == 1) stop.request_stop();
  };
  ExpectError(RunJob(other, sink, 2, stop.get_token()), Error::kCancelled, _);
  EXPECT_THAT(sink.warnings, Contains(AllOf(HasSubstr(part_.string()), HasSubstr("another job"),
                                            HasSubstr("is replaced"))));

  QuantizeRequest resumed = Request();
  resumed.checkpoint.resume_from = checkpoints_;
  ExpectError(RunJob(resumed), Error::kCheckpoint, HasSubstr("another job"));

  RecordingSink again;
  const auto result = RunJob(Request(), again);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->units_reused, 0u);
  EXPECT_THAT(again.warnings, Contains(AllOf(HasSubstr("lists 2 finished layers"),
                                             HasSubstr("another job"), HasSubstr("anew"))));
  EXPECT_FALSE(fs::exists(output_ / ".job"));
}

// As an earlier version left it, or a crash before it was written.
TEST_F(DamagedCheckpointTest, APartThatDoesNotSayWhoseItIsGoesByItsBytes) {
  EXPECT_EQ(fs::file_size(part_ / ".job"), 65u);
  fs::remove(part_ / ".job");
  const auto result = RunJob(Request());
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->units_reused, 2u);
}

TEST_F(DamagedCheckpointTest, TheJournal) {
  const fs::path journal = Folder() / "journal";
  FlipByte(journal, Contents(journal).find("unit") + 6);
  ExpectDamage(HasSubstr("journal line"));
}

TEST_F(DamagedCheckpointTest, WhatWasSaidOfALayer) {
  FlipByte(part_ / ".layer-1.json", 0);
  ExpectDamage(HasSubstr(".layer-1.json"));
}

TEST_F(DamagedCheckpointTest, WhatWasSaidOfALayerIsGone) {
  fs::remove(part_ / ".layer-0.json");
  ExpectDamage(HasSubstr(".layer-0.json"));
}

TEST_F(DamagedCheckpointTest, AWeightFileOfAnotherSize) {
  fs::resize_file(part_ / "model.safetensors", 1000);
  ExpectDamage(HasSubstr("has 1000 bytes"));
}

TEST_F(DamagedCheckpointTest, WeightsThatAreGoneAreMadeAnew) {
  fs::remove_all(part_);
  RecordingSink sink;
  const auto result = RunJob(Request(), sink);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->units_reused, 0u);
  EXPECT_THAT(sink.warnings, Contains(HasSubstr("starting anew")));
}

}  // namespace
}  // namespace quantized
