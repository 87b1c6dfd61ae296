#include "core/pipeline/quantize_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/thread_pool.h"
#include "core/forward/half_tensor_source.h"
#include "core/pipeline/calibrated_model.h"
#include "core/pipeline/directory_output.h"
#include "core/pipeline/directory_plan.h"
#include "core/pipeline/layer_output.h"
#include "core/pipeline/test_directory_distance.h"
#include "core/pipeline/test_quantize_directory.h"
#include "core/pipeline/walk_snapshot.h"
#include "core/source/hf_weights.h"
#include "tests/support/recording_sink.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::kNearKl;
using testing::PredictionDistance;
using testing::QuantizeDirectoryTest;
using testing::RecordingSink;
using ::testing::SizeIs;
using testing::WeightDistance;

// Names and bytes of the folder's tensors, in the order of names.
std::string SortedTensors(const fs::path& folder) {
  const auto weights = *HfWeights::Open(folder);
  std::map<std::string, std::string> tensors;
  for (const HfWeights::Tensor& tensor : weights->tensors()) {
    std::string& bytes = tensors[tensor.info->name];
    bytes.resize(tensor.info->size_bytes);
    EXPECT_TRUE(tensor.file->Read(*tensor.info, 0, std::as_writable_bytes(std::span(bytes))).ok());
  }
  std::string all;
  for (const auto& [name, bytes] : tensors) all += name + bytes;
  return all;
}

TEST_F(QuantizeDirectoryTest, EachBitWidthIsNearTheSource) {
  for (const bool symmetric : {true, false}) {
    double last_weights = 1, last_kl = 10;
    for (const int bits : {2, 3, 4, 8}) {
      SCOPED_TRACE(::testing::Message() << bits << " bits, symmetric " << symmetric);
      QuantizeRequest request = Request("gptq", std::to_string(bits) + "bit");
      request.calibrated.symmetric = symmetric;
      request.overwrite = true;
      const auto result = RunJob(request);
      ASSERT_TRUE(result.ok()) << result.status();
      const double weights = WeightDistance(model_, output_);
      const double kl = PredictionDistance(model_, output_);
      EXPECT_LT(weights, 0.8 * last_weights);
      EXPECT_LT(kl, 0.8 * last_kl);
      last_weights = weights;
      last_kl = kl;
      const auto config = nlohmann::json::parse(Contents(output_ / "config.json"));
      const nlohmann::json& quantization = config["quantization_config"];
      EXPECT_EQ(quantization["bits"], bits);
      EXPECT_EQ(quantization["sym"], symmetric);
      EXPECT_EQ(quantization["group_size"], 32);
      EXPECT_EQ(nlohmann::json::parse(Contents(output_ / "quantize_config.json")), quantization);
    }
    EXPECT_LT(last_weights, 0.01);
    EXPECT_LT(last_kl, 1e-3);
  }
}

// The model as a float16 GGUF file gives the same weights as its directory does.
TEST_F(QuantizeDirectoryTest, AGgufFileIsTheDirectoryThatItWasMadeOf) {
  const fs::path gguf = MakeGguf("F16");
  for (const char* format : {"gptq", "awq"}) {
    SCOPED_TRACE(format);
    QuantizeRequest request = Request(format);
    request.overwrite = true;
    ASSERT_TRUE(RunJob(request).ok());
    const std::string expected = SortedTensors(output_);
    request.model_path = gguf;
    const auto result = RunJob(request);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(SortedTensors(output_), expected);
    EXPECT_THAT(FilesOf(output_), AllOf(Contains(::testing::Key("tokenizer.json")),
                                        Contains(::testing::Key("generation_config.json"))));
  }
}

TEST_F(QuantizeDirectoryTest, AQuantizedGgufFileIsForConvert) {
  const fs::path gguf = MakeGguf("Q8_0");
  QuantizeRequest request = Request();
  request.model_path = gguf;
  ExpectError(RunJob(request), Error::kNotImplemented, HasSubstr("quantized already (Q8_0)"));
}

