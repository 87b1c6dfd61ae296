#include "client/render/human.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace quantized {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

TEST(HumanResultsTest, IsKeysAndValues) {
  v1::QuantizeResults results;
  v1::QuantizeResult& result = *results.add_outputs();
  result.set_output_path("/o/m-Q4_K_M.gguf");
  result.set_format("gguf");
  result.set_level("Q4_K_M");
  result.set_file_size_bytes(3'900'000'000);
  result.set_original_size_bytes(14'728'495'104);
  result.set_original_dtype("float16");
  result.set_compression_ratio(0.2648);
  result.set_bits_per_weight(4.849);
  result.set_duration_seconds(923);
  result.set_peak_memory_bytes(270'000'000);
  result.set_validation_status("valid");
  v1::Substitution& one = *result.add_substitutions();
  one.set_tensor("blk.0.x");
  one.set_wanted_type("Q4_K");
  one.set_used_type("Q5_0");
  one.set_why("576 columns");
  EXPECT_EQ(HumanResults(results),
            "Output: /o/m-Q4_K_M.gguf\n"
            "Format: GGUF Q4_K_M\n"
            "File Size: 3.9 GB\n"
            "Original Size: 14.7 GB (float16)\n"
            "Compression Ratio: 0.26\n"
            "Bits Per Weight: 4.85\n"
            "Duration: 15:23\n"
            "Peak Memory: 270.0 MB\n"
            "Validation: valid\n"
            "Substitution: 1 tensor is Q5_0 instead of Q4_K (576 columns)\n");
}

TEST(HumanResultsTest, TellsOfTheCalibrationWhereThereWasOne) {
  v1::QuantizeResults results;
  v1::QuantizeResult& result = *results.add_outputs();
  EXPECT_THAT(HumanResults(results), Not(HasSubstr("Calibration")));
  EXPECT_THAT(HumanResults(results), Not(HasSubstr("Group Size")));
  result.set_group_size(64);
  v1::CalibrationSummary& calibration = *result.mutable_calibration();
  calibration.set_description("built-in text");
  calibration.set_windows(64);
  calibration.set_sequence_length(512);
  result.set_mean_module_error(0.0123456);
  result.add_notes("model.layers.0.mlp.up_proj: rounded");
  result.add_notes("model.layers.1.mlp.up_proj: rounded");
  EXPECT_THAT(HumanResults(results),
              HasSubstr("Validation: \n"
                        "Group Size: 64\n"
                        "Calibration: 64 samples of 512 tokens, built-in text\n"
                        "Mean Module Error: 0.01235\n"
                        "Note: model.layers.0.mlp.up_proj: rounded\n"
                        "Note: model.layers.1.mlp.up_proj: rounded\n"));
}

TEST(HumanResultsTest, TellsOfAConversionWhatItLost) {
  v1::QuantizeResults results;
  v1::QuantizeResult& result = *results.add_outputs();
  result.set_original_dtype("gguf Q4_1");
  result.set_fidelity("requantized");
  EXPECT_THAT(HumanResults(results), HasSubstr("Conversion: requantized from gguf Q4_1\n"));
  result.set_mean_module_error(0.0025);
  EXPECT_THAT(HumanResults(results),
              HasSubstr("Conversion: requantized from gguf Q4_1; weights changed by 5 %\n"));
  result.set_fidelity("exact");
  result.set_mean_module_error(0);
  EXPECT_THAT(HumanResults(results), HasSubstr("Conversion: exact from gguf Q4_1\n"));
}

TEST(HumanResultsTest, TheTableOfQualityComesLast) {
  v1::QuantizeResults results;
  v1::QuantizeResult& result = *results.add_outputs();
  result.mutable_quality()->set_table("KL divergence  0.031\n\x1b[31mred\n");
  result.mutable_quality()->add_report_files("/o/m.report.html");
  result.add_notes("a note");
  EXPECT_THAT(HumanResults(results), HasSubstr("Report: /o/m.report.html\nNote: a note\n\n"
                                               "KL divergence  0.031\n[31mred\n"));
}

TEST(HumanResultsTest, SeveralAreBlocks) {
  v1::QuantizeResults results;
  results.add_outputs()->set_output_path("/o/a.gguf");
  results.add_outputs()->set_output_path("/o/b.gguf");
  EXPECT_THAT(HumanResults(results), StartsWith("Output: /o/a.gguf\n"));
  EXPECT_THAT(HumanResults(results), HasSubstr("Validation: \n\nOutput: /o/b.gguf\n"));
}

TEST(HumanResultsTest, OfASplitModelTheFirstFileIsTheOutput) {
  v1::QuantizeResults results;
  v1::QuantizeResult& result = *results.add_outputs();
  result.set_output_path("/o/m.gguf");
  result.add_files("/o/m-00001-of-00002.gguf");
  result.add_files("/o/m-00002-of-00002.gguf");
  EXPECT_THAT(HumanResults(results),
              StartsWith("Output: /o/m-00001-of-00002.gguf\n"
                         "Files: 2, m-00001-of-00002.gguf to m-00002-of-00002.gguf\n"));
}

TEST(HumanResultsTest, PeakMemoryIsThatOfBothMemories) {
  v1::QuantizeResults results;
  results.add_outputs()->set_peak_memory_bytes(1'000'000);
  results.mutable_outputs(0)->set_device_memory_bytes(2'000'000);
  EXPECT_THAT(HumanResults(results), HasSubstr("Peak Memory: 3.0 MB\n"));
}

TEST(HumanJobsTest, IsATableWithAlignedColumns) {
  std::vector<v1::Job> jobs(2);
  jobs[0].set_id("A");
  jobs[0].set_state(v1::Job::RUNNING);
  jobs[0].mutable_spec()->mutable_quantize()->set_model_name("m\x1b[1m");
  jobs[0].mutable_spec()->mutable_quantize()->add_outputs()->set_level("Q8_0");
  jobs[0].mutable_spec()->mutable_quantize()->add_outputs()->set_level("F16");
  jobs[0].mutable_progress()->set_done(1);
  jobs[0].mutable_progress()->set_total(4);
  jobs[1].set_id("LONGER");
  jobs[1].set_state(v1::Job::SUCCEEDED);
  jobs[1].mutable_spec()->mutable_noop();
  EXPECT_EQ(HumanJobs(jobs),
            "ID      STATE      PROGRESS  CREATED  LEVEL     MODEL\n"
            "A       RUNNING    25%       -        Q8_0,F16  m[1m\n"
            "LONGER  SUCCEEDED  100%      -        -         noop\n");
}

TEST(HumanJobTest, ShowsEachOutputAndWhatIsFinished) {
  v1::Job job;
  v1::QuantizeSpec& spec = *job.mutable_spec()->mutable_quantize();
  for (const char* level : {"Q8_0", "F16"}) {
    v1::OutputSpec& output = *spec.add_outputs();
    output.set_level(level);
    output.set_path(std::string("/o/") + level);
  }
  job.mutable_error()->set_message("bad");
  job.mutable_finished()->mutable_quantize()->add_outputs()->set_output_path("/o/Q8_0");
  const std::string text = HumanJob(job);
  EXPECT_THAT(text, HasSubstr("Level: Q8_0,F16\nOutput: /o/Q8_0\nOutput: /o/F16\n"));
  EXPECT_THAT(text, HasSubstr("Error: bad\nFinished: /o/Q8_0\n"));
}

TEST(HumanJobTest, NamesTheOperation) {
  v1::Job job;
  EXPECT_THAT(HumanJob(job), Not(HasSubstr("Operation")));
  v1::QuantizeSpec& spec = *job.mutable_spec()->mutable_quantize();
  EXPECT_THAT(HumanJob(job), HasSubstr("Operation: quantize\nModel: "));
  spec.mutable_conversion();
  EXPECT_THAT(HumanJob(job), HasSubstr("Operation: convert\nModel: "));
}

TEST(HumanJobTest, NamesAModelOfTheHubAsItWasTyped) {
  v1::Job job;
  v1::QuantizeSpec& spec = *job.mutable_spec()->mutable_quantize();
  spec.set_model_name("org/name@v2");
  spec.mutable_hub()->set_repository("org/name");
  EXPECT_THAT(HumanJob(job), HasSubstr("Model: org/name@v2\n"));
}

TEST(HumanJobTest, ShowsTheErrorWithoutControls) {
  v1::Job job;
  job.set_id("JOB");
  job.set_state(v1::Job::FAILED);
  job.mutable_error()->set_message("bad\x1b]0;title\x07");
  const std::string text = HumanJob(job);
  EXPECT_THAT(text, HasSubstr("State: FAILED\n"));
  EXPECT_THAT(text, HasSubstr("Error: bad]0;title\n"));
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
}

}  // namespace
}  // namespace quantized
