#include "core/pipeline/quality.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/pipeline/quantize_directory.h"
#include "core/pipeline/test_directory.h"
#include "tests/support/paths.h"
#include "tests/support/recording_sink.h"
#include "tests/support/synthetic_model.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::RecordingSink;
using ::testing::SizeIs;

std::string Contents(const fs::path& path) { return *ReadFile(path, uint64_t{1} << 30); }

class QualityTest : public ::testing::Test {
 protected:
  void SetUp() override {
    testing::WriteDirectoryModel(model_, {.layers = 2});
    testing::WriteDocuments(text_, 90);
  }

  QuantizeRequest Request(const std::string& format, const std::string& level) const {
    QuantizeRequest request;
    request.model_path = model_;
    request.model_name = "./model";
    request.format = format;
    request.outputs = {{.level = level, .path = OutputOf(format)}};
    request.calibration = {
        .data = text_, .name = "text.txt", .samples = 8, .sequence_length = 32, .is_given = true};
    request.calibrated.group_size = 32;
    request.checkpoint.directory = checkpoints_;
    request.quality = {.is_wanted = true, .report = true, .samples = 5};
    return request;
  }
  fs::path OutputOf(const std::string& format) const {
    return dir_.path() / "out" / (format == "gguf" ? "model.gguf" : "model");
  }
  fs::path Report(const std::string& suffix) const {
    return dir_.path() / "out" / ("model.report." + suffix);
  }

  QuantizeOutcome Run(const QuantizeRequest& request) {
    ThreadPool threads(2);
    JobContext context{{}, sink_, threads};
    return request.format == "gguf" ? Quantize(request, context)
                                    : QuantizeToDirectory(request, context);
  }

  testing::TempDir dir_;
  const fs::path model_ = dir_.path() / "model";
  const fs::path text_ = dir_.path() / "text.txt";
  const fs::path checkpoints_ = dir_.path() / "checkpoints";
  RecordingSink sink_;
};

TEST_F(QualityTest, AReportIsWrittenBesideEachResult) {
  struct Row {
    const char *format, *level;
    double least, most;  // divergence
  };
  for (const Row& row : {Row{"gguf", "F32", 0, 1e-9}, Row{"gguf", "Q8_0", 1e-9, 1e-2},
                         Row{"gptq", "4bit", 1e-4, 1}, Row{"awq", "4bit", 1e-4, 1}}) {
    SCOPED_TRACE(std::string(row.format) + " " + row.level);
    fs::remove_all(dir_.path() / "out");
    const QuantizeOutcome outcome = Run(Request(row.format, row.level));
    ASSERT_TRUE(outcome.status.ok()) << outcome.status;
    const auto& quality = outcome.finished.at(0).quality;
    ASSERT_TRUE(quality.has_value());
    EXPECT_GE(quality->kl_divergence, row.least);
    EXPECT_LE(quality->kl_divergence, row.most);
    EXPECT_EQ(quality->tokens, 5u * 31);
    EXPECT_GT(quality->top1_agreement, 0.3);
    EXPECT_NEAR(quality->perplexity / quality->source_perplexity, 1, 0.5);
    EXPECT_EQ(quality->description, "text.txt, held out");
    EXPECT_THAT(quality->table, HasSubstr("KL"));
    EXPECT_THAT(quality->report_files, ElementsAre(Report("json"), Report("html")));

    const auto json = nlohmann::json::parse(Contents(Report("json")));
    EXPECT_EQ(json["format"], row.format);
    EXPECT_EQ(json["level"], row.level);
    EXPECT_EQ(json["evaluation"]["windows"], 5);
    EXPECT_EQ(json["kl_divergence"]["mean"], quality->kl_divergence);
    EXPECT_EQ(json["size_bytes"], outcome.finished.at(0).file_size_bytes);
    EXPECT_EQ(json["modules"].size(), 2u + 2 * 7);  // embedding, head, linears
    for (const auto& module : json["modules"]) {
      const bool is_packed = std::string(row.format) != "gguf" && !module["layer"].is_null();
      EXPECT_EQ(module["output_error"].is_number(), is_packed) << module;
      EXPECT_EQ(module["weight_error"].is_null(), is_packed && row.format == std::string("awq"))
          << module;
    }
    EXPECT_THAT(Contents(Report("html")), AllOf(HasSubstr("<svg"), HasSubstr(row.level)));
    EXPECT_THAT(sink_.warnings, Not(Contains(HasSubstr("no effect"))));
  }
}