TEST_F(QuantizeDirectoryTest, EachColumnOrderIsNearTheSource) {
  struct Case {
    ColumnOrder order;
    bool desc_act, static_groups;
  };
  for (const Case& one : {Case{ColumnOrder::kNatural, false, false},
                          {ColumnOrder::kGroupAware, false, false},
                          {ColumnOrder::kStaticActivation, false, true},
                          {ColumnOrder::kActivation, true, false}}) {
    SCOPED_TRACE(static_cast<int>(one.order));
    QuantizeRequest request = Request();
    request.calibrated.order = one.order;
    request.overwrite = true;
    const auto result = RunJob(request);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_LT(WeightDistance(model_, output_), 0.25);
    EXPECT_LT(PredictionDistance(model_, output_), kNearKl);
    const auto config = nlohmann::json::parse(Contents(output_ / "config.json"));
    EXPECT_EQ(config["quantization_config"]["desc_act"], one.desc_act);
    EXPECT_EQ(config["quantization_config"]["static_groups"], one.static_groups);
  }
}

TEST_F(QuantizeDirectoryTest, AwqComputesNearlyTheSame) {
  WriteModel({.biases = true});
  const auto result = RunJob(Request("awq"));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->format, "awq");
  EXPECT_LT(PredictionDistance(model_, output_), kNearKl);
  const auto config = nlohmann::json::parse(Contents(output_ / "config.json"));
  EXPECT_EQ(config["quantization_config"]["quant_method"], "awq");
  EXPECT_FALSE(fs::exists(output_ / "quantize_config.json"));
}

TEST_F(QuantizeDirectoryTest, AwqAsPublishedIsAnotherJobThatComputesNearlyTheSame) {
  QuantizeRequest request = Request("awq");
  ASSERT_TRUE(RunJob(request).ok());
  const std::string gptq_codes = Contents(output_ / "model.safetensors");
  EXPECT_THAT(Contents(output_ / "README.md"), HasSubstr("| Codes | GPTQ |"));
  request.calibrated.awq_clip = true;
  request.overwrite = true;
  const auto result = RunJob(request);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_FALSE(result->already_done);
  EXPECT_GT(result->mean_module_error, 0);
  EXPECT_NE(Contents(output_ / "model.safetensors"), gptq_codes);
  EXPECT_THAT(Contents(output_ / "README.md"), HasSubstr("| Codes | nearest, in clipped ranges |"));
  EXPECT_LT(PredictionDistance(model_, output_), kNearKl);
}

TEST_F(QuantizeDirectoryTest, TheOutputIsWholeAndToldOf) {
  RecordingSink sink;
  const auto result = RunJob(Request(), sink);
  ASSERT_TRUE(result.ok()) << result.status();
  std::vector<std::string> names;
  for (const auto& [name, contents] : FilesOf(output_)) names.push_back(name);
  EXPECT_THAT(names, ElementsAre("README.md", "config.json", "generation_config.json",
                                 "llm-quantize.json", "model.safetensors", "quantize_config.json",
                                 "tokenizer.json", "tokenizer_config.json"));
  for (const char* file : {"generation_config.json", "tokenizer.json", "tokenizer_config.json"}) {
    EXPECT_EQ(Contents(output_ / file), Contents(model_ / file)) << file;
  }
  EXPECT_FALSE(fs::exists(part_));
  EXPECT_FALSE(fs::exists(checkpoints_));

  EXPECT_EQ(result->output_path, output_);
  EXPECT_EQ(result->level, "4bit");
  EXPECT_EQ(result->layers_processed, 3u);
  EXPECT_EQ(result->units_reused, 0u);
  EXPECT_EQ(result->group_size, 32);
  EXPECT_EQ(result->calibration.windows, 8u);
  EXPECT_EQ(result->calibration.sequence_length, 32u);
  EXPECT_EQ(result->file_size_bytes, fs::file_size(output_ / "model.safetensors"));
  EXPECT_GT(result->mean_module_error, 0);
  EXPECT_FALSE(result->already_done);

  const auto provenance = nlohmann::json::parse(Contents(output_ / "llm-quantize.json"));
  EXPECT_EQ(provenance["fingerprint"], result->fingerprint);
  EXPECT_EQ(provenance["modules"].size(), 21u);
  EXPECT_EQ(provenance["mean_module_error"], result->mean_module_error);
  EXPECT_THAT(sink.phases, ElementsAre(Phase::kProbe, Phase::kLoad, Phase::kQuantize,
                                       Phase::kValidate, Phase::kPublish));
  std::vector<uint64_t> done;
  for (const RecordingSink::Progress& progress : sink.progress) {
    EXPECT_EQ(progress.total, 3u);
    EXPECT_EQ(progress.unit, "layers");
    done.push_back(progress.done);
  }
  EXPECT_THAT(done, ElementsAre(0, 1, 2, 3));
}

