#include "client/render/resume_command.h"

#include <gtest/gtest.h>

namespace quantized {
namespace {

v1::JobSpec Spec() {
  v1::JobSpec spec;
  v1::QuantizeSpec& quantize = *spec.mutable_quantize();
  quantize.set_model_path("/my models/a");
  quantize.set_format("gguf");
  v1::OutputSpec& output = *quantize.add_outputs();
  output.set_level("Q4_K_M");
  output.set_path("/out/a-Q4_K_M.gguf");
  quantize.mutable_checkpoint()->set_enabled(true);
  quantize.mutable_checkpoint()->set_directory("/c");
  return spec;
}

TEST(ResumeCommandTest, IsACompleteShellCommand) {
  v1::JobSpec spec = Spec();
  EXPECT_EQ(ResumeCommand(spec),
            "llm-quantize quantize '/my models/a' gguf -q Q4_K_M -o /out -n a-Q4_K_M.gguf "
            "--checkpoint-dir /c");
  spec.mutable_quantize()->mutable_checkpoint()->set_enabled(false);
  EXPECT_EQ(ResumeCommand(spec), "");
  EXPECT_EQ(ResumeCommand({}), "");
}

TEST(ResumeCommandTest, NamesAModelOfTheHubAsTheUserDid) {
  v1::JobSpec spec = Spec();
  spec.mutable_quantize()->clear_model_path();
  spec.mutable_quantize()->set_model_name("org/a@v2");
  spec.mutable_quantize()->mutable_hub()->set_repository("org/a");
  EXPECT_EQ(ResumeCommand(spec),
            "llm-quantize quantize org/a@v2 gguf -q Q4_K_M -o /out -n a-Q4_K_M.gguf "
            "--checkpoint-dir /c");
}

TEST(ResumeCommandTest, OfAConversionIsConvert) {
  v1::JobSpec spec = Spec();
  v1::QuantizeSpec& quantize = *spec.mutable_quantize();
  quantize.mutable_conversion();
  const std::string common =
      "llm-quantize convert '/my models/a' gguf -q Q4_K_M -o /out -n a-Q4_K_M.gguf "
      "--checkpoint-dir /c";
  EXPECT_EQ(ResumeCommand(spec), common);
  quantize.set_overwrite(true);
  quantize.set_pre_tokenizer("llama-bpe");
  quantize.mutable_conversion()->set_may_requantize(true);
  EXPECT_EQ(ResumeCommand(spec), common + " --overwrite --force --pre llama-bpe");
}

TEST(ResumeCommandTest, SeveralLevelsKeepTheirNames) {
  v1::JobSpec spec = Spec();
  v1::OutputSpec& output = *spec.mutable_quantize()->add_outputs();
  output.set_level("Q8_0");
  output.set_path("/out/a-Q8_0.gguf");
  EXPECT_EQ(ResumeCommand(spec),
            "llm-quantize quantize '/my models/a' gguf -q Q4_K_M,Q8_0 -o /out --checkpoint-dir /c");
}

TEST(ResumeCommandTest, NamesAllThatDecidesTheBytes) {
  v1::JobSpec spec = Spec();
  v1::QuantizeSpec& quantize = *spec.mutable_quantize();
  quantize.set_overwrite(true);
  quantize.set_pre_tokenizer("llama-bpe");
  quantize.set_strict(true);
  v1::GgufOptions& gguf = *quantize.mutable_gguf();
  for (const char* name : {"i.gguf", "j.dat"}) {
    gguf.add_imatrix_paths(std::string("/here/") + name);
    gguf.add_imatrix_names(std::string("./") + name);
  }
  gguf.set_imatrix_out_path("/here/sum.gguf");
  gguf.set_imatrix_out_name("sum.gguf");
  gguf.add_include_weights("attn_q");
  gguf.add_tensor_types("ffn_.*=q6_k");
  gguf.add_tensor_types("attn_v=q8_0");
  gguf.set_output_tensor_type("q8_0");
  gguf.set_token_embedding_type("q6_k");
  gguf.set_leave_output_tensor(true);
  gguf.set_pure(true);
  gguf.add_prune_layers(1);
  gguf.add_prune_layers(3);
  gguf.add_override_kv("a=str:b c");
  gguf.set_split_max_bytes(2'000'000'000);
  gguf.set_allow_requantize(true);
  EXPECT_EQ(ResumeCommand(spec),
            "llm-quantize quantize '/my models/a' gguf -q Q4_K_M -o /out -n a-Q4_K_M.gguf "
            "--checkpoint-dir /c --overwrite --pre llama-bpe --strict --imatrix ./i.gguf "
            "--imatrix ./j.dat --imatrix-out sum.gguf "
            "--include-weights attn_q --tensor-type 'ffn_.*=q6_k' --tensor-type attn_v=q8_0 "
            "--output-tensor-type q8_0 --token-embedding-type q6_k --leave-output-tensor --pure "
            "--prune-layers 1,3 --override-kv 'a=str:b c' --split-max-size 2000M "
            "--allow-requantize");
}

TEST(ResumeCommandTest, NamesWhatIsToBeKnownOfTheQuality) {
  v1::JobSpec spec = Spec();
  v1::QualitySpec& quality = *spec.mutable_quantize()->mutable_quality();
  quality.set_report(true);
  quality.set_max_kld(0.05);
  quality.set_samples(16);
  EXPECT_EQ(ResumeCommand(spec),
            "llm-quantize quantize '/my models/a' gguf -q Q4_K_M -o /out -n a-Q4_K_M.gguf "
            "--checkpoint-dir /c --report --max-kld 0.05 --report-samples 16");
}

TEST(ResumeCommandTest, NamesTheCalibration) {
  v1::JobSpec spec = Spec();
  v1::QuantizeSpec& quantize = *spec.mutable_quantize();
  quantize.set_format("gptq");
  quantize.mutable_outputs(0)->set_level("4bit");
  quantize.mutable_outputs(0)->set_path("/out/a-gptq-4bit");
  v1::CalibrationSpec& calibration = *quantize.mutable_calibration();
  calibration.set_samples(64);
  calibration.set_sequence_length(512);
  v1::PackedOptions& packed = *quantize.mutable_packed();
  packed.set_group_size(0);
  const std::string common =
      "llm-quantize quantize '/my models/a' gptq -q 4bit -o /out -n a-gptq-4bit "
      "--checkpoint-dir /c";
  EXPECT_EQ(ResumeCommand(spec),
            common + " --calibration-samples 64 --sequence-length 512 --seed 0 --group-size auto");

  calibration.set_data_path("/my data/d.json");
  calibration.set_data_name("./d.json");
  calibration.set_seed(7);
  packed.set_group_size(-1);
  packed.set_awq_clip(true);
  packed.set_asymmetric(true);
  packed.set_column_order("static");
  packed.set_damping(0.05);
  calibration.set_all_tokens_to_experts(true);
  EXPECT_EQ(
      ResumeCommand(spec),
      common +
          " --calibration-data '/my data/d.json' --calibration-samples 64 "
          "--sequence-length 512 --seed 7 --all-experts --group-size -1 --awq-clip --asymmetric "
          "--act-order static --damping 0.05");
}

}  // namespace
}  // namespace quantized