TEST_F(QualityTest, ItIsAPhaseOfItsOwnAndTheCardTellsOfIt) {
  const QuantizeOutcome outcome = Run(Request("gptq", "4bit"));
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_THAT(sink_.phases, ElementsAre(Phase::kProbe, Phase::kLoad, Phase::kQuantize,
                                        Phase::kAssess, Phase::kValidate, Phase::kPublish));
  EXPECT_THAT(sink_.messages,
              Contains("Measuring quality of 4bit: 5 samples of 32 tokens, text.txt"));
  EXPECT_THAT(Contents(OutputOf("gptq") / "README.md"), HasSubstr("KL divergence from the source"));
}

TEST_F(QualityTest, UnaskedNothingIsMeasured) {
  QuantizeRequest request = Request("gguf", "Q4_0");
  request.quality = {};
  const QuantizeOutcome outcome = Run(request);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_FALSE(outcome.finished[0].quality.has_value());
  EXPECT_FALSE(fs::exists(Report("json")));
  EXPECT_THAT(sink_.phases, Not(Contains(Phase::kAssess)));
}

TEST_F(QualityTest, BeyondTheLimitAResultIsNotPublishedAndNotLost) {
  for (const auto& [format, level] :
       {std::pair("gguf", "Q4_0"), std::pair("gptq", "4bit"), std::pair("awq", "4bit")}) {
    SCOPED_TRACE(format);
    fs::remove_all(dir_.path() / "out");
    QuantizeRequest request = Request(format, level);
    request.quality.max_kld = 1e-7;
    const QuantizeOutcome refused = Run(request);
    EXPECT_EQ(ErrorOf(refused.status), Error::kValidationFailed) << refused.status;
    EXPECT_THAT(std::string(refused.status.message()),
                AllOf(HasSubstr(std::string("KL divergence of ") + level),
                      HasSubstr("--max-kld allows 1e-07")));
    EXPECT_FALSE(fs::exists(OutputOf(format)));
    EXPECT_TRUE(fs::exists(Report("html")));

    // What was made is there for who wants it after all.
    request.quality.max_kld = 10;
    const QuantizeOutcome accepted = Run(request);
    ASSERT_TRUE(accepted.status.ok()) << accepted.status;
    EXPECT_GT(accepted.finished.at(0).units_reused, 0u);
    EXPECT_EQ(accepted.finished.at(0).units_reused, std::string(format) == "gguf"
                                                        ? accepted.finished[0].tensors
                                                        : accepted.finished[0].layers_processed);
    EXPECT_TRUE(fs::exists(OutputOf(format)));
  }
}

// Experts that few tokens reach are rounded, and nobody knows what that does to their outputs.
TEST_F(QualityTest, AnOutputErrorThatIsNotKnownIsNone) {
  for (const std::string format : {"gptq", "awq"}) {
    SCOPED_TRACE(format);
    fs::remove_all(dir_.path() / "out");
    fs::remove_all(model_);
    testing::WriteDirectoryModel(model_, {.layers = 1, .experts = 8});
    QuantizeRequest request = Request(format, "4bit");
    request.calibration.samples = 2;
    request.quality.max_kld = 0;  // a second job goes on with the first one's reports
    EXPECT_EQ(ErrorOf(Run(request).status), Error::kValidationFailed);
    request.quality.max_kld.reset();
    const QuantizeOutcome outcome = Run(request);
    ASSERT_TRUE(outcome.status.ok()) << outcome.status;
    EXPECT_EQ(outcome.finished.at(0).units_reused, 1u);

    const auto provenance = nlohmann::json::parse(Contents(OutputOf(format) / "llm-quantize.json"));
    std::map<std::string, bool> is_known;
    double sum = 0, count = 0;
    for (const auto& module : provenance["modules"]) {
      is_known[module["module"]] = module["tokens"] >= 32;
      EXPECT_EQ(module["relative_error"].is_null(), module["tokens"] < 32) << module;
      if (module["relative_error"].is_null()) continue;
      sum += module["relative_error"].get<double>();
      ++count;
    }
    EXPECT_LT(count, provenance["modules"].size());
    EXPECT_GT(count, 0);
    EXPECT_DOUBLE_EQ(provenance["mean_module_error"].get<double>(), sum / count);
    const auto report = nlohmann::json::parse(Contents(Report("json")));
    for (const auto& module : report["modules"]) {
      if (!is_known.contains(module["module"])) continue;
      EXPECT_EQ(module["output_error"].is_number(), is_known[module["module"]]) << module;
      EXPECT_EQ(module["weight_error"].is_number(), format == "gptq") << module;
    }
  }
}

