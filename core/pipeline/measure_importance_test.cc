#include "core/pipeline/measure_importance.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <stop_token>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/gguf/reader.h"
#include "core/pipeline/forecast.h"
#include "core/pipeline/test_directory.h"
#include "tests/support/paths.h"
#include "tests/support/quantize_job.h"
#include "tests/support/synthetic_model.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::Contains;
using testing::DirectoryModel;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::RecordingSink;
using testing::RunQuantize;

// What the encoders of such levels take: rows of whole super-blocks.
const DirectoryModel kModel = {.layers = 3, .hidden = 256, .feed_forward = 256, .head_dim = 64};
constexpr uint32_t kWindows = 6, kTokens = 16;

std::string TextOf(const gguf::Metadata& metadata, std::string_view key) {
  const std::string* text = metadata.Get<std::string>(key);
  return text == nullptr ? "" : *text;
}

std::string Contents(const fs::path& path) { return *ReadFile(path, uint64_t{1} << 30); }

class MeasureImportanceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    WriteModel(kModel);
    testing::WriteDocuments(text_, 60);
  }

  void WriteModel(const DirectoryModel& model) {
    fs::remove_all(model_);
    testing::WriteDirectoryModel(model_, model);
  }

  QuantizeRequest Request(const std::string& level = "IQ2_XXS") const {
    QuantizeRequest request;
    request.model_path = model_;
    request.model_name = "./model";
    request.outputs = {{.level = level, .path = output_}};
    request.calibration = {
        .data = text_, .name = "text.txt", .samples = kWindows, .sequence_length = kTokens};
    request.checkpoint.directory = dir_.path() / "checkpoints";
    request.cache_directory = dir_.path() / "cache";
    return request;
  }

  // The only file in the cache that ends so; empty where there is none.
  fs::path Cached(const std::string& suffix) const {
    std::error_code ignored;
    for (const auto& entry :
         fs::directory_iterator(dir_.path() / "cache" / "importance", ignored)) {
      if (entry.path().extension() == suffix) return entry.path();
    }
    return {};
  }

  static void ExpectError(const absl::StatusOr<QuantizeResult>& result, Error error,
                          const ::testing::Matcher<std::string>& message) {
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(ErrorOf(result.status()), error) << result.status();
    EXPECT_THAT(std::string(result.status().message()), message);
  }

  testing::TempDir dir_;
  const fs::path model_ = dir_.path() / "model";
  const fs::path text_ = dir_.path() / "text.txt";
  const fs::path output_ = dir_.path() / "out" / "model.gguf";
  const fs::path matrix_ = dir_.path() / "matrix.gguf";
};

TEST_F(MeasureImportanceTest, ALevelThatNeedsAMatrixGetsOne) {
  RecordingSink sink;
  const auto result = RunQuantize(Request(), sink);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->calibration.description, "text.txt");
  EXPECT_EQ(result->calibration.windows, kWindows);
  EXPECT_EQ(result->calibration.sequence_length, kTokens);
  EXPECT_THAT(result->notes, IsEmpty());
  EXPECT_THAT(sink.phases, ElementsAre(Phase::kProbe, Phase::kCalibrate, Phase::kLoad,
                                       Phase::kQuantize, Phase::kValidate, Phase::kPublish));
  EXPECT_THAT(sink.messages, Contains("Measuring importance: 6 samples of 16 tokens, text.txt"));
  ASSERT_FALSE(sink.progress.empty());
  EXPECT_EQ(sink.progress.front().total, 3u);
  EXPECT_EQ(sink.progress.front().unit, "layers");
  const auto reader = gguf::GgufReader::Open(output_);
  ASSERT_TRUE(reader.ok()) << reader.status();
  const gguf::Metadata& metadata = (*reader)->metadata();
  EXPECT_EQ(metadata.GetUnsigned("quantize.imatrix.entries_count"), 3u * 7);
  EXPECT_EQ(metadata.GetUnsigned("quantize.imatrix.chunks_count"), kWindows);
  EXPECT_EQ(TextOf(metadata, "quantize.imatrix.dataset"), "text.txt");
  EXPECT_EQ(metadata.Find("quantize.imatrix.file"), nullptr);
}

