// Improves a quantized tile under the loss tr(D·(H + added)·Dᵀ), D = decoded - weight: coordinate
// descent over the codes, each moved to where the loss is least while the others stay, and between
// the columns of a block the scale of each group refitted to its codes. No step raises the loss.
// docs/design/gptq.md, "Refinement".
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/quantize/row_tile.h"
#include "core/tensor/matrix.h"

namespace quantized {

struct RefineOptions {
  int passes = 0;             // over all columns
  bool refit_scales = false;  // where groups are runs of at most 128 columns
};

struct RefineInput {
  const Matrix& gram;            // [cols, cols], upper triangle
  std::span<const float> added;  // [cols], to its diagonal
  // [cols]: columns whose row and column of H count as 0 beside the diagonal
  const std::vector<bool>& dead;
  std::span<const uint32_t> group_of;  // [cols]
  size_t group_size;
  bool natural_groups;  // group_of[i] == i / group_size
  int bits;
};

// `original` and `decoded` [cols, kTileRows] by column; `decoded` and `quantized` are changed.
// Returns the loss.
double RefineTile(const std::vector<float>& original, const RefineInput& input,
                  const RefineOptions& options, std::vector<float>& decoded,
                  QuantizedTile& quantized);

}  // namespace quantized