TEST_F(QualityTest, WithoutCheckpointsNothingStaysOfARefusedResult) {
  for (const auto& [format, level] : {std::pair("gguf", "Q4_0"), std::pair("gptq", "4bit")}) {
    SCOPED_TRACE(format);
    QuantizeRequest request = Request(format, level);
    request.checkpoint.enabled = false;
    request.quality = {.is_wanted = true, .max_kld = 0, .samples = 2};
    EXPECT_EQ(ErrorOf(Run(request).status), Error::kValidationFailed);
    EXPECT_FALSE(fs::exists(dir_.path() / "out"));
  }
}

// An error of the measuring is none of what was made.
TEST_F(QualityTest, WhatWasMadeStaysWhereItCannotBeMeasured) {
  sink_.on_phase = [&](Phase phase) {
    if (phase != Phase::kAssess) return;
    // The embedding comes last in the file; these are NaN as float16.
    std::fstream weights(model_ / "model.safetensors", std::ios::in | std::ios::out);
    weights.seekp(-int64_t{testing::kDirectoryVocabulary} * 64 * 2, std::ios::end);
    weights << std::string(testing::kDirectoryVocabulary * 64 * 2, '\xff');
  };
  for (const auto& [format, level] : {std::pair("gguf", "Q4_0"), std::pair("gptq", "4bit")}) {
    SCOPED_TRACE(format);
    fs::remove_all(model_);
    testing::WriteDirectoryModel(model_, {.layers = 2});
    const QuantizeRequest request = Request(format, level);
    const QuantizeOutcome outcome = Run(request);
    EXPECT_EQ(ErrorOf(outcome.status), Error::kValidationFailed) << outcome.status;
    EXPECT_THAT(std::string(outcome.status.message()), HasSubstr("not finite"));
    EXPECT_FALSE(fs::exists(OutputOf(format)));
    EXPECT_TRUE(fs::exists(OutputOf(format).string() + ".part"));
    EXPECT_FALSE(fs::is_empty(checkpoints_));
    fs::remove_all(checkpoints_);
  }
}

TEST_F(QualityTest, AResultThatIsThereIsMeasuredToo) {
  for (const auto& [format, level] : {std::pair("gguf", "Q4_0"), std::pair("gptq", "4bit")}) {
    SCOPED_TRACE(format);
    fs::remove_all(dir_.path() / "out");
    QuantizeRequest request = Request(format, level);
    request.quality = {};
    QuantizeOutcome first = Run(request);
    ASSERT_TRUE(first.status.ok()) << first.status;
    request = Request(format, level);
    request.outputs[0].previous = first.finished[0];
    const QuantizeOutcome second = Run(request);
    ASSERT_TRUE(second.status.ok()) << second.status;
    EXPECT_TRUE(second.finished.at(0).already_done);
    EXPECT_TRUE(second.finished[0].quality.has_value());
    EXPECT_TRUE(fs::exists(Report("html")));
    request.quality.max_kld = 0;
    EXPECT_EQ(ErrorOf(Run(request).status), Error::kValidationFailed);
    EXPECT_TRUE(fs::exists(OutputOf(format)));
  }
}