TEST_F(MeasureImportanceTest, OtherLevelsGetOneOnlyWhereItIsAskedFor) {
  const auto with_matrix = [&] {
    return (*gguf::GgufReader::Open(output_))->metadata().Find("quantize.imatrix.entries_count") !=
           nullptr;
  };
  QuantizeRequest request = Request("Q4_K_M");
  request.overwrite = true;
  RecordingSink sink;
  ASSERT_TRUE(RunQuantize(request, sink).ok());
  EXPECT_FALSE(with_matrix());
  EXPECT_THAT(sink.phases, Not(Contains(Phase::kCalibrate)));
  EXPECT_THAT(sink.warnings, IsEmpty());

  request.calibration.is_given = true;
  request.gguf.include_weights = {"attn"};
  ASSERT_TRUE(RunQuantize(request, sink).ok());
  EXPECT_FALSE(with_matrix());
  EXPECT_THAT(sink.warnings,
              ElementsAre(HasSubstr("options of calibration have no effect"),
                          HasSubstr("--include-weights and --exclude-weights have no effect")));

  request.gguf.measure_importance = true;
  RecordingSink other;
  ASSERT_TRUE(RunQuantize(request, other).ok());
  EXPECT_TRUE(with_matrix());
  EXPECT_THAT(other.warnings, IsEmpty());
}

// The matrix that comes out is the one that went in.
TEST_F(MeasureImportanceTest, TheFileOfTheMatrixGivesTheSameModel) {
  for (const char* name : {"matrix.gguf", "matrix.dat"}) {
    SCOPED_TRACE(name);
    QuantizeRequest request = Request();
    request.overwrite = true;
    request.gguf.imatrix_out = dir_.path() / name;
    request.gguf.imatrix_out_name = name;
    ASSERT_TRUE(RunQuantize(request).ok());
    const std::string made = Contents(output_);

    QuantizeRequest again = Request();
    again.overwrite = true;
    again.gguf.imatrix_paths = {dir_.path() / name};
    again.gguf.imatrix_names = {name};
    RecordingSink sink;
    const auto result = RunQuantize(again, sink);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_THAT(sink.phases, Not(Contains(Phase::kCalibrate)));
    EXPECT_EQ(result->calibration.hash, "");
    // The older form keeps means, which differ in their last bits.
    EXPECT_TRUE(Contents(output_) == made || std::string(name).ends_with(".dat"));
  }
}

TEST_F(MeasureImportanceTest, AGgufFileIsMeasuredAsItsDirectory) {
  QuantizeRequest request = Request();
  request.gguf.imatrix_out = matrix_;
  request.gguf.imatrix_out_name = "matrix.gguf";
  request.overwrite = true;
  ASSERT_TRUE(RunQuantize(request).ok());
  const std::string expected = *ReadFile(matrix_, uint64_t{1} << 30);
  QuantizeRequest to_float = Request();
  to_float.calibration = {};
  to_float.outputs = {{.level = "F16", .path = dir_.path() / "source.gguf"}};
  ASSERT_TRUE(RunQuantize(to_float).ok());
  request.model_path = dir_.path() / "source.gguf";
  const auto result = RunQuantize(request);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(*ReadFile(matrix_, uint64_t{1} << 30), expected);
}

