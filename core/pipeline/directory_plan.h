// What a job of format awq or gptq will write, decided before any work: which linears are
// quantized, the tensors of the output in order, their place in its files, the fingerprint.
// Formats: docs/formats/awq.md, docs/formats/gptq.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/arch/tensor_names.h"
#include "core/base/error.h"
#include "core/forward/forward_config.h"
#include "core/forward/tensor_source.h"
#include "core/hf/config.h"
#include "core/packed/checkpoint_config.h"
#include "core/packed/loader_notes.h"
#include "core/pipeline/quantize.h"
#include "core/safetensors/writer.h"

namespace quantized {

// A level of these formats: "4bit".
struct BitLevel {
  std::string name;
  int bits = 4;
};
// Those of the method, fewest bits first.
std::vector<BitLevel> BitLevelsOf(PackedMethod method);
// In any case; the number alone will do. Errors: kInvalidArgument, naming the levels of the format.
absl::StatusOr<BitLevel> FindBitLevel(PackedMethod method, std::string_view name);

// "model.layers.0.mlp.up_proj" of its weight's name.
std::string ModuleOfWeight(const std::string& weight);

// Of both widths of a packed linear, and of its groups.
inline constexpr size_t kPackedMultiple = 32;
// Whether they are: `error`, naming the linear, with `suggestion`.
absl::Status CheckPackableWidths(const LinearShape& linear, Error error,
                                 std::string_view suggestion);

// Whether it is the weight of a linear inside the layers, which is quantized; the router's is none.
bool IsQuantizedLinear(const TensorMatch& match);

struct DirectoryPlan {
  PackedMethod method = PackedMethod::kGptq;
  BitLevel level;
  PackedOptions packed;
  std::filesystem::path output_path;
  std::vector<LinearShape> linears;  // to be quantized
  // A unit of the checkpoint is a layer; unit 0 is what lies outside layers, unit L + 1 is layer L.
  std::vector<safetensors::PlannedTensor> tensors;   // unit by unit
  std::vector<size_t> unit_of;                       // of each tensor
  std::map<std::string, size_t, std::less<>> index;  // of each tensor by name
  safetensors::SafetensorsLayout layout;
  size_t units = 0;
  uint64_t parameters = 0;
  std::string fingerprint;

  // What the folder will hold, unit by unit; `parameters` are counted. Then, once, LayOut.
  void AddTensor(std::string name, DType dtype, std::vector<uint64_t> shape, size_t unit);
  // The tensors that stand for a quantized linear, as `packed` says.
  void AddLinear(const LinearShape& linear, size_t unit);
  // `max_file_bytes`: of a file of weights. Errors: those of PlanSafetensors.
  absl::Status LayOut(uint64_t max_file_bytes = safetensors::kDefaultMaxFileBytes);

  double bits_per_weight() const {
    return 8.0 * static_cast<double>(layout.total_bytes) / static_cast<double>(parameters);
  }
  size_t group_size() const {  // 0: a row is one group
    return packed.group_size < 0 ? 0 : static_cast<size_t>(packed.group_size);
  }

 private:
  void Add(std::string name, DType dtype, std::vector<uint64_t> shape, size_t unit);
};

// What the plan settles of the result.
QuantizeResult ResultOf(const DirectoryPlan& plan);

// `tensors` are those of the model. `output_path` is absolute. Errors: kInvalidArgument for a level
// or a group size that does not fit the model's widths, naming those that do.
absl::StatusOr<DirectoryPlan> MakeDirectoryPlan(
    const ForwardConfig& config, const HfConfig& hf_config,
    std::span<const TensorSource::Tensor* const> tensors, PackedMethod method,
    const std::string& level, const CalibratedOptions& options,
    const std::filesystem::path& output_path);

}  // namespace quantized
