#include "core/forward/rotary_table.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/ascii.h"
#include "core/arch/rope_freqs.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/hf/json_file.h"
#include "core/hf/json_number.h"

namespace quantized {
namespace {

using nlohmann::json;

constexpr std::string_view kBlock = "config.json: rope_scaling: ";

// The rope block of one kind of attention.
class RopeBlock {
 public:
  RopeBlock(const HfConfig& config, const Geometry& geometry, bool local, uint32_t length)
      : config_(config),
        geometry_(geometry),
        length_(length),
        rope_(Choose(config.rope(), local)) {}

  absl::StatusOr<RotaryTable> Table() {
    ASSIGN_OR_RETURN(const double partial, Number("partial_rotary_factor", 1));
    ASSIGN_OR_RETURN(base_, Number("rope_theta", 10000));
    RotaryTable table;
    const double rotated = std::floor(partial * geometry_.head_dim);
    if (rotated == 0 || rotated > geometry_.head_dim || std::fmod(rotated, 2) != 0) {
      return MakeError(Error::kValidationFailed,
                       StrCat("config.json: rotary part of a head: expected an even number up to ",
                              geometry_.head_dim, ", found ", rotated));
    }
    dim_ = table.dim = static_cast<uint32_t>(rotated);
    ASSIGN_OR_RETURN(const std::vector<double> frequencies, Frequencies());
    const auto finite = [](double value) { return std::isfinite(value); };
    if (!finite(attention_factor_) || !std::ranges::all_of(frequencies, finite)) {
      return MakeError(Error::kValidationFailed,
                       StrCat(kBlock, "expected numbers that give finite angles, found ",
                              JsonText(rope_), " with rope_theta ", base_));
    }
    table.cos = Matrix(length_, dim_ / 2);
    table.sin = Matrix(length_, dim_ / 2);
    for (uint32_t position = 0; position < length_; ++position) {
      for (uint32_t i = 0; i < dim_ / 2; ++i) {
        // The angle is rounded to float as the models' own code does.
        const float angle = static_cast<float>(position) * static_cast<float>(frequencies[i]);
        table.cos.at(position, i) = static_cast<float>(std::cos(angle) * attention_factor_);
        table.sin.at(position, i) = static_cast<float>(std::sin(angle) * attention_factor_);
      }
    }
    return table;
  }

 private:
  static const json& Choose(const json& rope, bool local) {
    const auto own = rope.find(local ? "sliding_attention" : "full_attention");
    return own == rope.end() || own->is_null() ? rope : *own;
  }

  absl::StatusOr<double> Number(std::string_view name, double fallback) const {
    const auto found = rope_.find(name);
    if (found == rope_.end() || found->is_null()) return fallback;
    RETURN_IF_ERROR(JsonFloat(*found, StrCat(kBlock, name)).status());
    const auto value = found->get<double>();
    if (!(value > 0)) {
      return MakeError(
          Error::kValidationFailed,
          StrCat(kBlock, name, ": expected a number above 0, found ", JsonText(*found)));
    }
    return value;
  }

  // One factor for each frequency.
  absl::StatusOr<std::vector<double>> Factors(std::string_view name) const {
    const auto found = rope_.find(name);
    if (found == rope_.end() || !found->is_array() || found->size() != dim_ / 2) {
      return MakeError(Error::kValidationFailed,
                       StrCat(kBlock, name, ": expected ", dim_ / 2, " numbers, found ",
                              found == rope_.end() ? "nothing" : JsonText(*found)));
    }
    std::vector<double> factors;
    for (const json& factor : *found) {
      ASSIGN_OR_RETURN(const float value, JsonFloat(factor, StrCat(kBlock, name)));
      if (!(value > 0)) {
        return MakeError(Error::kValidationFailed, StrCat(kBlock, name, ": expected numbers above ",
                                                          "0, found ", JsonText(factor)));
      }
      factors.push_back(value);
    }
    return factors;
  }

  // Positions that the model was trained for before its rotation was stretched.
  absl::StatusOr<double> OriginalLength() const {
    ASSIGN_OR_RETURN(const double max, MaxLength());
    return Number("original_max_position_embeddings", max);
  }
  absl::StatusOr<double> MaxLength() const {
    const auto found = config_.fields().find("max_position_embeddings");
    if (found == config_.fields().end() || found->is_null()) return 2048.0;
    ASSIGN_OR_RETURN(const uint32_t length,
                     JsonUint32(*found, "config.json: max_position_embeddings"));
    return std::max(1.0, static_cast<double>(length));
  }

  std::vector<double> Plain(double base) const {
    std::vector<double> frequencies(dim_ / 2);
    for (uint32_t i = 0; i < dim_ / 2; ++i) {
      frequencies[i] = std::pow(base, -2.0 * i / dim_);
    }
    return frequencies;
  }