TEST_F(MeasureImportanceTest, EntriesAreOfTheLinears) {
  QuantizeRequest request = Request();
  request.gguf.imatrix_out = matrix_;
  ASSERT_TRUE(RunQuantize(request).ok());
  const auto file = OpenImportanceFile(matrix_);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->entries.size(), 3u * 7);
  EXPECT_EQ(file->chunks, kWindows);
  EXPECT_EQ(file->chunk_tokens, kTokens);
  const auto entry = [&](const std::string& name) { return file->entries.at("blk.1." + name); };
  for (const char* name : {"attn_q.weight", "attn_k.weight", "attn_v.weight", "attn_output.weight",
                           "ffn_gate.weight", "ffn_up.weight", "ffn_down.weight"}) {
    EXPECT_EQ(entry(name).sums.size(), 256u) << name;
    EXPECT_THAT(entry(name).counts, ElementsAre(kWindows * kTokens)) << name;
    EXPECT_THAT(entry(name).sums, Each(::testing::Gt(0.0f))) << name;
  }
  EXPECT_EQ(entry("attn_q.weight").sums, entry("attn_v.weight").sums);
  EXPECT_EQ(entry("ffn_gate.weight").sums, entry("ffn_up.weight").sums);
  EXPECT_NE(entry("ffn_gate.weight").sums, entry("attn_q.weight").sums);
}

TEST_F(MeasureImportanceTest, ThreadsShowNowhere) {
  std::string first;
  for (const size_t threads : {1, 2, 5}) {
    QuantizeRequest request = Request();
    request.overwrite = true;
    request.cache_directory = "";
    request.gguf.imatrix_out = matrix_;
    ASSERT_TRUE(RunQuantize(request, threads).ok());
    const std::string matrix = Contents(matrix_);
    if (first.empty()) first = matrix;
    EXPECT_TRUE(matrix == first) << threads;
  }
}

TEST_F(MeasureImportanceTest, AMatrixIsMeasuredOnce) {
  QuantizeRequest request = Request();
  ASSERT_TRUE(RunQuantize(request).ok());
  ASSERT_FALSE(Cached(".gguf").empty());
  EXPECT_EQ(Cached(".walk"), "");
  EXPECT_EQ(Cached(".lock"), "");
  const std::string known = "Importance matrix: measured before, taken from the cache";
  // Another level, made elsewhere.
  request = Request("IQ2_XS");
  request.outputs[0].path = dir_.path() / "other.gguf";
  RecordingSink sink;
  ASSERT_TRUE(RunQuantize(request, sink).ok());
  EXPECT_THAT(sink.messages, Contains(known));
  // Other settings are another matrix.
  request.overwrite = true;
  for (const auto& change : std::vector<std::function<void(QuantizeRequest&)>>{
           [](QuantizeRequest& r) { r.calibration.seed = 1; },
           [](QuantizeRequest& r) { r.calibration.samples = 5; },
           [](QuantizeRequest& r) { r.calibration.sequence_length = 12; },
           [](QuantizeRequest& r) { r.calibration.all_tokens_to_experts = true; }}) {
    QuantizeRequest changed = request;
    change(changed);
    RecordingSink other;
    ASSERT_TRUE(RunQuantize(changed, other).ok());
    EXPECT_THAT(other.messages, Not(Contains(known)));
  }
  // So is another model.
  DirectoryModel model = kModel;
  model.alter = [](const std::string&, std::span<float> values) { values[0] += 1; };
  WriteModel(model);
  RecordingSink other;
  ASSERT_TRUE(RunQuantize(request, other).ok());
  EXPECT_THAT(other.messages, Not(Contains(known)));
}

// What the cache has is told with the name that its text has in this job.
TEST_F(MeasureImportanceTest, ANameOfAnotherJobsTextDoesNotShow) {
  QuantizeRequest request = Request();
  request.gguf.imatrix_out = matrix_;
  ASSERT_TRUE(RunQuantize(request).ok());
  const std::string measured = Contents(matrix_);
  fs::remove_all(dir_.path() / "cache");
  fs::remove(matrix_);

  QuantizeRequest first = Request();
  first.calibration.data = dir_.path() / "private.txt";
  first.calibration.name = "private.txt";
  fs::copy_file(request.calibration.data, first.calibration.data);
  first.outputs[0].path = dir_.path() / "first.gguf";
  ASSERT_TRUE(RunQuantize(first).ok());
  request.overwrite = true;
  RecordingSink sink;
  ASSERT_TRUE(RunQuantize(request, sink).ok());
  EXPECT_THAT(sink.messages, Contains(HasSubstr("taken from the cache")));
  EXPECT_TRUE(Contents(matrix_) == measured);
}

