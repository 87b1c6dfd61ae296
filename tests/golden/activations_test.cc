// The forward engine against what transformers computes: hidden states after each layer, and
// logits. Data: tests/golden/data/activations, one tiny model for each family; with the large set
// (LargeGoldenDir) the models of golden/hf2gguf, too. A tolerance of 1e-3 of a row's largest value
// is what a right engine meets in f32; a wrong mask, norm or rotation misses it by far.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "core/arch/architecture.h"
#include "core/forward/forward_config.h"
#include "core/forward/hf_tensor_source.h"
#include "core/forward/layer_walk.h"
#include "core/forward/output_head.h"
#include "core/hf/config.h"
#include "core/safetensors/reader.h"
#include "tests/support/paths.h"
#include "tests/support/recording_sink.h"

namespace quantized::testing {
namespace {

namespace fs = std::filesystem;

constexpr double kTolerance = 1e-3;

struct Case {
  std::string name;
  fs::path model, activations;
};

void PrintTo(const Case& golden, std::ostream* out) { *out << golden.name; }

std::vector<Case> CasesIn(const fs::path& models, const fs::path& activations) {
  std::vector<Case> cases;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(activations, ignored)) {
    const std::string name = entry.path().stem();
    if (entry.path().extension() != ".safetensors" || !fs::exists(models / name)) continue;
    const auto config = HfConfig::Read(models / name);
    // The large set has families that this version does not know.
    if (!config.ok() || FindArchitecture(config->architecture()) == nullptr) continue;
    cases.push_back({name, models / name, entry.path()});
  }
  std::ranges::sort(cases, {}, &Case::name);
  return cases;
}

std::vector<Case> AllCases() {
  const fs::path data = SourceDir() / "tests/golden/data/activations";
  std::vector<Case> cases = CasesIn(data / "models", data);
  if (const auto large = LargeGoldenDir()) {
    for (Case& one : CasesIn(*large / "hf2gguf/models", *large / "activations")) {
      cases.push_back(std::move(one));
    }
  }
  return cases;
}

template <class T>
std::vector<T> ReadTensor(const safetensors::SafetensorsReader& file, std::string_view name) {
  const safetensors::TensorInfo* info = file.Find(name);
  if (info == nullptr) return {};
  std::vector<T> values(info->size_bytes / sizeof(T));
  EXPECT_TRUE(file.Read(*info, 0, std::as_writable_bytes(std::span(values))).ok());
  return values;
}

// The largest distance, each relative to the largest magnitude of its row.
double Distance(const std::vector<float>& got, const std::vector<float>& want, size_t width) {
  double worst = got.size() == want.size() && !want.empty() ? 0 : INFINITY;
  for (size_t row = 0; row < want.size() / width && std::isfinite(worst); ++row) {
    double top = 0, off = 0;
    for (size_t i = row * width; i < (row + 1) * width; ++i) {
      top = std::max<double>(top, std::fabs(want[i]));
      off = std::max<double>(off, std::fabs(static_cast<double>(got[i]) - want[i]));
    }
    worst = std::max(worst, off / top);
  }
  return worst;
}

class ActivationsTest : public ::testing::TestWithParam<Case> {};

TEST_P(ActivationsTest, EachLayerIsWhatTransformersComputes) {
  const auto golden = safetensors::SafetensorsReader::Open(GetParam().activations);
  ASSERT_TRUE(golden.ok()) << golden.status();
  const auto hf_config = HfConfig::Read(GetParam().model);
  ASSERT_TRUE(hf_config.ok()) << hf_config.status();
  const Architecture& architecture = *FindArchitecture(hf_config->architecture());
  const auto config = ForwardConfigOf(architecture, *hf_config);
  ASSERT_TRUE(config.ok()) << config.status();
  const auto source = HfTensorSource::Open(GetParam().model, architecture);
  ASSERT_TRUE(source.ok()) << source.status();

  const std::vector<int64_t> ids = ReadTensor<int64_t>(**golden, "input_ids");
  const std::vector<std::vector<uint32_t>> windows = {{ids.begin(), ids.end()}};
  RecordingSink sink;
  ThreadPool threads(2);
  JobContext context{{}, sink, threads};
  auto walk = LayerWalk::Start(*config, *hf_config, **source, windows, {}, context);
  ASSERT_TRUE(walk.ok()) << walk.status();
  const size_t hidden = config->geometry.hidden;
  std::vector<float> x(ids.size() * hidden);
  const auto expect_hidden = [&](uint32_t layer) {
    ASSERT_TRUE((*walk)->hidden().Read(0, ids.size(), x.data()).ok());
    EXPECT_LT(Distance(x, ReadTensor<float>(**golden, "hidden." + std::to_string(layer)), hidden),
              kTolerance)
        << "hidden." << layer;
  };
  expect_hidden(0);
  LayerVisitor nobody;
  for (uint32_t layer = 0; layer < config->geometry.layers; ++layer) {
    const absl::Status status = (*walk)->RunLayer(layer, **source, nobody);
    ASSERT_TRUE(status.ok()) << status;
    expect_hidden(layer + 1);
  }

  const auto head = OutputHead::Open(*config, **source);
  ASSERT_TRUE(head.ok()) << head.status();
  const std::vector<float> want = ReadTensor<float>(**golden, "logits");
  const size_t rows = want.size() / head->vocabulary();
  ASSERT_GT(rows, 0u);
  const auto logits = head->Logits(rows, x.data() + (ids.size() - rows) * hidden, threads);
  ASSERT_TRUE(logits.ok()) << logits.status();
  EXPECT_LT(Distance(logits->values, want, head->vocabulary()), kTolerance) << "logits";
}

INSTANTIATE_TEST_SUITE_P(Golden, ActivationsTest, ::testing::ValuesIn(AllCases()),
                         [](const auto& param) {
                           std::string name = param.param.name;
                           std::ranges::replace_if(
                               name,
                               [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); },
                               '_');
                           return name + std::to_string(param.index);
                         });

}  // namespace
}  // namespace quantized::testing