TEST_F(QuantizeDirectoryTest, AMixturesRouterStays) {
  WriteModel({.layers = 2, .experts = 4});
  for (const bool all_tokens : {false, true}) {
    SCOPED_TRACE(all_tokens);
    QuantizeRequest request = Request();
    request.overwrite = true;
    request.calibration.all_tokens_to_experts = all_tokens;
    const auto result = RunJob(request);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_LT(WeightDistance(model_, output_), 0.25);  // compares the routers, too
    const auto provenance = nlohmann::json::parse(Contents(output_ / "llm-quantize.json"));
    uint64_t least = 256;
    for (const auto& module : provenance["modules"]) {
      least = std::min<uint64_t>(least, module["tokens"]);
    }
    EXPECT_EQ(least == 256, all_tokens);
  }
}

TEST_F(QuantizeDirectoryTest, ThreadsShowNowhere) {
  WriteModel({.biases = true});
  for (const char* format : {"gptq", "awq"}) {
    SCOPED_TRACE(format);
    Files want;
    for (const size_t threads : {1, 2, 5}) {
      const auto result = RunJob(Request(format), threads);
      ASSERT_TRUE(result.ok()) << result.status();
      const Files got = FilesOf(output_);
      if (threads == 1) want = got;
      EXPECT_THAT(Differences(got, want), IsEmpty());
      fs::remove_all(output_.parent_path());
    }
  }
}

TEST_F(QuantizeDirectoryTest, DiskForASavedWalkIsAskedWhereOneIsSaved) {
  QuantizeRequest request = Request();
  const auto saved = ForecastToDirectory(request, 1);
  request.checkpoint.enabled = false;
  const auto not_saved = ForecastToDirectory(request, 1);
  ASSERT_TRUE(saved.ok() && not_saved.ok()) << saved.status() << not_saved.status();
  const uint64_t walk_bytes =
      SavedWalkNeeds(checkpoints_ / "walk", 8 * 32, saved->model.hidden_size).BytesAt(dir_.path());
  EXPECT_GT(walk_bytes, 2 * 8 * 32 * saved->model.hidden_size * sizeof(float));
  EXPECT_EQ(saved->disk_needed_bytes, not_saved->disk_needed_bytes + walk_bytes);
  // Where the checkpoints lie, not where the output does.
  request.checkpoint = {.enabled = true, .directory = "/proc/checkpoints"};
  const auto elsewhere = ForecastToDirectory(request, 1);
  ASSERT_TRUE(elsewhere.ok()) << elsewhere.status();
  EXPECT_EQ(elsewhere->disk_needed_bytes, not_saved->disk_needed_bytes);
  EXPECT_THAT(elsewhere->warnings, Contains(HasSubstr("of disk in /proc")));
  // A job says so before any work.
  ExpectError(RunJob(request), Error::kDiskFull, HasSubstr("of disk in /proc"));
  EXPECT_FALSE(fs::exists(output_.parent_path()));
}

TEST_F(QuantizeDirectoryTest, DiskOfAllLevelsIsAddedUpAndOneWalkOfThem) {
  QuantizeRequest request = Request();
  const auto one = ForecastToDirectory(request, 1);
  request.outputs.push_back({.level = "8bit", .path = dir_.path() / "elsewhere" / "model-8"});
  const auto both = ForecastToDirectory(request, 1);
  ASSERT_TRUE(one.ok() && both.ok()) << one.status() << both.status();
  EXPECT_EQ(both->disk_needed_bytes, one->disk_needed_bytes + both->outputs[1].size_bytes);
}

