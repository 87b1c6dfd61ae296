#include "core/arch/rope_freqs.h"

#include <cmath>
#include <numbers>
#include <string_view>

#include "absl/strings/ascii.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/hf/json_file.h"
#include "core/hf/json_number.h"

namespace quantized {
namespace {

using nlohmann::json;

absl::StatusOr<double> Positive(const json& rope, std::string_view name, double fallback) {
  const auto found = rope.find(name);
  if (found == rope.end()) return fallback;
  const std::string field = StrCat("config.json: rope_scaling: ", name);
  RETURN_IF_ERROR(JsonFloat(*found, field).status());
  const auto value = found->get<double>();
  if (!(value > 0)) {
    return MakeError(Error::kValidationFailed, StrCat(field,
                                                      ": expected a number above 0, "
                                                      "found ",
                                                      JsonText(*found)));
  }
  return value;
}

}  // namespace

absl::StatusOr<std::vector<float>> RopeFreqs(const HfConfig& config, const Geometry& geometry) {
  const auto full = config.rope().find("full_attention");
  const json& rope = full == config.rope().end() || full->is_null() ? config.rope() : *full;
  const auto type = rope.find("rope_type");
  if (type == rope.end() || !type->is_string() ||
      absl::AsciiStrToLower(type->get_ref<const std::string&>()) != "llama3") {
    return std::vector<float>();
  }
  ASSIGN_OR_RETURN(const double base, Positive(rope, "rope_theta", 10000));
  ASSIGN_OR_RETURN(const double factor, Positive(rope, "factor", 8));
  ASSIGN_OR_RETURN(const double low, Positive(rope, "low_freq_factor", 1));
  ASSIGN_OR_RETURN(const double high, Positive(rope, "high_freq_factor", 4));
  ASSIGN_OR_RETURN(const double length, Positive(rope, "original_max_position_embeddings", 8192));

  const auto f = [](double value) { return static_cast<float>(value); };
  const auto dim = static_cast<float>(geometry.head_dim);
  std::vector<float> factors;
  factors.reserve((geometry.head_dim + 1) / 2);
  for (uint32_t i = 0; i < geometry.head_dim; i += 2) {
    const float exponent = static_cast<float>(i) / dim;
    const float frequency = 1.0f / f(std::pow(static_cast<double>(f(base)), exponent));
    const float wavelength = f(2 * std::numbers::pi) / frequency;
    if (wavelength < f(length / high)) {
      factors.push_back(1.0f);
    } else if (wavelength > f(length / low)) {
      factors.push_back(f(factor));
    } else {
      const float smooth = (f(length) / wavelength - f(low)) / f(high - low);
      factors.push_back(1.0f / ((1.0f - smooth) / f(factor) + smooth));
    }
  }
  return factors;
}

}  // namespace quantized