TEST_F(MeasureImportanceTest, ADamagedCacheIsMeasuredAgain) {
  QuantizeRequest request = Request();
  request.overwrite = true;
  ASSERT_TRUE(RunQuantize(request).ok());
  const std::string made = Contents(output_);
  const std::string whole = Contents(Cached(".gguf"));
  ASSERT_TRUE(WriteFileAtomically(Cached(".gguf"), whole.substr(0, whole.size() / 2)).ok());
  fs::remove(output_);
  RecordingSink sink;
  ASSERT_TRUE(RunQuantize(request, sink).ok());
  EXPECT_THAT(sink.warnings, Contains(HasSubstr("cached importance matrix is damaged")));
  EXPECT_TRUE(Contents(output_) == made);
  EXPECT_TRUE(Contents(Cached(".gguf")) == whole);
}

TEST_F(MeasureImportanceTest, StoppedAfterEachLayerItGoesOnWithTheNext) {
  ASSERT_TRUE(RunQuantize(Request()).ok());
  const std::string made = Contents(output_);
  for (const uint64_t stop_after : {1, 2}) {
    SCOPED_TRACE(stop_after);
    fs::remove_all(dir_.path() / "cache");
    fs::remove_all(output_.parent_path());
    std::stop_source stop;
    RecordingSink sink;
    sink.on_progress = [&](const RecordingSink::Progress& progress) {
      if (progress.done == stop_after) stop.request_stop();
    };
    ExpectError(RunQuantize(Request(), sink, 2, stop.get_token()), Error::kCancelled,
                "the job was cancelled");
    EXPECT_FALSE(fs::exists(output_.parent_path()));
    ASSERT_FALSE(Cached(".walk").empty());
    RecordingSink again;
    const auto result = RunQuantize(Request(), again);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(again.progress.front().done, stop_after);
    EXPECT_TRUE(Contents(output_) == made);
    EXPECT_EQ(Cached(".walk"), "");
  }
}

TEST_F(MeasureImportanceTest, ADamagedWalkBeginsAnew) {
  ASSERT_TRUE(RunQuantize(Request()).ok());
  const std::string made = Contents(output_);
  fs::remove_all(dir_.path() / "cache");
  fs::remove(output_);
  std::stop_source stop;
  RecordingSink sink;
  sink.on_progress = [&](const RecordingSink::Progress& progress) {
    if (progress.done == 2) stop.request_stop();
  };
  EXPECT_FALSE(RunQuantize(Request(), sink, 2, stop.get_token()).ok());
  std::string walk = Contents(Cached(".walk"));
  walk[walk.size() / 2] = static_cast<char>(walk[walk.size() / 2] ^ 4);
  ASSERT_TRUE(WriteFileAtomically(Cached(".walk"), walk).ok());
  RecordingSink again;
  ASSERT_TRUE(RunQuantize(Request(), again).ok());
  EXPECT_EQ(again.progress.front().done, 0u);
  EXPECT_TRUE(Contents(output_) == made);
}

TEST_F(MeasureImportanceTest, WithoutCheckpointsNoWalkIsKept) {
  QuantizeRequest request = Request();
  request.checkpoint.enabled = false;
  std::stop_source stop;
  RecordingSink sink;
  sink.on_progress = [&](const RecordingSink::Progress& progress) {
    if (progress.done == 2) stop.request_stop();
  };
  EXPECT_FALSE(RunQuantize(request, sink, 2, stop.get_token()).ok());
  EXPECT_EQ(Cached(".walk"), "");
}

