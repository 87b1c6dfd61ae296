// The search of kernels/iq4_levels/iq4_levels.h with one run of 32 values per lane, and the codes
// of a run along its values.

#if defined(QUANTIZED_KERNELS_IQ4_LEVELS_IQ4_LEVELS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef QUANTIZED_KERNELS_IQ4_LEVELS_IQ4_LEVELS_INL_H_
#undef QUANTIZED_KERNELS_IQ4_LEVELS_IQ4_LEVELS_INL_H_
#else
#define QUANTIZED_KERNELS_IQ4_LEVELS_IQ4_LEVELS_INL_H_
#endif

#include <cstring>

#include "kernels/iq4_levels/iq4_levels.h"
#include "kernels/lanes/lanes-inl.h"
#include "kernels/search/importance-inl.h"
#include "kernels/types/rows.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

inline constexpr size_t kIQ4Run = kIQ4Values * kLanes;  // values of kLanes runs

// The level nearest to each value. Levels are integers, so their differences add up exactly.
HWY_INLINE FloatVec NearestIQ4Levels(FloatVec v) {
  FloatVec level = SetAll(IQ4Level(0));
  for (int k = 0; k + 1 < kIQ4Levels; ++k) {
    const FloatVec step = SetAll(IQ4Level(k + 1) - IQ4Level(k));
    level = hn::Add(level, hn::IfThenElseZero(hn::Ge(v, SetAll(IQ4Middle(k))), step));
  }
  return level;
}

// kernels::SearchIQ4 per lane. `x` and `weights` as LoadRuns lays them out.
HWY_INLINE FloatVec SearchIQ4(const float* HWY_RESTRICT x, const float* HWY_RESTRICT weights) {
  const Lanes d;
  const FloatVec zero = hn::Zero(d);
  FloatVec magnitude = zero, largest = zero;
  for (size_t i = 0; i < kIQ4Run; i += kLanes) {
    const FloatVec xi = hn::Load(d, x + i);
    const LaneMask larger = hn::Gt(hn::Abs(xi), magnitude);
    magnitude = hn::IfThenElse(larger, hn::Abs(xi), magnitude);
    largest = hn::IfThenElse(larger, xi, largest);
  }
  struct Sums {
    FloatVec qx, q2;
  };
  const auto candidate = [&](FloatVec inverse) HWY_ATTR -> Sums {
    Sums sums = {zero, zero};
    for (size_t i = 0; i < kIQ4Run; i += kLanes) {
      const FloatVec xi = hn::Load(d, x + i);
      const FloatVec q = NearestIQ4Levels(hn::Mul(inverse, xi));
      const FloatVec wq = hn::Mul(hn::Load(d, weights + i), q);
      sums.qx = hn::Add(sums.qx, hn::Mul(wq, xi));
      sums.q2 = hn::Add(sums.q2, hn::Mul(wq, q));
    }
    return sums;
  };
  const FloatVec lowest = SetAll(kIQ4LowestLevel);
  const Sums first = candidate(hn::Div(SetAll(1.0f), hn::Div(hn::Neg(largest), lowest)));
  FloatVec scale = hn::IfThenElseZero(hn::Gt(first.q2, zero), hn::Div(first.qx, first.q2));
  FloatVec best = hn::Mul(scale, first.qx);
  for (int k = -kIQ4Tries; k <= kIQ4Tries; ++k) {
    const Sums sums = candidate(hn::Div(hn::Add(SetAll(static_cast<float>(k)), lowest), largest));
    const LaneMask accept =
        hn::And(hn::Gt(sums.q2, zero), hn::Gt(hn::Mul(sums.qx, sums.qx), hn::Mul(best, sums.q2)));
    const FloatVec fitted = hn::Div(sums.qx, sums.q2);
    scale = hn::IfThenElse(accept, fitted, scale);
    best = hn::IfThenElse(accept, hn::Mul(fitted, sums.qx), best);
  }
  return hn::IfThenZeroElse(hn::Lt(magnitude, SetAll(kSmallestMagnitude)), scale);
}

// The codes of 32 values as nibbles: byte j holds value j in its low half and value j + 16 in its
// high half.
HWY_INLINE void EncodeIQ4Nibbles(const float* HWY_RESTRICT x, float inverse,
                                 uint8_t* HWY_RESTRICT nibbles) {
  const IntLanes di;
  const auto codes = [&](size_t i) HWY_ATTR {
    const FloatVec v = hn::Mul(SetAll(inverse), hn::LoadU(Lanes(), x + i));
    IntVec code = hn::Set(di, kIQ4Levels - 1);
    for (int k = 0; k + 1 < kIQ4Levels; ++k) {
      const LaneMask below = hn::Lt(v, SetAll(IQ4Middle(k)));
      code = hn::Add(code, hn::VecFromMask(di, hn::RebindMask(di, below)));
    }
    return code;
  };
  constexpr size_t kHalf = kIQ4Values / 2;
  for (size_t i = 0; i < kHalf; i += kLanes) {
    StoreBytes(hn::Or(codes(i), hn::ShiftLeft<4>(codes(kHalf + i))), nibbles + i);
  }
}

// WeighIQ4 for kLanes blocks; `importance` as many weights as a row has values, or null.
template <class Block>
HWY_INLINE void WeighIQ4Blocks(const float* HWY_RESTRICT x, const float* HWY_RESTRICT importance,
                               size_t cols, size_t first, float* HWY_RESTRICT weights) {
  constexpr size_t kValues = Block::kValues;
  const Lanes d;
  x += first * kValues;
  if (importance == nullptr) {
    for (size_t i = 0; i < kValues * kLanes; i += kLanes) {
      const FloatVec xi = hn::LoadU(d, x + i);
      hn::Store(hn::Mul(xi, xi), d, weights + i);
    }
    return;
  }
  HWY_ALIGN float mean_square[kLanes];
  hn::Store(hn::Mul(SumsOfSquares(x, kLanes, kValues), SetAll(2.0f / kValues)), d, mean_square);
  for (size_t b = 0; b < kLanes; ++b) {
    WeighValues<kValues>(x + b * kValues, importance + (first + b) * kValues % cols, mean_square[b],
                         weights + b * kValues);
  }
}

// Encodes blocks without importance (null) or with. batch(x, weights, blocks): encodes kLanes
// blocks. kEncode, kEncodeWeighed: the plain forms.
template <class Block, auto kEncode, auto kEncodeWeighed, class Batch>
HWY_INLINE void EncodeIQ4Batches(const float* HWY_RESTRICT x, const float* HWY_RESTRICT importance,
                                 size_t rows, size_t cols, std::byte* HWY_RESTRICT out,
                                 const Batch& batch) {
  constexpr size_t kValues = Block::kValues;
  const auto many = [&](size_t first) HWY_ATTR {
    HWY_ALIGN float weights[kLanes * kValues];
    WeighIQ4Blocks<Block>(x, importance, cols, first, weights);
    Block encoded[kLanes];
    batch(x + first * kValues, weights, encoded);
    std::memcpy(out + first * sizeof(Block), encoded, sizeof(encoded));
  };
  const auto single = [&](size_t b) {
    Block block;
    if (importance == nullptr) {
      kEncode(x + b * kValues, block);
    } else {
      kEncodeWeighed(x + b * kValues, importance + b * kValues % cols, block);
    }
    std::memcpy(out + b * sizeof(Block), &block, sizeof(Block));
  };
  ForEachBatch<kLanes>(BlockCount<Block>(rows, cols), many, single);
}

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#endif  // QUANTIZED_KERNELS_IQ4_LEVELS_IQ4_LEVELS_INL_H_