// The job itself says how far the outputs of its linears are off; the folder keeps it.
TEST_F(QualityTest, TheReportOnAFolderThatIsThereIsThatOfItsJob) {
  for (const std::string format : {"gptq", "awq"}) {
    SCOPED_TRACE(format);
    fs::remove_all(dir_.path() / "out");
    ASSERT_TRUE(Run(Request(format, "4bit")).status.ok());
    const std::string report = Contents(Report("json"));
    fs::remove(Report("json"));
    fs::remove(Report("html"));
    const QuantizeOutcome again = Run(Request(format, "4bit"));
    ASSERT_TRUE(again.status.ok()) << again.status;
    EXPECT_TRUE(again.finished.at(0).already_done);
    EXPECT_EQ(Contents(Report("json")), report);
  }
}

TEST_F(QualityTest, LevelsOfAJobAreJudgedOneByOne) {
  QuantizeRequest request = Request("gguf", "Q8_0");
  request.outputs.push_back({.level = "Q4_0", .path = dir_.path() / "out" / "small.gguf"});
  request.quality.max_kld = 0;
  const double of_q8_0 = [&] {
    QuantizeRequest alone = Request("gguf", "Q8_0");
    return Run(alone).finished.at(0).quality->kl_divergence;
  }();
  fs::remove_all(dir_.path() / "out");
  request.quality.max_kld = 2 * of_q8_0;
  const QuantizeOutcome outcome = Run(request);
  EXPECT_EQ(ErrorOf(outcome.status), Error::kValidationFailed) << outcome.status;
  ASSERT_THAT(outcome.finished, SizeIs(1));
  EXPECT_EQ(outcome.finished[0].level, "Q8_0");
  EXPECT_FALSE(fs::exists(dir_.path() / "out" / "small.gguf"));
}

TEST_F(QualityTest, TheResultDoesNotDependOnIt) {
  QuantizeRequest request = Request("gguf", "Q4_0");
  ASSERT_TRUE(Run(request).status.ok());
  const std::string made = Contents(OutputOf("gguf"));
  fs::remove_all(dir_.path() / "out");
  request.quality = {};
  ASSERT_TRUE(Run(request).status.ok());
  EXPECT_TRUE(Contents(OutputOf("gguf")) == made);
}

TEST_F(QualityTest, WhereCalibrationTakesAllTheBuiltInTextServes) {
  QuantizeRequest request = Request("gptq", "4bit");
  // More than the built-in text has, which calibration does not look at.
  request.calibration.samples = 1 << 20;
  const QuantizeOutcome outcome = Run(request);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_EQ(outcome.finished.at(0).quality->description, "built-in text, held out");
  EXPECT_THAT(sink_.warnings,
              Contains("calibration takes all of text.txt: quality is measured on the built-in "
                       "text"));
}

TEST_F(QualityTest, WithoutCalibrationAllOfTheTextServes) {
  QuantizeRequest request = Request("gguf", "Q4_0");
  request.calibration.samples = 1 << 20;
  const auto measure = [&] {
    fs::remove_all(dir_.path() / "out");
    QuantizeOutcome outcome = Run(request);
    EXPECT_TRUE(outcome.status.ok()) << outcome.status;
    return *outcome.finished.at(0).quality;
  };
  const QualitySummary alone = measure();
  EXPECT_EQ(alone.description, "text.txt, held out");
  EXPECT_EQ(alone.tokens, 5u * 31);
  // With a matrix of this text none of it is left.
  request.gguf.measure_importance = true;
  EXPECT_EQ(measure().description, "built-in text, held out");
  // What a calibration would leave serves levels without one, too: figures of both compare.
  request = Request("gguf", "Q4_0");
  const QualitySummary without = measure();
  request.gguf.measure_importance = true;
  EXPECT_EQ(measure().source_perplexity, without.source_perplexity);
  EXPECT_NE(alone.source_perplexity, without.source_perplexity);
}

TEST_F(QualityTest, WhatCannotBeMeasuredIsRefusedBeforeAnyWork) {
  QuantizeRequest request = Request("gguf", "Q4_0");
  request.gguf.prune_layers = {1};
  EXPECT_THAT(std::string(Run(request).status.message()), HasSubstr("--prune-layers"));
  const fs::path gguf = dir_.path() / "source.gguf";
  ASSERT_TRUE(testing::WriteSyntheticModel(gguf, {}).ok());
  request = Request("gguf", "Q4_0");
  request.model_path = gguf;
  const absl::Status status = Run(request).status;
  EXPECT_EQ(ErrorOf(status), Error::kValidationFailed);
  EXPECT_THAT(std::string(status.message()), HasSubstr("tokenizer.ggml.tokens: found"));
  EXPECT_FALSE(fs::exists(dir_.path() / "out"));
}