// As scales could leave it that were moved into a norm.
TEST_F(QuantizeDirectoryTest, WhatFloat16CannotHoldIsNotWritten) {
  const QuantizeRequest request = Request("awq");
  const auto model = OpenCalibratedModel(model_);
  ASSERT_TRUE(model.ok()) << model.status();
  auto plan = MakeDirectoryPlan(model->config, model->hf_config, model->tensors, PackedMethod::kAwq,
                                "4bit", request.calibrated, output_);
  ASSERT_TRUE(plan.ok()) << plan.status();
  plan->fingerprint = "f";
  RecordingSink sink;
  ThreadPool threads(1);
  JobContext context{{}, sink, threads};
  DirectoryOutput output(request, *plan, context);
  ASSERT_TRUE(output.Start(request.checkpoint).ok());
  const HalfTensorSource half(*model->source);
  LayerOutput layers(output, *plan, *model->architecture, half, sink);
  const std::string norm = "model.layers.0.input_layernorm.weight";
  std::vector<float> values(model->config.geometry.hidden, 1);
  EXPECT_TRUE(layers.OnTensor(0, norm, values).ok());
  values.back() = 65520;
  const absl::Status status = layers.OnTensor(0, norm, values);
  EXPECT_EQ(ErrorOf(status), Error::kValidationFailed) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("tensor " + norm + ": found 65520"));
}

TEST_F(QuantizeDirectoryTest, AByteThatChangedBeforeValidationIsSeen) {
  RecordingSink sink;
  sink.on_phase = [&](Phase phase) {
    if (phase != Phase::kValidate) return;
    const fs::path weights = part_ / "model.safetensors";
    FlipByte(weights, fs::file_size(weights) - 100);
  };
  ExpectError(RunJob(Request(), sink), Error::kValidationFailed,
              AllOf(HasSubstr("layer 2"), HasSubstr("not what was written")));
  ExpectNothingLeft();
}

TEST_F(QuantizeDirectoryTest, TooLittleCalibrationDataIsRefused) {
  std::ofstream(text_) << "A few words.\n";
  ExpectError(RunJob(Request()), Error::kInvalidArgument, HasSubstr("32"));
  ExpectNothingLeft();
  QuantizeRequest request = Request();
  request.calibration.data = dir_.path() / "nowhere.txt";
  ExpectError(RunJob(request), Error::kInvalidArgument, HasSubstr("nowhere.txt"));
  ExpectNothingLeft();
}

TEST_F(QuantizeDirectoryTest, FewTokensForTheWidestLinearAreAWarning) {
  const auto warnings_of = [&](uint32_t samples) {
    QuantizeRequest request = Request();
    request.overwrite = true;
    request.calibration.samples = samples;
    RecordingSink sink;
    EXPECT_TRUE(RunJob(request, sink).ok());
    return sink.warnings;
  };
  // 8 times the 96 inputs of down_proj.
  EXPECT_THAT(warnings_of(23), Contains("calibration data text.txt: 736 tokens are few for linears "
                                        "of 96 inputs; better are 768 or more "
                                        "(--calibration-samples)"));
  EXPECT_THAT(warnings_of(24), IsEmpty());
}

TEST_F(QuantizeDirectoryTest, SamplesLongerThanTheModelsContextAreAWarning) {
  auto config = nlohmann::json::parse(Contents(model_ / "config.json"));
  config["max_position_embeddings"] = 31;
  std::ofstream(model_ / "config.json") << config;
  RecordingSink sink;
  ASSERT_TRUE(RunJob(Request(), sink).ok());
  EXPECT_THAT(sink.warnings, Contains(HasSubstr("samples of 32 tokens are longer than the 31")));
}

