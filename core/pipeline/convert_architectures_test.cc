// A model of each architecture as a GGUF file, converted to AWQ and GPTQ directories: every tensor
// is there again under the name, in the order of rows and with the values of the original.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "core/arch/architecture.h"
#include "core/base/thread_pool.h"
#include "core/hf/config.h"
#include "core/pipeline/convert.h"
#include "core/pipeline/gguf_model.h"
#include "core/pipeline/test_architecture.h"
#include "core/pipeline/test_convert.h"
#include "core/source/hf_weights.h"
#include "core/source/packed_weights.h"
#include "core/source/widen.h"
#include "kernels/types/half.h"
#include "tests/support/recording_sink.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;
using testing::ConvertTest;
using testing::RecordingSink;

struct Tensor {
  std::vector<uint64_t> shape;
  std::vector<float> values;
};
using Tensors = std::map<std::string, Tensor>;

double RelativeError(const std::vector<float>& found, const std::vector<float>& wanted) {
  double error = 0, norm = 0;
  for (size_t i = 0; i < wanted.size(); ++i) {
    error += std::pow(double{found[i]} - wanted[i], 2);
    norm += std::pow(double{wanted[i]}, 2);
  }
  return error / norm;
}

class ConvertArchitectures : public ConvertTest,
                             public ::testing::WithParamInterface<const Architecture*> {
 protected:
  void WriteModel(const Architecture& architecture) {
    testing::WriteArchitectureModel(
        architecture, model_,
        [this](const std::string& name, std::span<const uint64_t> shape, std::span<float> values) {
          for (float& value : values) value = kernels::F16ToF32(kernels::F32ToF16(value));
          originals_[name] = {{shape.begin(), shape.end()}, {values.begin(), values.end()}};
        });
  }

  void WriteGguf(const std::string& level) {
    QuantizeRequest request = Request("gguf", level);
    request.conversion = {};
    request.gguf.pure = true;
    ThreadPool pool(2);
    RecordingSink sink;
    JobContext context{{}, sink, pool};
    const absl::Status status = Quantize(request, context).status;
    ASSERT_TRUE(status.ok()) << status;
  }

  // What is in folder_, linears as floats; their names go to `packed`.
  static void Read(const fs::path& folder, Tensors& tensors, std::set<std::string>& packed) {
    const auto scheme = *PackedSchemeOf(*HfConfig::Read(folder));
    ASSERT_TRUE(scheme.has_value());
    const auto weights = *HfWeights::Open(folder);
    const auto opened = *PackedWeights::Open(*weights, *scheme);
    for (const PackedModule& module : opened->modules()) packed.insert(module.name + ".weight");
    const auto read = opened->Tensors(kernels::TypeId::kF32);
    ASSERT_TRUE(read.ok()) << read.status();
    for (const CheckpointTensor& from : *read) {
      Tensor& to = tensors[from.name];
      to.shape = from.shape;
      uint64_t count = 1;
      for (const uint64_t dim : from.shape) count *= dim;
      std::vector<std::byte> bytes(count * RowOf(from.dtype).size_bytes);
      ASSERT_TRUE(from.read(0, bytes).ok()) << from.name;
      to.values.resize(count);
      WidenToF32(from.dtype, bytes.data(), count, to.values.data());
    }
  }

  // Whether AWQ and GPTQ quantize it: a matrix in a layer other than the router's.
  static bool IsLinear(const std::string& name, const Tensor& tensor) {
    return name.find("layers.") != std::string::npos && tensor.shape.size() == 2 &&
           !name.ends_with(".gate.weight");
  }

  // Norms plus one are rounded to the float16 that they had without.
  static bool AddsOne(const Architecture& architecture) {
    return std::ranges::any_of(architecture.tensors, [](const TensorRule& rule) {
      return rule.transform == Transform::kAddOne;
    });
  }

  Tensors originals_;
};

TEST_P(ConvertArchitectures, TheDirectoryHasTheWeightsOfTheOriginal) {
  ASSERT_NO_FATAL_FAILURE(WriteModel(*GetParam()));
  ASSERT_NO_FATAL_FAILURE(WriteGguf("Q8_0"));
  struct Case {
    const char* format;
    double largest_error;  // of linears
  };
  for (const auto& [format, largest_error] : {Case{"gptq", 1e-4}, {"awq", 0.02}}) {
    SCOPED_TRACE(format);
    QuantizeRequest request = Request(format);
    request.model_path = gguf_;
    request.conversion.may_requantize = true;
    const auto result = Run(request);
    ASSERT_TRUE(result.ok()) << result.status();
    Tensors found;
    std::set<std::string> packed;
    ASSERT_NO_FATAL_FAILURE(Read(folder_, found, packed));
    EXPECT_EQ(found.size(), originals_.size());
    for (const auto& [name, original] : originals_) {
      SCOPED_TRACE(name);
      ASSERT_TRUE(found.contains(name));
      ASSERT_EQ(found[name].shape, original.shape);
      const bool is_linear = IsLinear(name, original);
      EXPECT_EQ(packed.contains(name), is_linear);
      const double error = RelativeError(found[name].values, original.values);
      if (original.shape.size() == 1) {
        EXPECT_LE(error, AddsOne(*GetParam()) ? 1e-5 : 0);
      } else {
        EXPECT_LT(error, is_linear ? largest_error : 1e-4);
      }
    }
  }
}

// What a directory is made of that is quantized from such a file.
TEST_P(ConvertArchitectures, AFloat16FileHasTheTensorsOfTheOriginal) {
  ASSERT_NO_FATAL_FAILURE(WriteModel(*GetParam()));
  ASSERT_NO_FATAL_FAILURE(WriteGguf("F16"));
  const auto model = OpenGgufModel(gguf_);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->tensors->tensors().size(), originals_.size());
  for (const TensorSource::Tensor* tensor : model->tensors->tensors()) {
    SCOPED_TRACE(tensor->name);
    ASSERT_TRUE(originals_.contains(tensor->name));
    Tensor expected = originals_[tensor->name];
    ASSERT_EQ(tensor->shape, expected.shape);
    const bool is_vector = tensor->shape.size() == 1;
    if (is_vector && AddsOne(*GetParam())) {
      for (float& value : expected.values) {
        value = kernels::F16ToF32(kernels::F32ToF16(1 + value)) - 1;
      }
    }
    std::vector<float> found(expected.values.size());
    const uint64_t rows = is_vector ? 1 : tensor->shape[0];
    ASSERT_TRUE(model->tensors->ReadRows(*tensor, 0, rows, found.data()).ok());
    EXPECT_EQ(found, expected.values);
  }
}

INSTANTIATE_TEST_SUITE_P(All, ConvertArchitectures, ::testing::ValuesIn(AllArchitectures()),
                         [](const auto& param) { return std::string(param.param->model_type); });

}  // namespace
}  // namespace quantized
