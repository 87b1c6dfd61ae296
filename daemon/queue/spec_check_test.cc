#include "daemon/queue/spec_check.h"

#include <cmath>
#include <functional>

#include "core/base/error.h"
#include "daemon/queue/queue_test.h"

namespace quantized {
namespace {

using ::testing::ElementsAre;
using ::testing::StartsWith;
using Spec = v1::QuantizeSpec;

TEST(CheckSubmit, AcceptsWhatIsWhole) {
  EXPECT_TRUE(CheckSubmit(testing::NoopRequest()).ok());
  v1::SubmitJobRequest request = testing::QuantizeRequest();
  EXPECT_TRUE(CheckSubmit(request).ok());
  v1::CheckpointPolicy& policy = *request.mutable_spec()->mutable_quantize()->mutable_checkpoint();
  policy.set_enabled(true);
  policy.set_directory("/checkpoints");
  policy.set_resume_from("/checkpoints/abc");
  EXPECT_TRUE(CheckSubmit(request).ok());
  EXPECT_THAT(AcceptedFormats(), ElementsAre("gguf", "awq", "gptq"));
}

Spec HubSpec() {
  Spec spec = testing::QuantizeRequest().spec().quantize();
  spec.clear_model_path();
  v1::HubModel& hub = *spec.mutable_hub();
  hub.set_repository("org/name");
  hub.set_revision("main");
  hub.set_commit("0123456789abcdef0123456789abcdef01234567");
  hub.set_endpoint("https://hub");
  hub.set_cache_dir("/cache");
  return spec;
}

absl::Status CheckSpec(const Spec& spec, const std::string& token = "") {
  v1::SubmitJobRequest request = testing::QuantizeRequest();
  *request.mutable_spec()->mutable_quantize() = spec;
  request.set_hub_token(token);
  return CheckSubmit(request);
}

TEST(CheckSubmit, TakesAModelOfTheHubInPlaceOfAPath) {
  EXPECT_TRUE(CheckSpec(HubSpec(), "hf_token").ok());
  Spec whole = HubSpec();
  whole.mutable_hub()->set_shared_cache_dir("/theirs");
  whole.mutable_hub()->set_certificates("/ca.pem");
  EXPECT_TRUE(CheckSpec(whole).ok());
  const std::pair<const char*, std::function<void(Spec&)>> wrong[] = {
      {"model_path: cannot", [](Spec& spec) { spec.set_model_path("/model"); }},
      {"hub.repository: is empty", [](Spec& spec) { spec.mutable_hub()->clear_repository(); }},
      {"hub.commit: found 'main'", [](Spec& spec) { spec.mutable_hub()->set_commit("main"); }},
      {"hub.endpoint: is empty", [](Spec& spec) { spec.mutable_hub()->clear_endpoint(); }},
      {"hub.cache_dir: found ''", [](Spec& spec) { spec.mutable_hub()->clear_cache_dir(); }},
      {"hub.certificates: found 'ca'",
       [](Spec& spec) { spec.mutable_hub()->set_certificates("ca"); }},
  };
  for (const auto& [message, damage] : wrong) {
    Spec spec = HubSpec();
    damage(spec);
    EXPECT_THAT(std::string(CheckSpec(spec).message()), StartsWith(message));
  }
  EXPECT_THAT(std::string(CheckSpec(HubSpec(), std::string(5000, 'x')).message()),
              StartsWith("hub_token: found 5000 bytes"));
}

v1::OutputSpec& AddOutput(Spec& spec, const std::string& level) {
  v1::OutputSpec& output = *spec.add_outputs();
  output.set_level(level);
  output.set_path("/out/" + level);
  return output;
}

TEST(CheckSubmit, AcceptsSeveralOutputsAndAllOptions) {
  v1::SubmitJobRequest request = testing::QuantizeRequest();
  Spec& spec = *request.mutable_spec()->mutable_quantize();
  AddOutput(spec, "Q8_0");
  v1::GgufOptions& gguf = *spec.mutable_gguf();
  gguf.add_imatrix_paths("/imatrix.gguf");
  gguf.add_imatrix_names("imatrix.gguf");
  gguf.set_imatrix_out_path("/out.gguf");
  gguf.set_imatrix_out_name("out.gguf");
  gguf.add_include_weights("attn_q");
  gguf.add_tensor_types("ffn_down=q6_k");
  gguf.add_prune_layers(3);
  gguf.add_override_kv("general.name=str:model");
  gguf.set_split_max_bytes(2'000'000'000);
  spec.set_strict(true);
  spec.set_cuda_visible_devices("");
  for (const char* device : {"", "auto", "cpu", "cuda", "cuda:0", "cuda:13"}) {
    spec.set_device(device);
    EXPECT_TRUE(CheckSubmit(request).ok()) << device;
  }
}

// What the client sends of a calibrated job.
void MakeCalibrated(Spec& spec, const std::string& format) {
  spec.set_format(format);
  spec.clear_gguf();
  spec.mutable_outputs(0)->set_level("4bit");
  spec.mutable_calibration()->set_samples(256);
  spec.mutable_calibration()->set_sequence_length(512);
  spec.mutable_packed()->set_group_size(128);
}

TEST(CheckSubmit, AcceptsCalibratedFormatsWithAllOptions) {
  for (const char* format : {"awq", "gptq"}) {
    SCOPED_TRACE(format);
    v1::SubmitJobRequest request = testing::QuantizeRequest();
    Spec& spec = *request.mutable_spec()->mutable_quantize();
    MakeCalibrated(spec, format);
    EXPECT_TRUE(CheckSubmit(request).ok()) << CheckSubmit(request);
    spec.mutable_calibration()->set_data_path("/data.json");
    spec.mutable_calibration()->set_data_name("./data.json");
    spec.mutable_calibration()->set_samples(1 << 20);
    spec.mutable_calibration()->set_sequence_length(1);
    spec.mutable_calibration()->set_seed(~uint64_t{0});
    spec.mutable_packed()->set_asymmetric(true);
    spec.mutable_packed()->set_damping(0.99);
    spec.mutable_calibration()->set_all_tokens_to_experts(true);
    for (const int64_t group_size : {-1, 0, 32, 1 << 20}) {
      spec.mutable_packed()->set_group_size(group_size);
      EXPECT_TRUE(CheckSubmit(request).ok()) << group_size;
    }
    for (const char* order : {"", "none", "group", "static", "full"}) {
      spec.mutable_packed()->set_column_order(order);
      EXPECT_TRUE(CheckSubmit(request).ok()) << order;
    }
  }
}

struct BadRow {
  const char* message;  // how it begins
  Error error;
  std::function<void(Spec&)> spoil;
};

TEST(CheckSubmit, NamesTheFieldThatIsWrong) {
  const Error invalid = Error::kInvalidArgument;
  const BadRow kRows[] = {
      {"format: found 'onnx', needed gguf", invalid, [](Spec& s) { s.set_format("onnx"); }},
      {"model_path: found 'model'", invalid, [](Spec& s) { s.set_model_path("model"); }},
      {"model_path: contains a zero byte", invalid,
       [](Spec& s) { s.set_model_path(std::string("/a\0b", 4)); }},
      {"model_path: found 4097 bytes", invalid,
       [](Spec& s) { s.set_model_path("/" + std::string(4096, 'x')); }},
      {"outputs: found 0", invalid, [](Spec& s) { s.clear_outputs(); }},
      {"outputs: found 65, needed 1 to 64", invalid,
       [](Spec& s) {
         for (int i = 0; i < 64; ++i) AddOutput(s, "L" + std::to_string(i));
       }},
      {"outputs.path: found ''", invalid, [](Spec& s) { s.mutable_outputs(0)->clear_path(); }},
      {"outputs.path: found '/out/', needed the name", invalid,
       [](Spec& s) { s.mutable_outputs(0)->set_path("/out/"); }},
      {"outputs.path: found '/out//a/../b', needed '/out/b'", invalid,
       [](Spec& s) { s.mutable_outputs(0)->set_path("/out//a/../b"); }},
      {"outputs.path: found '/out/model.gguf' twice", invalid,
       [](Spec& s) { AddOutput(s, "Q8_0").set_path("/out/model.gguf"); }},
      {"outputs.level: the level is empty", invalid,
       [](Spec& s) { s.mutable_outputs(0)->clear_level(); }},
      {"outputs.level: found 'q4_k_m' twice", invalid, [](Spec& s) { AddOutput(s, "q4_k_m"); }},
      {"outputs.level: contains a zero byte", invalid,
       [](Spec& s) { s.mutable_outputs(0)->set_level(std::string("Q\0", 2)); }},
      {"gguf.imatrix_paths: found 'i.gguf', needed an absolute", invalid,
       [](Spec& s) { s.mutable_gguf()->add_imatrix_paths("i.gguf"); }},
      {"gguf.imatrix_names: found 4097 bytes", invalid,
       [](Spec& s) { s.mutable_gguf()->add_imatrix_names(std::string(4097, 'x')); }},
      {"gguf.imatrix_out_path: found 'i.gguf', needed an absolute", invalid,
       [](Spec& s) { s.mutable_gguf()->set_imatrix_out_path("i.gguf"); }},
      {"gguf.measure_importance: cannot be used with imatrix_paths", invalid,
       [](Spec& s) {
         s.mutable_gguf()->add_imatrix_paths("/i.gguf");
         s.mutable_gguf()->set_measure_importance(true);
       }},
      {"quality.samples: found 0, needed 1 to 1048576", invalid,
       [](Spec& s) { s.mutable_quality(); }},
      {"quality.max_kld: found -1, needed 0 or more", invalid,
       [](Spec& s) {
         s.mutable_quality()->set_samples(1);
         s.mutable_quality()->set_max_kld(-1);
       }},
      {"calibration.samples: found 0, needed 1 to 1048576", invalid,
       [](Spec& s) { s.mutable_calibration(); }},
      {"gguf.include_weights: one of them is empty", invalid,
       [](Spec& s) { s.mutable_gguf()->add_include_weights(""); }},
      {"gguf.exclude_weights: cannot be used with include_weights", invalid,
       [](Spec& s) {
         s.mutable_gguf()->add_include_weights("a");
         s.mutable_gguf()->add_exclude_weights("b");
       }},
      {"gguf.tensor_types: found 16385, at most 16384", invalid,
       [](Spec& s) {
         for (int i = 0; i < 16385; ++i) s.mutable_gguf()->add_tensor_types("a=f16");
       }},
      {"gguf.output_tensor_type: contains a zero byte", invalid,
       [](Spec& s) { s.mutable_gguf()->set_output_tensor_type(std::string(1, '\0')); }},
      {"gguf.token_embedding_type: contains a zero byte", invalid,
       [](Spec& s) { s.mutable_gguf()->set_token_embedding_type(std::string(1, '\0')); }},
      {"gguf.override_kv: one of them is empty", invalid,
       [](Spec& s) { s.mutable_gguf()->add_override_kv(""); }},
      {"gguf.prune_layers: found 16385", invalid,
       [](Spec& s) { s.mutable_gguf()->mutable_prune_layers()->Resize(16385, 1); }},
      {"gguf.split_max_bytes: cannot be used with keep_split", invalid,
       [](Spec& s) {
         s.mutable_gguf()->set_keep_split(true);
         s.mutable_gguf()->set_split_max_bytes(1);
       }},
      {"device: found 'gpu', needed auto", invalid, [](Spec& s) { s.set_device("gpu"); }},
      {"device: found 'cuda:', needed auto", invalid, [](Spec& s) { s.set_device("cuda:"); }},
      {"device: found 'cuda:x', needed auto", invalid, [](Spec& s) { s.set_device("cuda:x"); }},
      {"device: found 'cuda:12345', needed auto", invalid,
       [](Spec& s) { s.set_device("cuda:12345"); }},
      {"cuda_visible_devices: found 4097 bytes", invalid,
       [](Spec& s) { s.set_cuda_visible_devices(std::string(4097, '0')); }},
      {"threads: found 5000", invalid, [](Spec& s) { s.set_threads(5000); }},
      {"checkpoint.directory: found ''", invalid,
       [](Spec& s) { s.mutable_checkpoint()->set_enabled(true); }},
      {"checkpoint.resume_from: needs checkpoints", invalid,
       [](Spec& s) { s.mutable_checkpoint()->set_resume_from("/c"); }},
      {"spec: found ", invalid, [](Spec& s) { s.set_pre_tokenizer(std::string(600'000, 'x')); }},
  };
  for (const BadRow& row : kRows) {
    SCOPED_TRACE(row.message);
    v1::SubmitJobRequest request = testing::QuantizeRequest();
    row.spoil(*request.mutable_spec()->mutable_quantize());
    const absl::Status status = CheckSubmit(request);
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(ErrorOf(status), row.error);
    EXPECT_THAT(std::string(status.message()), StartsWith(row.message));
  }
}

TEST(CheckSubmit, NamesTheFieldOfACalibrationThatIsWrong) {
  const Error invalid = Error::kInvalidArgument;
  const BadRow kRows[] = {
      {"calibration.data_path: found 'd.json', needed an absolute", invalid,
       [](Spec& s) { s.mutable_calibration()->set_data_path("d.json"); }},
      {"calibration.data_name: found 4097 bytes", invalid,
       [](Spec& s) { s.mutable_calibration()->set_data_name(std::string(4097, 'x')); }},
      {"quality.samples: found 0, needed 1 to 1048576", invalid,
       [](Spec& s) { s.mutable_quality(); }},
      {"quality.max_kld: found -1, needed 0 or more", invalid,
       [](Spec& s) {
         s.mutable_quality()->set_samples(1);
         s.mutable_quality()->set_max_kld(-1);
       }},
      {"calibration.samples: found 0, needed 1 to 1048576", invalid,
       [](Spec& s) { s.mutable_calibration()->set_samples(0); }},
      {"calibration.samples: found 1048577, needed", invalid,
       [](Spec& s) { s.mutable_calibration()->set_samples((1 << 20) + 1); }},
      {"calibration.samples: found 0", invalid, [](Spec& s) { s.clear_calibration(); }},
      {"calibration.sequence_length: found 0, needed 1 to 1048576", invalid,
       [](Spec& s) { s.mutable_calibration()->set_sequence_length(0); }},
      {"calibration.sequence_length: found 4294967295", invalid,
       [](Spec& s) { s.mutable_calibration()->set_sequence_length(~uint32_t{0}); }},
      {"packed.group_size: found -2, needed -1 to 1048576", invalid,
       [](Spec& s) { s.mutable_packed()->set_group_size(-2); }},
      {"packed.group_size: found 1048577", invalid,
       [](Spec& s) { s.mutable_packed()->set_group_size((1 << 20) + 1); }},
      {"packed.column_order: found 'desc', needed none, group, static or full", invalid,
       [](Spec& s) { s.mutable_packed()->set_column_order("desc"); }},
      {"packed.damping: found -0.5, needed 0 to below 1", invalid,
       [](Spec& s) { s.mutable_packed()->set_damping(-0.5); }},
      {"packed.damping: found 1, needed", invalid,
       [](Spec& s) { s.mutable_packed()->set_damping(1); }},
      {"packed.damping: found nan, needed", invalid,
       [](Spec& s) { s.mutable_packed()->set_damping(std::nan("")); }},
  };
  for (const BadRow& row : kRows) {
    for (const char* format : {"awq", "gptq"}) {
      SCOPED_TRACE(std::string(format) + " " + row.message);
      v1::SubmitJobRequest request = testing::QuantizeRequest();
      Spec& spec = *request.mutable_spec()->mutable_quantize();
      MakeCalibrated(spec, format);
      row.spoil(spec);
      const absl::Status status = CheckSubmit(request);
      ASSERT_FALSE(status.ok());
      EXPECT_EQ(ErrorOf(status), row.error);
      EXPECT_THAT(std::string(status.message()), StartsWith(row.message));
    }
  }
}

TEST(CheckSubmit, NeedsARequestIdAndAnOperation) {
  v1::SubmitJobRequest request = testing::NoopRequest();
  request.set_request_id("7");
  EXPECT_THAT(std::string(CheckSubmit(request).message()), StartsWith("request_id: found '7'"));
  request = testing::NoopRequest();
  request.clear_spec();
  EXPECT_THAT(std::string(CheckSubmit(request).message()), StartsWith("spec.operation"));
}

}  // namespace
}  // namespace quantized