// Not to be known is not to be perfect.
TEST_F(QuantizeDirectoryTest, OneSampleOfFewTokensRoundsAndSaysSo) {
  QuantizeRequest request = Request();
  request.calibration.samples = 1;
  request.calibration.sequence_length = 16;
  RecordingSink sink;
  const auto result = RunJob(request, sink);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_FALSE(result->mean_module_error.has_value());
  EXPECT_EQ(result->notes.size(), 3u * 7);
  EXPECT_THAT(sink.warnings, Contains(HasSubstr("21 of 21 linears were rounded to nearest")));
  const auto provenance = nlohmann::json::parse(Contents(output_ / "llm-quantize.json"));
  EXPECT_TRUE(provenance["mean_module_error"].is_null());
  EXPECT_LT(WeightDistance(model_, output_), 0.3);
  const auto again = RunJob(request);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_TRUE(again->already_done);
  EXPECT_FALSE(again->mean_module_error.has_value());
}

// Weights of which each is sound, and activations beyond what float32 holds.
TEST_F(QuantizeDirectoryTest, ActivationsThatAreNotFiniteCostOnlyTheirLinears) {
  WriteModel({.alter = [](const std::string& name, std::span<float> values) {
    for (const char* of :
         {"layers.1.mlp.gate", "layers.1.mlp.up", "layers.1.post_attention_layernorm"}) {
      if (name.find(of) == std::string::npos) continue;
      for (float& value : values) value = value < 0 ? -60000 : 60000;
    }
  }});
  for (const char* format : {"gptq", "awq"}) {
    SCOPED_TRACE(format);
    QuantizeRequest request = Request(format);
    request.overwrite = true;
    RecordingSink sink;
    const auto result = RunJob(request, sink);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_TRUE(result->mean_module_error.has_value());
    EXPECT_THAT(result->notes, Contains(HasSubstr("model.layers.1.mlp.down_proj: ")));
    EXPECT_THAT(sink.warnings, Contains(HasSubstr("were rounded to nearest")));
    const auto provenance = nlohmann::json::parse(Contents(output_ / "llm-quantize.json"));
    for (const auto& module : provenance["modules"]) {
      if (module["module"] == "model.layers.0.mlp.down_proj") {
        EXPECT_FALSE(module["rounded"]);
      }
      if (module["module"] == "model.layers.1.mlp.down_proj") {
        EXPECT_TRUE(module["rounded"]);
        EXPECT_TRUE(module["relative_error"].is_null());
      }
    }
  }
}

TEST_F(QuantizeDirectoryTest, AValueThatIsNotFiniteIsRefusedByTensor) {
  for (const std::string bad :
       {"model.embed_tokens.weight", "model.layers.0.self_attn.k_proj.weight",
        "model.layers.1.mlp.down_proj.weight", "model.layers.1.self_attn.v_proj.bias",
        "model.layers.2.post_attention_layernorm.weight", "lm_head.weight"}) {
    for (const float value :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
      SCOPED_TRACE(::testing::Message() << bad << " " << value);
      WriteModel({.biases = true, .alter = [&](const std::string& name, std::span<float> values) {
                    if (name == bad) values[values.size() / 2] = value;
                  }});
      RecordingSink sink;
      ExpectError(RunJob(Request(), sink), Error::kValidationFailed, HasSubstr("tensor " + bad));
      EXPECT_THAT(sink.phases, ElementsAre(Phase::kProbe, Phase::kLoad));  // before any layer
      ExpectNothingLeft();
    }
  }
}

TEST_F(QuantizeDirectoryTest, WhatIsNoSuchModelIsRefused) {
  QuantizeRequest request = Request();
  request.model_path = text_;
  ExpectError(RunJob(request), Error::kModelNotFound, HasSubstr("text.txt"));

  ASSERT_TRUE(RunJob(Request()).ok());
  request.model_path = output_;
  request.outputs[0].path = dir_.path() / "again";
  ExpectError(RunJob(request), Error::kNotImplemented, HasSubstr("quantized already"));
  EXPECT_FALSE(fs::exists(dir_.path() / "again"));

  request = Request();
  request.outputs[0].path = dir_.path() / "other" / "model";
  request.calibrated.group_size = 128;
  ExpectError(RunJob(request), Error::kInvalidArgument, HasSubstr("group size 128"));
  EXPECT_FALSE(fs::exists(dir_.path() / "other"));
}

