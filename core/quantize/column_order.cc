#include "core/quantize/column_order.h"

#include <algorithm>
#include <numeric>

namespace quantized {
namespace {

std::vector<uint32_t> GroupAware(std::span<const float> diagonal, size_t group_size,
                                 std::vector<uint32_t> order) {
  const auto larger = [&](uint32_t a, uint32_t b) { return diagonal[a] > diagonal[b]; };
  std::vector<size_t> groups(diagonal.size() / group_size);
  std::iota(groups.begin(), groups.end(), size_t{0});
  for (const size_t group : groups) {
    const auto first = order.begin() + static_cast<ptrdiff_t>(group * group_size);
    std::stable_sort(first, first + static_cast<ptrdiff_t>(group_size), larger);
  }
  // The first column of a group is its largest now.
  std::stable_sort(groups.begin(), groups.end(), [&](size_t a, size_t b) {
    return larger(order[a * group_size], order[b * group_size]);
  });
  std::vector<uint32_t> whole;
  whole.reserve(order.size());
  for (const size_t group : groups) {
    const auto first = order.begin() + static_cast<ptrdiff_t>(group * group_size);
    whole.insert(whole.end(), first, first + static_cast<ptrdiff_t>(group_size));
  }
  return whole;
}

}  // namespace

std::vector<uint32_t> OrderColumns(std::span<const float> diagonal, size_t group_size,
                                   ColumnOrder order) {
  std::vector<uint32_t> columns(diagonal.size());
  std::iota(columns.begin(), columns.end(), 0u);
  switch (order) {
    case ColumnOrder::kNatural:
      return columns;
    case ColumnOrder::kGroupAware:
      return GroupAware(diagonal, group_size, std::move(columns));
    case ColumnOrder::kStaticActivation:
    case ColumnOrder::kActivation:
      break;
  }
  std::stable_sort(columns.begin(), columns.end(),
                   [&](uint32_t a, uint32_t b) { return diagonal[a] > diagonal[b]; });
  return columns;
}

}  // namespace quantized
