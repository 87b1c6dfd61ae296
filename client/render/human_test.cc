#include "client/render/human.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace quantized {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(HumanResultTest, IsKeysAndValues) {
  v1::QuantizeResult result;
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
  EXPECT_EQ(HumanResult(result),
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

TEST(HumanJobsTest, IsATableWithAlignedColumns) {
  std::vector<v1::Job> jobs(2);
  jobs[0].set_id("A");
  jobs[0].set_state(v1::Job::RUNNING);
  jobs[0].mutable_spec()->mutable_quantize()->set_model_name("m\x1b[1m");
  jobs[0].mutable_spec()->mutable_quantize()->add_levels("Q8_0");
  jobs[0].mutable_progress()->set_done(1);
  jobs[0].mutable_progress()->set_total(4);
  jobs[1].set_id("LONGER");
  jobs[1].set_state(v1::Job::SUCCEEDED);
  jobs[1].mutable_spec()->mutable_noop();
  EXPECT_EQ(HumanJobs(jobs),
            "ID      STATE      PROGRESS  CREATED  LEVEL  MODEL\n"
            "A       RUNNING    25%       -        Q8_0   m[1m\n"
            "LONGER  SUCCEEDED  100%      -        -      noop\n");
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

TEST(ResumeCommandTest, IsACompleteShellCommand) {
  v1::JobSpec spec;
  v1::QuantizeSpec& quantize = *spec.mutable_quantize();
  quantize.set_model_path("/my models/a");
  quantize.set_format("gguf");
  quantize.add_levels("Q4_K_M");
  quantize.set_output_path("/out/a-Q4_K_M.gguf");
  quantize.mutable_checkpoint()->set_enabled(true);
  quantize.mutable_checkpoint()->set_directory("/c");
  EXPECT_EQ(ResumeCommand(spec),
            "llm-quantize quantize '/my models/a' gguf -q Q4_K_M -o /out -n a-Q4_K_M.gguf "
            "--checkpoint-dir /c");
  quantize.mutable_checkpoint()->set_enabled(false);
  EXPECT_EQ(ResumeCommand(spec), "");
}

}  // namespace
}  // namespace quantized