TEST_F(QuantizeDirectoryTest, OverwritingSparesWhatIsReadAndWhatIsNoModel) {
  const fs::path notes = dir_.path() / "folder" / "notes.txt";
  fs::create_directories(notes.parent_path());
  ASSERT_TRUE(WriteFileAtomically(notes, "precious").ok());
  const Files before = FilesOf(dir_.path());
  struct Case {
    fs::path output;
    std::string why;
  };
  for (const char* format : {"awq", "gptq"}) {
    for (const Case& one : {Case{model_, "would replace the model"},
                            {dir_.path(), "would replace a folder that holds the model"},
                            {text_, "would replace the calibration data"},
                            {notes, "is a file there"},
                            {notes.parent_path(), "is a folder there that is no model"}}) {
      QuantizeRequest request = Request(format);
      request.overwrite = true;
      request.outputs[0].path = one.output;
      ExpectError(RunJob(request), Error::kInvalidArgument,
                  HasSubstr("the output " + one.output.string() + " " + one.why));
      EXPECT_THAT(Differences(FilesOf(dir_.path()), before), IsEmpty());
    }
  }
}

TEST_F(QuantizeDirectoryTest, AFolderThatAppearsMeanwhileIsLookedAtToo) {
  QuantizeRequest request = Request();
  request.overwrite = true;
  RecordingSink sink;
  sink.on_phase = [&](Phase phase) {
    if (phase != Phase::kPublish) return;
    fs::create_directories(output_);
    ASSERT_TRUE(WriteFileAtomically(output_ / "notes.txt", "precious").ok());
  };
  ExpectError(RunJob(request, sink), Error::kInvalidArgument, HasSubstr("no model"));
  EXPECT_EQ(Contents(output_ / "notes.txt"), "precious");
  EXPECT_TRUE(fs::exists(part_)) << "is whole: the job given again has only to name it";
}

// JSON that others wrote may have any value where a text is looked for.
TEST_F(QuantizeDirectoryTest, MembersOfOtherTypesAreAsIfTheyWereNotThere) {
  fs::create_directories(output_);
  for (const char* fingerprint : {"5", "null", "[]"}) {
    SCOPED_TRACE(fingerprint);
    std::ofstream(output_ / "llm-quantize.json") << "{\"fingerprint\": " << fingerprint << "}";
    ExpectError(RunJob(Request()), Error::kInvalidArgument, HasSubstr("exists"));
  }
  fs::remove_all(output_);
  auto config = nlohmann::json::parse(Contents(model_ / "config.json"));
  config["model_type"] = nullptr;
  std::ofstream(model_ / "config.json") << config.dump();
  const auto result = RunJob(Request());
  EXPECT_TRUE(result.ok()) << result.status();
}

TEST_F(QuantizeDirectoryTest, LevelsOfAJobDoNotPullEachOtherDown) {
  QuantizeRequest request = Request();
  request.outputs.push_back({.level = "4-bit", .path = dir_.path() / "out" / "twice"});
  ExpectError(RunJob(request), Error::kInvalidArgument, HasSubstr("given twice"));
  request.outputs[1] = {.level = "8bit", .path = dir_.path() / "out" / "model-8"};
  RecordingSink sink;
  // The first level is damaged before it is validated, once.
  bool damaged = false;
  sink.on_phase = [&](Phase phase) {
    if (phase != Phase::kValidate || std::exchange(damaged, true)) return;
    FlipByte(part_ / "model.safetensors", fs::file_size(part_ / "model.safetensors") - 1);
  };
  ThreadPool threads(2);
  JobContext context{{}, sink, threads};
  QuantizeOutcome outcome = QuantizeToDirectory(request, context);
  EXPECT_EQ(ErrorOf(outcome.status), Error::kValidationFailed) << outcome.status;
  ASSERT_THAT(outcome.finished, SizeIs(1));
  EXPECT_EQ(outcome.finished[0].level, "8bit");
  EXPECT_TRUE(fs::exists(dir_.path() / "out" / "model-8" / "model.safetensors"));
  EXPECT_FALSE(fs::exists(output_));
}

}  // namespace
}  // namespace quantized
