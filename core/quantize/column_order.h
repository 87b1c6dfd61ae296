// The order in which GPTQ takes the input columns of a weight. An error of an early column is made
// good by all later ones, so columns that matter go first. docs/design/gptq.md, "Order of columns".
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace quantized {

enum class ColumnOrder {
  kNatural,
  // Columns sorted inside each group, groups sorted by their largest: a group stays a run of
  // columns, in the file and in the order.
  kGroupAware,
  // Sorted over all groups; the grids of groups are those of the weight before any change.
  kStaticActivation,
  // Sorted over all groups, and groups are runs of that order: the file needs `g_idx`, and reading
  // it takes longer.
  kActivation,
};

// order[position] = column, by `diagonal` from the largest down; of equals the first goes first.
std::vector<uint32_t> OrderColumns(std::span<const float> diagonal, size_t group_size,
                                   ColumnOrder order);

}  // namespace quantized
