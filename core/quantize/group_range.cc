#include "core/quantize/group_range.h"

#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"

namespace quantized {
namespace {

absl::Status CheckFiniteFrom(std::string_view what, const Matrix& matrix, bool upper) {
  for (size_t row = 0; row < matrix.rows; ++row) {
    for (size_t col = upper ? row : 0; col < matrix.cols; ++col) {
      if (std::isfinite(matrix.at(row, col))) continue;
      return MakeError(Error::kValidationFailed,
                       StrCat(what, " row ", row, ", column ", col, ": found ",
                              std::isnan(matrix.at(row, col)) ? "nan" : "an infinity",
                              ", expected a finite number"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

size_t ResolvedGroupSize(size_t group_size, size_t cols) {
  return group_size == 0 ? cols : group_size;
}

kernels::RangeRule RuleOf(const GridOptions& options) {
  return {.form = options.form,
          .bits = options.bits,
          .positive_zero_point = options.avoid_zero_point_zero,
          .steps = options.search == RangeSearch::kNone ? 0 : options.search_steps,
          .shrink = static_cast<float>(options.search_shrink),
          .exponent = static_cast<float>(options.search_exponent)};
}

absl::Status CheckGrid(const GridOptions& options, size_t cols) {
  const int bits = options.bits;
  if (bits != 2 && bits != 3 && bits != 4 && bits != 8) {
    return MakeError(Error::kInvalidArgument,
                     StrCat("bits: found ", bits, ", expected 2, 3, 4 or 8"));
  }
  if (options.group_size != 0 && cols % options.group_size != 0) {
    return MakeError(Error::kInvalidArgument, StrCat("group size: found ", options.group_size,
                                                     ", expected a divisor of ", cols, " columns"));
  }
  if (options.search != RangeSearch::kNone &&
      !(options.search_steps >= 0 && options.search_steps <= 1000 && options.search_shrink >= 0 &&
        options.search_shrink < 1 && options.search_exponent > 0 &&
        options.search_exponent <= 16)) {
    return MakeError(Error::kInvalidArgument,
                     StrCat("range search: found ", options.search_steps, " steps, shrink ",
                            options.search_shrink, ", exponent ", options.search_exponent,
                            ", expected 0 to 1000, from 0 to below 1, above 0 to 16"));
  }
  return absl::OkStatus();
}

absl::Status CheckWeight(const Matrix& weight, const GridOptions& options) {
  if (weight.empty()) {
    return MakeError(Error::kInvalidArgument, StrCat("weight: found ", weight.rows, " rows and ",
                                                     weight.cols, " columns, expected some"));
  }
  RETURN_IF_ERROR(CheckGrid(options, weight.cols));
  return CheckFiniteFrom("weight", weight, /*upper=*/false);
}

absl::Status CheckGramShape(const Matrix& gram, size_t cols) {
  if (gram.rows == cols && gram.cols == cols) return absl::OkStatus();
  return MakeError(Error::kInvalidArgument, StrCat("gram matrix: found ", gram.rows, " x ",
                                                   gram.cols, ", expected ", cols, " x ", cols));
}

absl::Status CheckGramFinite(const Matrix& gram) {
  return CheckFiniteFrom("gram matrix", gram, /*upper=*/true);
}

}  // namespace quantized