TEST_F(QualityTest, AFileInTheWayOfAReportIsRefusedBeforeAnyWork) {
  for (const char* suffix : {"json", "html"}) {
    for (const auto& [format, level] : {std::pair("gguf", "Q4_0"), std::pair("gptq", "4bit")}) {
      SCOPED_TRACE(std::string(format) + " " + suffix);
      fs::remove_all(dir_.path() / "out");
      fs::create_directories(dir_.path() / "out");
      ASSERT_TRUE(WriteFileAtomically(Report(suffix), "{\"mine\": 1}").ok());
      QuantizeRequest request = Request(format, level);
      const absl::Status status = Run(request).status;
      EXPECT_EQ(ErrorOf(status), Error::kInvalidArgument) << status;
      EXPECT_THAT(std::string(status.message()), HasSubstr(Report(suffix).string()));
      EXPECT_EQ(Contents(Report(suffix)), "{\"mine\": 1}");
      EXPECT_FALSE(fs::exists(OutputOf(format)));
      request.overwrite = true;
      EXPECT_TRUE(Run(request).status.ok());
      EXPECT_NE(Contents(Report(suffix)), "{\"mine\": 1}");
      // An earlier report on the same model is in nobody's way.
      fs::remove_all(OutputOf(format));
      request.overwrite = false;
      EXPECT_TRUE(Run(request).status.ok());
      ASSERT_TRUE(fs::remove(Report("json")));
      fs::remove_all(OutputOf(format));
      EXPECT_EQ(ErrorOf(Run(request).status), Error::kInvalidArgument);
    }
  }
}

TEST_F(QualityTest, TextThatCannotBePredictedIsRefusedBeforeAnyWork) {
  QuantizeRequest request = Request("gptq", "4bit");
  // The tokenizer puts nothing before a text, so that a window may be of one id.
  nlohmann::json tokenizer = nlohmann::json::parse(Contents(model_ / "tokenizer.json"));
  tokenizer.erase("post_processor");
  std::ofstream(model_ / "tokenizer.json") << tokenizer.dump();
  request.calibration.sequence_length = 1;
  absl::Status status = Run(request).status;
  EXPECT_EQ(ErrorOf(status), Error::kInvalidArgument) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("found samples of 1 token"));
  EXPECT_FALSE(fs::exists(dir_.path() / "out"));

  // An id without a row of the embedding, behind what calibration looks at.
  fs::remove_all(model_);
  constexpr uint32_t kLast = testing::kDirectoryVocabulary - 1;
  testing::WriteDirectoryModel(model_, {.layers = 2, .vocabulary = kLast});
  std::vector<uint32_t> ids;
  for (uint32_t i = 0; i < 300; ++i) ids.push_back(i * 7 % kLast);
  ids.push_back(kLast);
  for (uint32_t i = 0; i < 300; ++i) ids.push_back(i * 5 % kLast);
  request = Request("gptq", "4bit");
  request.calibration.data = dir_.path() / "ids.jsonl";
  std::ofstream(request.calibration.data) << nlohmann::json{{"input_ids", ids}};
  status = Run(request).status;
  EXPECT_EQ(ErrorOf(status), Error::kValidationFailed) << status;
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("token id 405: expected less than the 405 rows"));
  EXPECT_FALSE(fs::exists(dir_.path() / "out"));
  request.quality = {};
  EXPECT_TRUE(Run(request).status.ok());
}

TEST(ReportPathTest, IsTheOutputsNameWithAnotherEnd) {
  EXPECT_EQ(ReportPath("/a/m-Q4_K_M.gguf", ".report.json"), "/a/m-Q4_K_M.report.json");
  EXPECT_EQ(ReportPath("/a/m-1.5B-gptq-4bit", ".report.html"), "/a/m-1.5B-gptq-4bit.report.html");
}

}  // namespace
}  // namespace quantized
