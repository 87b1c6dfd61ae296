#include "core/pipeline/conversion_loss.h"

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "core/base/status_macros.h"
#include "core/pipeline/plan.h"
#include "core/pipeline/sources.h"
#include "kernels/codecs/codec.h"

namespace quantized {
namespace {

constexpr size_t kSampledTensors = 16;
constexpr uint64_t kSampledRows = 16;

struct Loss {
  double error = 0, norm = 0;

  double relative() const { return norm > 0 ? error / norm : 0; }
};

std::vector<float> Decoded(kernels::TypeId type, const std::vector<std::byte>& bytes,
                           size_t count) {
  std::vector<float> values(count);
  kernels::FindCodec(type)->decode(bytes.data(), count, values.data());
  return values;
}

// Of some rows of `tensor`, spread over it.
absl::Status AddTensor(const ModelSource& source, const OutputTensor& tensor, Loss& loss) {
  const uint64_t rows = std::min(tensor.rows, kSampledRows);
  const auto bytes_of = [&](kernels::TypeId type) {
    return std::vector<std::byte>(kernels::RowBytes(kernels::QuantTypeOf(type), tensor.cols));
  };
  std::vector<std::byte> from = bytes_of(tensor.source_type), to = bytes_of(tensor.type);
  for (uint64_t i = 0; i < rows; ++i) {
    RETURN_IF_ERROR(source.ReadRows(tensor.source, i * tensor.rows / rows, 1, from));
    const std::vector<float> weights = Decoded(tensor.source_type, from, tensor.cols);
    kernels::BestEncoder (*kernels::FindCodec(tensor.type))(weights.data(), nullptr, 1, tensor.cols,
                                                            to.data());
    const std::vector<float> made = Decoded(tensor.type, to, tensor.cols);
    for (size_t j = 0; j < weights.size(); ++j) {
      const double difference = double{made[j]} - weights[j];
      loss.error += difference * difference;
      loss.norm += double{weights[j]} * weights[j];
    }
  }
  return absl::OkStatus();
}

bool IsMadeAnew(const OutputTensor& tensor) {
  const kernels::Codec* from = kernels::FindCodec(tensor.source_type);
  const kernels::Codec* to = kernels::FindCodec(tensor.type);
  return tensor.type != tensor.source_type && tensor.rows > 1 && from != nullptr && to != nullptr &&
         to->importance != kernels::Importance::kRequired;
}

}  // namespace

absl::StatusOr<double> LossToGguf(const QuantizeRequest& request) {
  ASSIGN_OR_RETURN(const std::vector<const Recipe*> recipes, RecipesOf(request));
  ModelSources sources;
  RETURN_IF_ERROR(sources.Open(request, recipes));
  const ModelSource& source = sources.Of(*recipes[0]);
  ASSIGN_OR_RETURN(const PlanOptions options, PlanOptions::Parse(request.gguf));
  ASSIGN_OR_RETURN(
      const QuantizePlan plan,
      MakePlan(source, *recipes[0], std::filesystem::absolute(request.outputs[0].path), options));
  std::vector<const OutputTensor*> anew;
  for (const OutputTensor& tensor : plan.tensors) {
    if (IsMadeAnew(tensor)) anew.push_back(&tensor);
  }
  Loss loss;
  const size_t count = std::min(anew.size(), kSampledTensors);
  for (size_t i = 0; i < count; ++i) {
    RETURN_IF_ERROR(AddTensor(source, *anew[i * anew.size() / count], loss));
  }
  return loss.relative();
}

absl::StatusOr<double> LossToFolder(const ConvertedFolder& folder, size_t threads) {
  // One of each kind ("q_proj"), from all over the model.
  std::map<std::string, std::vector<const ConvertedFolder::Linear*>> kinds;
  for (const ConvertedFolder::Linear& linear : folder.linears) {
    if (!linear.is_anew) continue;
    kinds[linear.shape.name.substr(linear.shape.name.rfind('.') + 1)].push_back(&linear);
  }
  ThreadPool pool(threads);
  double sum = 0;
  size_t i = 0;
  for (const auto& [kind, linears] : kinds) {
    const size_t chosen = (2 * i++ + 1) * linears.size() / (2 * kinds.size());
    ASSIGN_OR_RETURN(const ConvertedLinear made, linears[chosen]->make(pool));
    sum += made.relative_error;
  }
  return kinds.empty() ? 0 : sum / static_cast<double>(kinds.size());
}

}  // namespace quantized