  absl::StatusOr<std::vector<double>> Frequencies() {
    std::string type = "default";
    if (const auto found = rope_.find("rope_type"); found != rope_.end() && found->is_string()) {
      type = absl::AsciiStrToLower(found->get_ref<const std::string&>());
    }
    if (type == "default" || type.empty()) return Plain(base_);
    if (type == "linear") return Linear();
    if (type == "dynamic") return Dynamic();
    if (type == "llama3") return Llama3();
    if (type == "yarn") return Yarn();
    if (type == "longrope" || type == "su") return LongRope();
    return MakeError(Error::kNotImplemented,
                     StrCat(kBlock, "rope_type: '", type, "' is not in this version"));
  }

  absl::StatusOr<std::vector<double>> Linear() {
    ASSIGN_OR_RETURN(const double factor, Number("factor", 1));
    std::vector<double> frequencies = Plain(base_);
    for (double& frequency : frequencies) frequency /= factor;
    return frequencies;
  }

  // Stretches only for sequences that are longer than the model's.
  absl::StatusOr<std::vector<double>> Dynamic() {
    ASSIGN_OR_RETURN(const double factor, Number("factor", 1));
    ASSIGN_OR_RETURN(const double max, MaxLength());
    const double length = std::max<double>(length_, max);
    const double stretch = factor * length / max - (factor - 1);
    return Plain(base_ * std::pow(stretch, dim_ / (dim_ - 2.0)));
  }

  absl::StatusOr<std::vector<double>> Llama3() {
    ASSIGN_OR_RETURN(const std::vector<float> factors, RopeFreqs(config_, geometry_));
    std::vector<double> frequencies = Plain(base_);
    for (size_t i = 0; i < frequencies.size(); ++i) frequencies[i] /= factors[i];
    return frequencies;
  }

  absl::StatusOr<std::vector<double>> Yarn() {
    ASSIGN_OR_RETURN(const double factor, Number("factor", 1));
    ASSIGN_OR_RETURN(const double original, OriginalLength());
    ASSIGN_OR_RETURN(const double fast, Number("beta_fast", 32));
    ASSIGN_OR_RETURN(const double slow, Number("beta_slow", 1));
    ASSIGN_OR_RETURN(const double mscale, Number("mscale", 0));
    ASSIGN_OR_RETURN(const double mscale_all, Number("mscale_all_dim", 0));
    const auto magnitude = [factor](double scale) {
      return factor <= 1 ? 1.0 : 0.1 * scale * std::log(factor) + 1;
    };
    const double standard =
        mscale > 0 && mscale_all > 0 ? magnitude(mscale) / magnitude(mscale_all) : magnitude(1);
    ASSIGN_OR_RETURN(attention_factor_, Number("attention_factor", standard));

    // The frequency that turns so many times within the original length.
    const auto turning = [&](double turns) {
      return dim_ * std::log(original / (turns * 2 * std::numbers::pi)) / (2 * std::log(base_));
    };
    const double low = std::max(std::floor(turning(fast)), 0.0);
    double high = std::min(std::ceil(turning(slow)), dim_ - 1.0);
    if (low == high) high += 0.001;
    std::vector<double> frequencies = Plain(base_);
    for (size_t i = 0; i < frequencies.size(); ++i) {
      const double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
      frequencies[i] = frequencies[i] / factor * ramp + frequencies[i] * (1 - ramp);
    }
    return frequencies;
  }

  absl::StatusOr<std::vector<double>> LongRope() {
    ASSIGN_OR_RETURN(const double original, OriginalLength());
    ASSIGN_OR_RETURN(const double max, MaxLength());
    ASSIGN_OR_RETURN(const std::vector<double> factors,
                     Factors(length_ > original ? "long_factor" : "short_factor"));
    ASSIGN_OR_RETURN(const double factor, Number("factor", max / original));
    const double standard =
        factor <= 1 ? 1.0 : std::sqrt(1 + std::log(factor) / std::log(original));
    ASSIGN_OR_RETURN(attention_factor_, Number("attention_factor", standard));
    std::vector<double> frequencies = Plain(base_);
    for (size_t i = 0; i < frequencies.size(); ++i) frequencies[i] /= factors[i];
    return frequencies;
  }

  const HfConfig& config_;
  const Geometry& geometry_;
  const uint32_t length_;
  const json& rope_;
  double base_ = 0;
  double attention_factor_ = 1;
  uint32_t dim_ = 0;
};

}  // namespace

absl::StatusOr<RotaryTable> MakeRotaryTable(const HfConfig& config, const Geometry& geometry,
                                            bool local, uint32_t length) {
  return RopeBlock(config, geometry, local, length).Table();
}

}  // namespace quantized