TEST_F(MeasureImportanceTest, ExpertsHaveCountsOfTheirOwn) {
  DirectoryModel model = kModel;
  model.layers = 2;
  model.experts = 4;
  // Nobody goes to the third.
  model.alter = [](const std::string& name, std::span<float> values) {
    if (name != "model.layers.1.block_sparse_moe.gate.weight") return;
    std::ranges::fill(values.subspan(0, 512), 0.0f);
    std::ranges::fill(values.subspan(512, 256), 0.0f);
    std::ranges::fill(values.subspan(768, 256), 0.0f);
  };
  WriteModel(model);
  QuantizeRequest request = Request();
  request.gguf.imatrix_out = matrix_;
  RecordingSink sink;
  const auto result = RunQuantize(request, sink);
  ASSERT_TRUE(result.ok()) << result.status();
  const auto file = OpenImportanceFile(matrix_);
  ASSERT_TRUE(file.ok()) << file.status();
  const auto& first = file->entries.at("blk.0.ffn_down_exps.weight");
  ASSERT_EQ(first.counts.size(), 4u);
  EXPECT_EQ(first.sums.size(), 4u * 256);
  float tokens = 0;
  for (const float count : first.counts) tokens += count;
  EXPECT_EQ(tokens, kWindows * kTokens * 2);  // two experts for each token
  // With equal scores the first two take all.
  const auto& second = file->entries.at("blk.1.ffn_gate_exps.weight");
  EXPECT_THAT(second.counts, ElementsAre(kWindows * kTokens, kWindows * kTokens, 0, 0));
  EXPECT_THAT(result->notes,
              ElementsAre("blk.1.ffn_down_exps.weight: experts 2, 3 of 4 saw no token of the "
                          "calibration text; their columns count alike"));
  EXPECT_THAT(sink.warnings, Contains(result->notes[0]));

  request.calibration.all_tokens_to_experts = true;
  request.overwrite = true;
  const auto all = RunQuantize(request);
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_THAT(all->notes, IsEmpty());
  EXPECT_THAT(OpenImportanceFile(matrix_)->entries.at("blk.1.ffn_gate_exps.weight").counts,
              Each(kWindows * kTokens));
}

TEST_F(MeasureImportanceTest, ActivationsThatAreNotFiniteAreRefused) {
  DirectoryModel model = kModel;
  model.alter = [](const std::string& name, std::span<float> values) {
    if (name == "model.layers.1.mlp.down_proj.weight") {
      values[3] = std::numeric_limits<float>::infinity();
    }
  };
  WriteModel(model);
  ExpectError(RunQuantize(Request()), Error::kValidationFailed,
              AllOf(HasSubstr("layer 2"), HasSubstr("not finite")));
  EXPECT_FALSE(fs::exists(output_.parent_path()));
}

TEST_F(MeasureImportanceTest, WhatCannotBeMeasuredIsRefused) {
  const fs::path gguf = dir_.path() / "source.gguf";
  ASSERT_TRUE(testing::WriteSyntheticModel(gguf, {}).ok());
  QuantizeRequest request = Request();
  request.model_path = gguf;
  ExpectError(RunQuantize(request), Error::kInvalidArgument,
              HasSubstr("level IQ2_XXS needs an importance matrix"));
  request.gguf.measure_importance = true;
  ExpectError(RunQuantize(request), Error::kValidationFailed,
              HasSubstr("tokenizer.ggml.tokens: found"));
  request = Request();
  std::ofstream(text_) << "too little";
  ExpectError(RunQuantize(request), Error::kInvalidArgument, HasSubstr("text.txt"));
}

