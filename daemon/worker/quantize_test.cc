#include "daemon/worker/quantize.h"

#include "core/base/error.h"
#include "gtest/gtest.h"

namespace quantized {
namespace {

v1::StartAttempt FullStart() {
  v1::StartAttempt start;
  v1::QuantizeSpec& spec = *start.mutable_spec()->mutable_quantize();
  spec.set_model_path("/models/m");
  spec.set_model_name("./m");
  spec.set_format("gguf");
  spec.add_levels("q4_k_m");
  spec.set_output_path("/out/m-Q4_K_M.gguf");
  spec.set_overwrite(true);
  spec.mutable_checkpoint()->set_enabled(true);
  spec.mutable_checkpoint()->set_directory("/checkpoints");
  spec.mutable_checkpoint()->set_resume_from("/checkpoints/f");
  spec.set_pre_tokenizer("smollm");
  return start;
}

QuantizeResult FullResult() {
  QuantizeResult result;
  result.output_path = "/out/m-Q4_K_M.gguf";
  result.level = "Q4_K_M";
  result.fingerprint = "f00d";
  result.original_dtype = "float16";
  result.original_size_bytes = 1000;
  result.file_size_bytes = 280;
  result.tensors = 272;
  result.layers_processed = 30;
  result.units_reused = 3;
  result.bits_per_weight = 4.5;
  result.substitutions = {{"blk.0.x", "Q4_K", "Q5_0", "576 is no multiple of 256"}};
  result.already_done = true;
  return result;
}

TEST(QuantizeTest, TheSpecBecomesTheRequest) {
  const QuantizeRequest request = QuantizeRequestOf(FullStart());
  EXPECT_EQ(request.model_path, "/models/m");
  EXPECT_EQ(request.model_name, "./m");
  EXPECT_EQ(request.level, "q4_k_m");
  EXPECT_EQ(request.output_path, "/out/m-Q4_K_M.gguf");
  EXPECT_TRUE(request.overwrite);
  EXPECT_TRUE(request.checkpoint.enabled);
  EXPECT_EQ(request.checkpoint.directory, "/checkpoints");
  EXPECT_EQ(request.checkpoint.resume_from, "/checkpoints/f");
  EXPECT_EQ(request.pre_tokenizer, "smollm");
  EXPECT_FALSE(request.previous.has_value());
}

TEST(QuantizeTest, ALaterAttemptMayFindItsOwnOutput) {
  v1::StartAttempt start = FullStart();
  for (const int attempt : {1, 2, 7}) {
    start.set_attempt(attempt);
    EXPECT_EQ(QuantizeRequestOf(start).retried, attempt > 1);
  }
}

TEST(QuantizeTest, ResultsSurviveTheWayThereAndBack) {
  const v1::QuantizeResult proto = ToProto(FullResult());
  EXPECT_EQ(proto.format(), "gguf");
  EXPECT_EQ(proto.validation_status(), "valid");
  EXPECT_DOUBLE_EQ(proto.compression_ratio(), 0.28);
  EXPECT_TRUE(proto.already_done());

  v1::StartAttempt start = FullStart();
  *start.mutable_previous_result() = proto;
  v1::QuantizeResult again = ToProto(*QuantizeRequestOf(start).previous);
  EXPECT_FALSE(again.already_done());  // a stored result says what was made, not what is so now
  again.set_already_done(true);
  EXPECT_EQ(again.SerializeAsString(), proto.SerializeAsString());
}

class NoProgress final : public ProgressSink {
  void OnPhase(Phase) override {}
  void OnMessage(std::string_view) override {}
  void OnWarning(std::string_view) override {}
  void OnProgress(uint64_t, uint64_t, std::string_view, uint64_t) override {}
  void OnCheckpoint(uint64_t, const std::filesystem::path&) override {}
};

TEST(QuantizeTest, RefusesWhatItCannotDo) {
  NoProgress progress;
  v1::StartAttempt start = FullStart();
  start.mutable_spec()->mutable_quantize()->set_format("awq");
  EXPECT_EQ(ErrorOf(RunQuantize(start, {}, progress).status()), Error::kNotImplemented);
  start = FullStart();
  start.mutable_spec()->mutable_quantize()->add_levels("q8_0");
  EXPECT_EQ(ErrorOf(RunQuantize(start, {}, progress).status()), Error::kNotImplemented);
}

TEST(QuantizeTest, PassesOnThePipelinesError) {
  NoProgress progress;
  v1::StartAttempt start = FullStart();
  start.mutable_spec()->mutable_quantize()->set_model_path("/there/is/no/such/model");
  EXPECT_EQ(ErrorOf(RunQuantize(start, {}, progress).status()), Error::kModelNotFound);
}

}  // namespace
}  // namespace quantized
