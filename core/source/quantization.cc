#include "core/source/quantization.h"

#include <algorithm>
#include <memory>
#include <string>

#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/tensor/text.h"

namespace quantized {
namespace {

// The first that stands for codes; null where there is none.
const HfWeights::Tensor* FindCodes(const HfWeights& weights) {
  const auto tensors = weights.tensors();
  const auto found = std::ranges::find_if(tensors, [](const HfWeights::Tensor& tensor) {
    return tensor.info->dtype == DType::kI32 && tensor.info->name.ends_with(".qweight");
  });
  return found == tensors.end() ? nullptr : &*found;
}

}  // namespace

const HfQuantization* QuantizationOf(const HfConfig& config, const HfWeights& weights) {
  const std::optional<HfQuantization>& said = config.quantization();
  if (!said) return nullptr;
  const auto is_packed = [](const HfWeights::Tensor& tensor) {
    return tensor.info->name.ends_with(".qweight");
  };
  if (said->is_beside && std::ranges::none_of(weights.tensors(), is_packed)) return nullptr;
  return &*said;
}

bool HasPackedLinears(const HfWeights& weights) { return FindCodes(weights) != nullptr; }

absl::Status CheckPackingIsSaid(const HfConfig& config, const HfWeights& weights) {
  const HfWeights::Tensor* codes = FindCodes(weights);
  if (codes == nullptr || config.quantization()) return absl::OkStatus();
  return MakeError(Error::kValidationFailed,
                   StrCat(codes->Origin(),
                          ": packed, found no quantization_config in config.json and no "
                          "quantize_config.json or quant_config.json with bits and group_size, "
                          "expected one that says how"),
                   "Add the configuration that came with the weights: config.json with "
                   "quantization_config, or the file beside it");
}

absl::Status QuantizedAlready(const HfQuantization& quantization) {
  const bool is_packed = quantization.method == NameOf(PackedMethod::kAwq) ||
                         quantization.method == NameOf(PackedMethod::kGptq);
  const std::string method =
      quantization.method.empty() ? "no known method" : PrintableName(quantization.method);
  return MakeError(Error::kNotImplemented,
                   StrCat(quantization.place, ": the weights are quantized already (", method, ")",
                          is_packed ? "" : ", which this version does not read"),
                   is_packed
                       ? "Use convert, or the original checkpoint in float16, bfloat16 or float32"
                       : "Use the original checkpoint in float16, bfloat16 or float32");
}

absl::Status CheckIsOriginal(const HfConfig& config, const std::filesystem::path& directory) {
  if (!config.quantization()) return absl::OkStatus();
  if (!config.quantization()->is_beside) return QuantizedAlready(*config.quantization());
  ASSIGN_OR_RETURN(const std::unique_ptr<HfWeights> weights, HfWeights::Open(directory));
  const HfQuantization* quantization = QuantizationOf(config, *weights);
  return quantization == nullptr ? absl::OkStatus() : QuantizedAlready(*quantization);
}

absl::StatusOr<std::optional<PackedScheme>> ReadableScheme(const HfConfig& config,
                                                           const HfWeights& weights) {
  if (QuantizationOf(config, weights) == nullptr) return std::nullopt;
  auto scheme = PackedSchemeOf(config);
  if (!scheme.ok() && ErrorOf(scheme.status()) == Error::kUnsupportedConversion) {
    return std::nullopt;
  }
  return scheme;
}

}  // namespace quantized
