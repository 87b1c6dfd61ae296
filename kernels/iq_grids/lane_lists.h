// The lists of a grid (iq_grids.h) in the form that vectors of eight candidates read.
//
// A code holds the digits of a point as eight indices of three bits into vectors of eight values:
//   OctalCube    index i is digit i (four indices): one vector has the eight levels of a
//   coordinate; TernaryCube  index i is 2 digit i + i % 2: one vector has the three levels of two
//   neighbouring
//                coordinates in turn.
// A list is a number of whole vectors of codes in the order of the grid's list, the last code
// repeated at the end with the bit kFillsUp. A point on the grid has a list without vectors, whose
// `codes` is its own code.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/iq_grids/iq_grids.h"

namespace quantized::kernels {

inline constexpr int kCodeBits = 3;
inline constexpr int kListVector = 8;  // codes
inline constexpr uint32_t kFillsUp = 1U << 31;

template <class Cube>
constexpr uint32_t CodeOf(uint32_t digits) {
  uint32_t code = 0;
  for (int i = 0; i < Cube::kDigits; ++i) {
    const auto digit = static_cast<uint32_t>(DigitOf<Cube>(digits, i));
    const uint32_t index = Cube::kLevels == 8 ? digit : 2 * digit + static_cast<uint32_t>(i % 2);
    code |= index << (kCodeBits * i);
  }
  return code;
}

template <class Cube>
constexpr uint32_t DigitsOfCode(uint32_t code) {
  uint32_t digits = 0;
  for (int i = 0; i < Cube::kDigits; ++i) {
    const uint32_t index = code >> (kCodeBits * i) & 7;
    digits |= (Cube::kLevels == 8 ? index : index / 2) << (Cube::kBits * i);
  }
  return digits;
}

class LaneLists {
 public:
  static constexpr int kMaxVectors = 37;  // the longest list has 292 codes
  struct List {
    const uint32_t* codes;
    uint32_t vectors;
  };

  template <class Cube>
  static LaneLists Of(const IqGrid& grid, Cube);

  // Of any packed digits of the cube.
  List of(uint32_t digits) const {
    const uint32_t entry = entries_[digits];
    return {codes_.data() + size_t{entry >> kCountBits} * kListVector,
            entry & ((1U << kCountBits) - 1)};
  }

 private:
  static constexpr int kCountBits = 6;
  static_assert(kMaxVectors < 1 << kCountBits);

  std::vector<uint32_t> entries_;  // by packed digits: first vector << kCountBits | vectors
  std::vector<uint32_t> codes_;
};

extern template LaneLists LaneLists::Of(const IqGrid& grid, TernaryCube);
extern template LaneLists LaneLists::Of(const IqGrid& grid, OctalCube);

}  // namespace quantized::kernels
