#include "core/pipeline/quantize_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/forward/activation_store.h"
#include "core/forward/hf_tensor_source.h"
#include "core/forward/model_comparison.h"
#include "core/forward/packed_tensor_source.h"
#include "core/pipeline/test_directory.h"
#include "core/pipeline/walk_snapshot.h"
#include "tests/support/recording_sink.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;
using ::testing::_;
using ::testing::AllOf;
using ::testing::Contains;
using testing::DirectoryModel;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::RecordingSink;
using ::testing::SizeIs;

using Files = std::map<std::string, std::string>;  // by path in the folder

// Nats, of 4 bits. A random model answers noise with noise: 0.2 is what these come to, and two that
// have nothing to do with each other are some nats apart.
constexpr double kNearKl = 0.4;

std::string Contents(const fs::path& path) { return *ReadFile(path, uint64_t{1} << 32); }

Files FilesOf(const fs::path& folder) {
  Files files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) {
      files[entry.path().lexically_relative(folder)] = Contents(entry.path());
    }
  }
  return files;
}

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

// The names of files that differ or are in one only.
std::vector<std::string> Differences(const Files& a, const Files& b) {
  std::vector<std::string> names;
  for (const auto& [name, contents] : a) {
    const auto other = b.find(name);
    if (other == b.end() || other->second != contents) names.push_back(name);
  }
  for (const auto& [name, contents] : b) {
    if (!a.contains(name)) names.push_back(name);
  }
  return names;
}

void FlipByte(const fs::path& path, uint64_t at) {
  File file = *File::OpenForWrite(path);
  std::byte byte;
  ASSERT_TRUE(file.ReadAt(at, std::span(&byte, 1)).ok());
  byte ^= std::byte{0x10};
  ASSERT_TRUE(file.WriteAt(at, std::span(&byte, 1)).ok());
}

absl::StatusOr<QuantizeResult> RunJob(const QuantizeRequest& request, RecordingSink& sink,
                                      size_t threads = 2, std::stop_token stop = {}) {
  ThreadPool pool(threads);
  JobContext context{std::move(stop), sink, pool};
  QuantizeOutcome outcome = QuantizeToDirectory(request, context);
  if (!outcome.status.ok()) return outcome.status;
  EXPECT_THAT(outcome.finished, SizeIs(1));
  return std::move(outcome.finished.front());
}
absl::StatusOr<QuantizeResult> RunJob(const QuantizeRequest& request, size_t threads = 2) {
  RecordingSink sink;
  return RunJob(request, sink, threads);
}

class QuantizeDirectoryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    WriteModel({});
    testing::WriteDocuments(text_, 60);
  }

  void WriteModel(const DirectoryModel& model) {
    fs::remove_all(model_);
    WriteDirectoryModel(model_, model);
  }

  QuantizeRequest Request(const std::string& format = "gptq",
                          const std::string& level = "4bit") const {
    QuantizeRequest request;
    request.model_path = model_;
    request.model_name = "./model";
    request.format = format;
    request.outputs = {{.level = level, .path = output_}};
    request.calibration = {.data = text_, .name = "text.txt", .samples = 8, .sequence_length = 32};
    request.calibrated.group_size = 32;
    request.checkpoint.directory = checkpoints_;
    return request;
  }

  // The model as a GGUF file.
  fs::path MakeGguf(const std::string& level) const {
    QuantizeRequest request = Request("gguf", level);
    request.calibration = {};
    request.outputs[0].path = dir_.path() / "model.gguf";
    request.checkpoint.enabled = false;
    ThreadPool pool(2);
    RecordingSink sink;
    JobContext context{{}, sink, pool};
    const absl::Status status = Quantize(request, context).status;
    EXPECT_TRUE(status.ok()) << status;
    return request.outputs[0].path;
  }

  // Of the source's weights, root mean square over all linears; every other tensor is the same.
  double WeightDistance() const {
    const Opened opened = Open();
    double off = 0, size = 0;
    for (const HfWeights::Tensor& tensor : opened.source->weights().tensors()) {
      const std::string name =
          tensor.info->name.substr(tensor.info->name.starts_with("model.") ? 6 : 0);
      const TensorSource::Tensor* want = opened.source->Find(name);
      const TensorSource::Tensor* got = opened.packed->Find(name);
      EXPECT_NE(got, nullptr) << name;
      if (got == nullptr) continue;
      EXPECT_EQ(got->shape, want->shape) << name;
      const std::vector<float> a = Values(*opened.source, *want), b = Values(*opened.packed, *got);
      const auto& modules = opened.packed->modules();
      const bool is_packed = std::ranges::any_of(modules, [&](const PackedModule& module) {
        return module.name + ".weight" == tensor.info->name;
      });
      if (!is_packed) {
        EXPECT_EQ(a, b) << name;
      }
      for (size_t i = 0; i < a.size() && is_packed; ++i) {
        off += std::pow(double{a[i]} - b[i], 2);
        size += std::pow(double{a[i]}, 2);
      }
    }
    return std::sqrt(off / size);
  }

  ModelComparison Comparison() const {
    const Opened opened = Open();
    std::vector<std::vector<uint32_t>> windows(4, std::vector<uint32_t>(32));
    uint32_t state = 1;
    for (auto& window : windows) {
      for (uint32_t& id : window) {
        id = (state = state * 1664525u + 1013904223u) / 65536 % testing::kDirectoryVocabulary;
      }
    }
    ThreadPool threads(2);
    RecordingSink sink;
    JobContext context{{}, sink, threads};
    const auto result = CompareModels(opened.config, *opened.hf_config, *opened.source,
                                      *opened.packed, windows, {}, context);
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() ? *result : ModelComparison();
  }

  void ExpectError(const absl::StatusOr<QuantizeResult>& result, Error error,
                   const ::testing::Matcher<std::string>& message) const {
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(ErrorOf(result.status()), error) << result.status();
    EXPECT_THAT(std::string(result.status().message()), message);
  }

  void ExpectNothingLeft() const {
    EXPECT_FALSE(fs::exists(output_));
    EXPECT_FALSE(fs::exists(part_));
    EXPECT_FALSE(fs::exists(output_.parent_path()));
    EXPECT_FALSE(fs::exists(checkpoints_));
  }

  // Stops the job when `layers` layers are done.
  void RunAndStop(const QuantizeRequest& request, uint64_t layers, size_t threads = 2) {
    RecordingSink sink;
    std::stop_source stop;
    sink.on_progress = [&](const RecordingSink::Progress& progress) {
      if (progress.done == layers) stop.request_stop();
    };
    ExpectError(RunJob(request, sink, threads, stop.get_token()), Error::kCancelled, _);
    EXPECT_FALSE(fs::exists(output_));
    EXPECT_TRUE(fs::exists(part_));
  }

  testing::TempDir dir_;
  const fs::path model_ = dir_.path() / "model";
  const fs::path text_ = dir_.path() / "text.txt";
  const fs::path output_ = dir_.path() / "out" / "model-gptq";
  const fs::path part_ = output_.string() + ".part";
  const fs::path checkpoints_ = dir_.path() / "checkpoints";

 private:
  struct Opened {
    std::unique_ptr<HfConfig> hf_config;
    ForwardConfig config;
    std::unique_ptr<HfTensorSource> source;
    std::unique_ptr<PackedTensorSource> packed;
  };
  Opened Open() const {
    Opened opened;
    opened.hf_config = std::make_unique<HfConfig>(*HfConfig::Read(model_));
    const Architecture& architecture = *FindArchitecture(opened.hf_config->architecture());
    opened.config = *ForwardConfigOf(architecture, *opened.hf_config);
    opened.source = *HfTensorSource::Open(model_, architecture);
    const auto scheme = PackedSchemeOf(*HfConfig::Read(output_));
    opened.packed = *PackedTensorSource::Open(output_, architecture, **scheme);
    return opened;
  }
  static std::vector<float> Values(const TensorSource& source, const TensorSource::Tensor& tensor) {
    const uint64_t rows = tensor.shape.size() == 1 ? 1 : tensor.shape[0];
    std::vector<float> values(rows * tensor.shape.back());
    EXPECT_TRUE(source.ReadRows(tensor, 0, rows, values.data()).ok());
    return values;
  }
};

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
      const double weights = WeightDistance(), kl = Comparison().kl_divergence;
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
    EXPECT_LT(WeightDistance(), 0.25);
    EXPECT_LT(Comparison().kl_divergence, kNearKl);
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
  EXPECT_LT(Comparison().kl_divergence, kNearKl);
  const auto config = nlohmann::json::parse(Contents(output_ / "config.json"));
  EXPECT_EQ(config["quantization_config"]["quant_method"], "awq");
  EXPECT_FALSE(fs::exists(output_ / "quantize_config.json"));
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
    EXPECT_LT(WeightDistance(), 0.25);  // compares the routers, too
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
  EXPECT_LT(Comparison().kl_divergence, kNearKl);
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

TEST_F(QuantizeDirectoryTest, DiskForASavedWalkIsAskedWhereOneIsSaved) {
  QuantizeRequest request = Request();
  const auto saved = ForecastToDirectory(request, 1);
  request.checkpoint.enabled = false;
  const auto not_saved = ForecastToDirectory(request, 1);
  ASSERT_TRUE(saved.ok() && not_saved.ok()) << saved.status() << not_saved.status();
  const uint64_t walk_bytes = 8 * 32 * saved->model.hidden_size * sizeof(float);
  EXPECT_EQ(saved->disk_needed_bytes, not_saved->disk_needed_bytes + 2 * walk_bytes);
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
  // Unit by unit: what is outside layers comes first, half the file.
  FlipByte(part_ / "model.safetensors", fs::file_size(part_ / "model.safetensors") * 9 / 16);
  ExpectDamage(HasSubstr("is not what the checkpoint says"));
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

TEST_F(QuantizeDirectoryTest, TooLittleCalibrationDataIsRefused) {
  std::ofstream(text_) << "A few words.\n";
  ExpectError(RunJob(Request()), Error::kInvalidArgument, HasSubstr("32"));
  ExpectNothingLeft();
  QuantizeRequest request = Request();
  request.calibration.data = dir_.path() / "nowhere.txt";
  ExpectError(RunJob(request), Error::kInvalidArgument, HasSubstr("nowhere.txt"));
  ExpectNothingLeft();
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
      ExpectError(RunJob(Request()), Error::kValidationFailed, HasSubstr("tensor " + bad));
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
