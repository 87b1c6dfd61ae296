// For tests: quantized models converted in a folder of their own, and what a model's weights stand
// for, whatever its format. The tests of several .cc files are of this one fixture.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <span>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/job_context.h"
#include "core/base/thread_pool.h"
#include "core/packed/checkpoint_config.h"
#include "core/pipeline/convert.h"
#include "core/pipeline/quantize.h"
#include "core/pipeline/test_directory.h"
#include "core/pipeline/test_packed_directory.h"
#include "core/source/hf_weights.h"
#include "core/source/model_source.h"
#include "core/tensor/dtype.h"
#include "kernels/codecs/codec.h"
#include "kernels/types/quant_type.h"
#include "tests/support/paths.h"
#include "tests/support/recording_sink.h"
#include "tests/support/safetensors_file.h"

namespace quantized::testing {

class ConvertTest : public ::testing::Test {
 protected:
  // Every tensor as floats, by name.
  using Values = std::map<std::string, std::vector<float>>;

  void Write(const PackedChoices& choices, const DirectoryModel& model = {}) {
    std::filesystem::remove_all(model_);
    WriteDirectoryModel(model_, model);
    PackDirectory(model_, choices);
  }

  // A tensor as a file of weights has it.
  struct Stored {
    std::string dtype;
    std::vector<uint64_t> shape;
    std::string bytes;
  };
  // Writes the weights of model_ again, as `change` leaves them.
  void Rewrite(const std::function<void(std::map<std::string, Stored>&)>& change) const {
    std::map<std::string, Stored> tensors;
    const auto weights = *HfWeights::Open(model_);
    for (const HfWeights::Tensor& tensor : weights->tensors()) {
      Stored& stored = tensors[tensor.info->name];
      stored = {std::string(RowOf(tensor.info->dtype).name), tensor.info->shape,
                std::string(tensor.info->size_bytes, '\0')};
      const auto bytes = std::as_writable_bytes(std::span(stored.bytes));
      ASSERT_TRUE(tensor.file->Read(*tensor.info, 0, bytes).ok());
    }
    change(tensors);
    SafetensorsFile file;
    for (const auto& [name, stored] : tensors) {
      file.Add(name, stored.dtype, stored.shape, stored.bytes);
    }
    file.WriteTo(model_ / "model.safetensors");
  }

  // config.json of model_.
  void EditConfig(const std::function<void(nlohmann::json&)>& change) const {
    nlohmann::json config = nlohmann::json::parse(Contents(model_ / "config.json"));
    change(config);
    ASSERT_TRUE(WriteFileAtomically(model_ / "config.json", config.dump()).ok());
  }

  QuantizeRequest Request(const std::string& format, const std::string& level = "") const {
    QuantizeRequest request;
    request.model_path = model_;
    request.model_name = "./model";
    request.format = format;
    request.outputs = {{.level = level, .path = format == "gguf" ? gguf_ : folder_}};
    request.conversion.is_wanted = true;
    request.checkpoint.directory = checkpoints_;
    request.overwrite = true;
    return request;
  }

  static absl::StatusOr<QuantizeResult> Run(const QuantizeRequest& request, RecordingSink& sink,
                                            std::stop_token stop = {}) {
    ThreadPool pool(2);
    JobContext context{std::move(stop), sink, pool};
    QuantizeOutcome outcome = Convert(request, context);
    if (!outcome.status.ok()) return outcome.status;
    return std::move(outcome.finished.at(0));
  }
  static absl::StatusOr<QuantizeResult> Run(const QuantizeRequest& request) {
    RecordingSink sink;
    return Run(request, sink);
  }

  // After its second unit a conversion to a directory is stopped, and then makes the same bytes as
  // one that was not.
  void ExpectGoesOnWhereItWasStopped(const QuantizeRequest& request) const {
    ASSERT_TRUE(Run(request).ok());
    const std::string whole = Contents(folder_ / "model.safetensors");
    std::filesystem::remove_all(folder_.parent_path());
    RecordingSink sink;
    std::stop_source stop;
    sink.on_progress = [&](const RecordingSink::Progress& progress) {
      if (progress.done == 2) stop.request_stop();
    };
    EXPECT_EQ(ErrorOf(Run(request, sink, stop.get_token()).status()), Error::kCancelled);
    EXPECT_FALSE(std::filesystem::exists(folder_));
    const auto result = Run(request);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->units_reused, 2u);
    EXPECT_TRUE(Contents(folder_ / "model.safetensors") == whole);
    EXPECT_FALSE(std::filesystem::exists(checkpoints_ / result->fingerprint));
  }

  static void ExpectError(const absl::Status& status, Error error,
                          const ::testing::Matcher<std::string>& message) {
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(ErrorOf(status), error) << status;
    EXPECT_THAT(std::string(status.message()), message);
  }

  // Options of a GPTQ directory.
  static PackedOptions Gptq(int bits, bool symmetric = true, int64_t group_size = 32) {
    PackedOptions options;
    options.bits = bits;
    options.sym = symmetric;
    options.group_size = group_size;
    return options;
  }

  static Values ValuesOf(const ModelSource& source) {
    Values values;
    for (size_t i = 0; i < source.tensors().size(); ++i) {
      const SourceTensor& tensor = source.tensors()[i];
      std::vector<std::byte> bytes(
          tensor.rows() * kernels::RowBytes(kernels::QuantTypeOf(tensor.type), tensor.cols()));
      EXPECT_TRUE(source.ReadRows(i, 0, tensor.rows(), bytes).ok()) << tensor.name;
      std::vector<float>& to = values[tensor.name];
      to.resize(tensor.rows() * tensor.cols());
      kernels::FindCodec(tensor.type)->decode(bytes.data(), to.size(), to.data());
    }
    return values;
  }

  // What a directory's linears stand for, as the conversion to gguf orders it.
  static Values UnpackedValues(const std::filesystem::path& directory) {
    const auto source = OpenModelSource(directory, {.may_be_packed = true});
    EXPECT_TRUE(source.ok()) << source.status();
    return source.ok() ? ValuesOf(**source) : Values();
  }

  static Values GgufValues(const std::filesystem::path& file) {
    return ValuesOf(**OpenModelSource(file, {}));
  }

  static std::string Contents(const std::filesystem::path& path) {
    return *ReadFile(path, uint64_t{1} << 32);
  }

  static nlohmann::json QuantizationConfigOf(const std::filesystem::path& directory) {
    return nlohmann::json::parse(Contents(directory / "config.json"))["quantization_config"];
  }

  TempDir dir_;
  const std::filesystem::path model_ = dir_.path() / "model";
  const std::filesystem::path gguf_ = dir_.path() / "out" / "model.gguf";
  const std::filesystem::path folder_ = dir_.path() / "out" / "model";
  const std::filesystem::path checkpoints_ = dir_.path() / "checkpoints";
};

}  // namespace quantized::testing
