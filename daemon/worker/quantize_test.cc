#include "daemon/worker/quantize.h"

#include <filesystem>
#include <fstream>

#include "core/base/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/paths.h"
#include "tests/support/recording_sink.h"
#include "tests/support/synthetic_model.h"

namespace quantized {
namespace {

using ::testing::ElementsAre;

void AddOutput(v1::QuantizeSpec& spec, const std::string& level, const std::string& path) {
  v1::OutputSpec& output = *spec.add_outputs();
  output.set_level(level);
  output.set_path(path);
}

v1::StartAttempt FullStart() {
  v1::StartAttempt start;
  v1::QuantizeSpec& spec = *start.mutable_spec()->mutable_quantize();
  spec.set_model_path("/models/m");
  spec.set_model_name("./m");
  spec.set_format("gguf");
  AddOutput(spec, "q4_k_m", "/out/m-Q4_K_M.gguf");
  AddOutput(spec, "Q8_0", "/out/m-Q8_0.gguf");
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
  result.files = {"/out/m-00001-of-00002.gguf", "/out/m-00002-of-00002.gguf"};
  result.device = "cuda:0 NVIDIA H100";
  result.device_memory_bytes = 1 << 30;
  result.already_done = true;
  return result;
}

QuantizeResult CalibratedResult() {
  QuantizeResult result = FullResult();
  result.output_path = "/out/m-Q4_K_M.gguf";
  result.format = "gptq";
  result.level = "4bit";
  result.group_size = -1;
  result.calibration = {"built-in text", "abc", 64, 512};
  result.mean_module_error = 0.0125;
  result.notes = {"model.layers.0.mlp.up_proj: rounded", "model.layers.1.mlp.up_proj: rounded"};
  return result;
}

TEST(QuantizeTest, TheSpecBecomesTheRequest) {
  const QuantizeRequest request = QuantizeRequestOf(FullStart());
  EXPECT_EQ(request.model_path, "/models/m");
  EXPECT_EQ(request.model_name, "./m");
  ASSERT_EQ(request.outputs.size(), 2u);
  EXPECT_EQ(request.outputs[0].level, "q4_k_m");
  EXPECT_EQ(request.outputs[0].path, "/out/m-Q4_K_M.gguf");
  EXPECT_EQ(request.outputs[1].level, "Q8_0");
  EXPECT_FALSE(request.strict);
  EXPECT_TRUE(request.overwrite);
  EXPECT_TRUE(request.checkpoint.enabled);
  EXPECT_EQ(request.checkpoint.directory, "/checkpoints");
  EXPECT_EQ(request.checkpoint.resume_from, "/checkpoints/f");
  EXPECT_EQ(request.pre_tokenizer, "smollm");
  for (const OutputRequest& output : request.outputs) EXPECT_FALSE(output.previous.has_value());
}

TEST(QuantizeTest, TheOptionsOfLlamaQuantizeReachTheRequest) {
  v1::StartAttempt start = FullStart();
  v1::QuantizeSpec& spec = *start.mutable_spec()->mutable_quantize();
  spec.set_strict(true);
  spec.set_device("cuda:1");
  v1::GgufOptions& gguf = *spec.mutable_gguf();
  gguf.add_imatrix_paths("/imatrix.gguf");
  gguf.add_imatrix_names("./imatrix.gguf");
  gguf.set_measure_importance(true);
  gguf.set_imatrix_out_path("/out.gguf");
  gguf.set_imatrix_out_name("./out.gguf");
  gguf.add_include_weights("attn_q");
  gguf.add_include_weights("attn_k");
  gguf.add_exclude_weights("ffn_up");
  gguf.add_tensor_types("ffn_down=q6_k");
  gguf.add_tensor_types("attn_v=q8_0");
  gguf.set_output_tensor_type("q8_0");
  gguf.set_token_embedding_type("q5_k");
  gguf.set_leave_output_tensor(true);
  gguf.set_pure(true);
  gguf.add_prune_layers(3);
  gguf.add_prune_layers(5);
  gguf.add_override_kv("general.name=str:m");
  gguf.set_keep_split(true);
  gguf.set_split_max_bytes(2'000'000'000);
  gguf.set_allow_requantize(true);
  const QuantizeRequest request = QuantizeRequestOf(start);
  EXPECT_TRUE(request.strict);
  EXPECT_EQ(request.device, "cuda:1");
  EXPECT_THAT(request.gguf.imatrix_paths, ElementsAre("/imatrix.gguf"));
  EXPECT_THAT(request.gguf.imatrix_names, ElementsAre("./imatrix.gguf"));
  EXPECT_TRUE(request.gguf.measure_importance);
  EXPECT_EQ(request.gguf.imatrix_out, "/out.gguf");
  EXPECT_EQ(request.gguf.imatrix_out_name, "./out.gguf");
  EXPECT_THAT(request.gguf.include_weights, ElementsAre("attn_q", "attn_k"));
  EXPECT_THAT(request.gguf.exclude_weights, ElementsAre("ffn_up"));
  EXPECT_THAT(request.gguf.tensor_types, ElementsAre("ffn_down=q6_k", "attn_v=q8_0"));
  EXPECT_EQ(request.gguf.output_tensor_type, "q8_0");
  EXPECT_EQ(request.gguf.token_embedding_type, "q5_k");
  EXPECT_TRUE(request.gguf.leave_output_tensor);
  EXPECT_TRUE(request.gguf.pure);
  EXPECT_THAT(request.gguf.prune_layers, ElementsAre(3u, 5u));
  EXPECT_THAT(request.gguf.override_kv, ElementsAre("general.name=str:m"));
  EXPECT_TRUE(request.gguf.keep_split);
  EXPECT_EQ(request.gguf.split_max_bytes, 2'000'000'000u);
  EXPECT_TRUE(request.gguf.allow_requantize);
}

TEST(QuantizeTest, TheOptionsOfACalibrationReachTheRequest) {
  v1::StartAttempt start = FullStart();
  v1::QuantizeSpec& spec = *start.mutable_spec()->mutable_quantize();
  spec.set_format("gptq");
  v1::CalibrationSpec& calibration = *spec.mutable_calibration();
  calibration.set_data_path("/data.json");
  calibration.set_data_name("./data.json");
  calibration.set_samples(64);
  calibration.set_sequence_length(1024);
  calibration.set_seed(7);
  v1::PackedOptions& packed = *spec.mutable_packed();
  packed.set_group_size(-1);
  packed.set_asymmetric(true);
  packed.set_damping(0.05);
  calibration.set_all_tokens_to_experts(true);
  const QuantizeRequest request = QuantizeRequestOf(start);
  EXPECT_EQ(request.format, "gptq");
  EXPECT_EQ(request.calibration.data, "/data.json");
  EXPECT_EQ(request.calibration.name, "./data.json");
  EXPECT_EQ(request.calibration.samples, 64u);
  EXPECT_EQ(request.calibration.sequence_length, 1024u);
  EXPECT_EQ(request.calibration.seed, 7u);
  EXPECT_EQ(request.calibrated.group_size, -1);
  EXPECT_FALSE(request.calibrated.symmetric);
  EXPECT_EQ(request.calibrated.damping, 0.05);
  EXPECT_TRUE(request.calibration.all_tokens_to_experts);
  EXPECT_TRUE(request.calibration.is_given);
}

TEST(QuantizeTest, WhatIsNotSaidOfACalibrationIsTheDefault) {
  v1::StartAttempt start = FullStart();
  start.mutable_spec()->mutable_quantize()->set_format("gptq");
  const QuantizeRequest request = QuantizeRequestOf(start);
  const CalibratedOptions& options = request.calibrated;
  EXPECT_EQ(options.group_size, kAutoGroupSize);
  EXPECT_TRUE(options.symmetric);
  EXPECT_EQ(options.order, ColumnOrder::kGroupAware);
  EXPECT_EQ(options.damping, CalibratedOptions().damping);
  EXPECT_EQ(request.calibration.samples, 256u);
  EXPECT_EQ(request.calibration.sequence_length, 512u);
  EXPECT_FALSE(request.calibration.all_tokens_to_experts);
  EXPECT_FALSE(request.calibration.is_given);
}

TEST(QuantizeTest, EachOrderOfColumnsHasItsName) {
  const std::pair<const char*, ColumnOrder> kOrders[] = {{"none", ColumnOrder::kNatural},
                                                         {"group", ColumnOrder::kGroupAware},
                                                         {"static", ColumnOrder::kStaticActivation},
                                                         {"full", ColumnOrder::kActivation}};
  for (const auto& [name, order] : kOrders) {
    v1::StartAttempt start = FullStart();
    start.mutable_spec()->mutable_quantize()->mutable_packed()->set_column_order(name);
    EXPECT_EQ(QuantizeRequestOf(start).calibrated.order, order) << name;
  }
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
  *start.add_previous_results() = proto;
  const QuantizeRequest request = QuantizeRequestOf(start);
  EXPECT_FALSE(request.outputs[1].previous.has_value());  // of another path
  v1::QuantizeResult again = ToProto(request.outputs[0].previous.value());
  EXPECT_FALSE(again.already_done());  // a stored result says what was made, not what is so now
  again.set_already_done(true);
  EXPECT_EQ(again.SerializeAsString(), proto.SerializeAsString());
}

TEST(QuantizeTest, ResultsOfACalibrationSurviveTheWayThereAndBack) {
  EXPECT_FALSE(ToProto(FullResult()).has_calibration());
  const v1::QuantizeResult proto = ToProto(CalibratedResult());
  EXPECT_EQ(proto.format(), "gptq");
  EXPECT_EQ(proto.group_size(), -1);
  EXPECT_EQ(proto.calibration().description(), "built-in text");
  EXPECT_EQ(proto.calibration().hash(), "abc");
  EXPECT_EQ(proto.calibration().windows(), 64u);
  EXPECT_EQ(proto.calibration().sequence_length(), 512u);
  EXPECT_EQ(proto.mean_module_error(), 0.0125);
  EXPECT_THAT(proto.notes(), ElementsAre("model.layers.0.mlp.up_proj: rounded",
                                         "model.layers.1.mlp.up_proj: rounded"));

  v1::StartAttempt start = FullStart();
  *start.add_previous_results() = proto;
  v1::QuantizeResult again = ToProto(QuantizeRequestOf(start).outputs[0].previous.value());
  again.set_already_done(true);
  EXPECT_EQ(again.SerializeAsString(), proto.SerializeAsString());
}

Error ErrorOfRun(const v1::StartAttempt& start) {
  testing::RecordingSink sink;
  const JobOutcome outcome = RunQuantize(start, {}, sink);
  EXPECT_EQ(outcome.result.kind_case(), v1::JobResult::KIND_NOT_SET);
  return ErrorOf(outcome.status);
}

TEST(QuantizeTest, RefusesWhatItCannotDo) {
  v1::StartAttempt start = FullStart();
  start.mutable_spec()->mutable_quantize()->set_format("onnx");
  EXPECT_EQ(ErrorOfRun(start), Error::kNotImplemented);
  start = FullStart();
  start.mutable_spec()->mutable_quantize()->clear_outputs();
  EXPECT_EQ(ErrorOfRun(start), Error::kNotImplemented);
}

TEST(QuantizeTest, PassesOnThePipelinesError) {
  v1::StartAttempt start = FullStart();
  start.mutable_spec()->mutable_quantize()->set_model_path("/there/is/no/such/model");
  EXPECT_EQ(ErrorOfRun(start), Error::kModelNotFound);
  start.mutable_spec()->mutable_quantize()->set_format("gptq");
  EXPECT_EQ(ErrorOfRun(start), Error::kInvalidArgument);  // of the level Q4_K_M
}

class RunQuantizeTest : public ::testing::Test {
 protected:
  RunQuantizeTest() {
    EXPECT_TRUE(testing::WriteSyntheticModel(folder_.path() / "m.gguf", {}).ok());
    v1::QuantizeSpec& spec = *start_.mutable_spec()->mutable_quantize();
    spec.set_model_path(folder_.path() / "m.gguf");
    spec.set_format("gguf");
    spec.set_threads(2);
    for (const char* level : {"Q8_0", "Q4_0"}) {
      AddOutput(spec, level, folder_.path() / (std::string(level) + ".gguf"));
    }
  }

  testing::TempDir folder_;
  v1::StartAttempt start_;
  testing::RecordingSink sink_;
};

TEST_F(RunQuantizeTest, TellsOfEachLevel) {
  const JobOutcome outcome = RunQuantize(start_, {}, sink_);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  ASSERT_EQ(outcome.result.quantize().outputs_size(), 2);
  EXPECT_EQ(outcome.result.quantize().outputs(0).level(), "Q8_0");
  EXPECT_EQ(outcome.result.quantize().outputs(1).level(), "Q4_0");
  for (const v1::QuantizeResult& output : outcome.result.quantize().outputs()) {
    EXPECT_TRUE(std::filesystem::exists(output.output_path()));
    EXPECT_EQ(output.device(), "cpu");
    EXPECT_EQ(output.threads(), 2u);
    EXPECT_GT(output.cpu_seconds(), 0);
    EXPECT_GT(output.peak_memory_bytes(), 1u << 20);
  }
}

TEST_F(RunQuantizeTest, WhatIsFinishedStaysThoughAnotherLevelFails) {
  // BF16 holds a last value that Q8_0 does not.
  const std::filesystem::path model = folder_.path() / "m.gguf";
  ASSERT_TRUE(testing::WriteSyntheticModel(model, {.type = kernels::TypeId::kBF16}).ok());
  {
    std::fstream file(model, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(-2, std::ios::end).write("\x00\x7E", 2);
  }
  v1::QuantizeSpec& spec = *start_.mutable_spec()->mutable_quantize();
  spec.mutable_outputs(1)->set_level("BF16");
  const JobOutcome outcome = RunQuantize(start_, {}, sink_);
  EXPECT_EQ(ErrorOf(outcome.status), Error::kValidationFailed);
  ASSERT_EQ(outcome.result.quantize().outputs_size(), 1);
  EXPECT_EQ(outcome.result.quantize().outputs(0).level(), "BF16");
}

}  // namespace
}  // namespace quantized