TEST_F(MeasureImportanceTest, AFileThatIsThereIsReplacedOnlyWhereItMay) {
  QuantizeRequest request = Request();
  request.gguf.imatrix_out = matrix_;
  ASSERT_TRUE(RunQuantize(request).ok());
  const std::string matrix = Contents(matrix_);
  // The same again, as after an interruption.
  fs::remove(output_);
  EXPECT_TRUE(RunQuantize(request).ok());
  std::ofstream(matrix_) << "something else";
  fs::remove(output_);
  ExpectError(RunQuantize(request), Error::kInvalidArgument,
              "--imatrix-out: " + matrix_.string() + " exists already");
  EXPECT_EQ(Contents(matrix_), "something else");
  request.overwrite = true;
  EXPECT_TRUE(RunQuantize(request).ok());
  EXPECT_TRUE(Contents(matrix_) == matrix);
}

TEST_F(MeasureImportanceTest, AnOutputInTheWayIsRefusedBeforeTheMeasuring) {
  fs::create_directories(output_.parent_path());
  std::ofstream(output_) << "something else";
  RecordingSink sink;
  ExpectError(RunQuantize(Request(), sink), Error::kInvalidArgument,
              "the output " + output_.string() + " exists already");
  EXPECT_THAT(sink.phases, Not(Contains(Phase::kCalibrate)));
}

TEST_F(MeasureImportanceTest, SeveralMatricesAreAddedUp) {
  QuantizeRequest request = Request();
  request.overwrite = true;
  std::vector<ImportanceFile> parts;
  for (const uint64_t seed : {1, 2}) {
    request.calibration.seed = seed;
    request.gguf.imatrix_out = dir_.path() / (std::to_string(seed) + ".gguf");
    ASSERT_TRUE(RunQuantize(request).ok());
    parts.push_back(*OpenImportanceFile(request.gguf.imatrix_out));
  }
  request.gguf.imatrix_paths = {dir_.path() / "1.gguf", dir_.path() / "2.gguf"};
  request.gguf.imatrix_names = {"1.gguf", "2.gguf"};
  request.gguf.imatrix_out = matrix_;
  const auto result = RunQuantize(request);
  ASSERT_TRUE(result.ok()) << result.status();
  const auto sum = OpenImportanceFile(matrix_);
  ASSERT_TRUE(sum.ok()) << sum.status();
  EXPECT_EQ(sum->chunks, 2 * kWindows);
  const std::string name = "blk.2.ffn_down.weight";
  for (size_t i = 0; i < 256; ++i) {
    EXPECT_EQ(sum->entries.at(name).sums[i],
              parts[0].entries.at(name).sums[i] + parts[1].entries.at(name).sums[i]);
  }
  EXPECT_EQ(TextOf((*gguf::GgufReader::Open(output_))->metadata(), "quantize.imatrix.file"),
            "1.gguf,2.gguf");
}

TEST_F(MeasureImportanceTest, TheForecastKnowsOfIt) {
  const auto forecast = ForecastQuantize(Request(), 2);
  ASSERT_TRUE(forecast.ok()) << forecast.status();
  EXPECT_TRUE(forecast->measures_importance);
  EXPECT_THAT(forecast->warnings, IsEmpty());
  const auto without = ForecastQuantize(Request("Q4_K_M"), 2);
  ASSERT_TRUE(without.ok()) << without.status();
  EXPECT_FALSE(without->measures_importance);
  EXPECT_GT(forecast->memory_needed_bytes, without->memory_needed_bytes);
  QuantizeRequest longer = Request();
  longer.calibration.samples = 1 << 16;
  const auto larger = ForecastQuantize(longer, 2);
  ASSERT_TRUE(larger.ok()) << larger.status();
  // The walk is saved between layers.
  EXPECT_GT(larger->disk_needed_bytes, 100 * forecast->disk_needed_bytes);
  const auto result = RunQuantize(Request());
  ASSERT_TRUE(result.ok()) << result.status();
  // All but the keys that tell of the matrix.
  EXPECT_NEAR(static_cast<double>(result->file_size_bytes),
              static_cast<double>(forecast->outputs[0].size_bytes), 256);
}

}  // namespace
}  // namespace quantized
