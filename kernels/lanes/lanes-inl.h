// What the Highway encoders share. Their rule (docs/design/exactness.md): a lane is one block or
// sub-block, so that the order of its sums is the plain form's, and a product and a sum are
// rounded apart (Mul then Add, never MulAdd). Only what has no order and no rounding (largest,
// smallest) may run along the values of a block.
//
// Included once per target, inside foreach_target.

#if defined(QUANTIZED_KERNELS_LANES_LANES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef QUANTIZED_KERNELS_LANES_LANES_INL_H_
#undef QUANTIZED_KERNELS_LANES_LANES_INL_H_
#else
#define QUANTIZED_KERNELS_LANES_LANES_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "hwy/highway.h"
#include "kernels/types/rounding.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// At most 16 floats, so that a vector never spans more than half a block of 32.
using Lanes = hn::CappedTag<float, 16>;
using IntLanes = hn::Rebind<int32_t, Lanes>;
using ByteLanes = hn::Rebind<uint8_t, Lanes>;
using FloatVec = hn::Vec<Lanes>;
using IntVec = hn::Vec<IntLanes>;
using LaneMask = hn::Mask<Lanes>;
inline constexpr size_t kLanes = hn::MaxLanes(Lanes());

HWY_INLINE FloatVec SetAll(float value) { return hn::Set(Lanes(), value); }

// Nearest integer, halves to even, wrapping as NearestInt of kernels/types/rounding.h does.
HWY_INLINE IntVec NearestWrapped(FloatVec v) {
  const IntLanes d;
  const IntVec bits = hn::BitCast(d, hn::Add(v, SetAll(kRoundingShift)));
  return hn::Sub(hn::And(bits, hn::Set(d, 0x007FFFFF)), hn::Set(d, 0x00400000));
}

// The same as a float, for |v| < 2^22 only.
HWY_INLINE FloatVec NearestSmall(FloatVec v) {
  const FloatVec shift = SetAll(kRoundingShift);
  return hn::Sub(hn::Add(v, shift), shift);
}

// Towards zero; unspecified for what does not fit an int.
HWY_INLINE IntVec Truncate(FloatVec v) {
#if HWY_TARGET == HWY_SCALAR
  return hn::Set(IntLanes(), TruncateToInt(hn::GetLane(v)));  // the cast would be undefined for NaN
#else
  return hn::ConvertTo(IntLanes(), v);
#endif
}

// Stores codes that fit a byte, one per lane.
HWY_INLINE void StoreBytes(IntVec codes, uint8_t* out) {
  hn::StoreU(hn::DemoteTo(ByteLanes(), codes), ByteLanes(), out);
}

// Bit j is lane j of the mask.
template <class D>
HWY_INLINE uint32_t MaskBits(D d, hn::Mask<D> mask) {
  uint8_t bytes[8] = {};
  hn::StoreMaskBits(d, mask, bytes);
  uint32_t bits;
  std::memcpy(&bits, bytes, sizeof(bits));
  return bits;
}

// The even, or the odd, lanes of `low` and then those of `high`. A single lane has no neighbour.
HWY_INLINE FloatVec EvenLanes(FloatVec high, FloatVec low) {
#if HWY_TARGET == HWY_SCALAR
  (void)high;
  return low;
#else
  return hn::ConcatEven(Lanes(), high, low);
#endif
}
HWY_INLINE FloatVec OddLanes(FloatVec high, FloatVec low) {
#if HWY_TARGET == HWY_SCALAR
  (void)low;
  return high;
#else
  return hn::ConcatOdd(Lanes(), high, low);
#endif
}

// Rows become columns: afterwards lane j of v[i] is what lane i of v[j] was.
// Each round takes the even and the odd lanes of neighbours apart, which rotates the bits of
// (row, lane) by one; after log2 of the lanes, rows and lanes have changed places.
HWY_INLINE void Transpose(FloatVec (&v)[kLanes]) {
  for (size_t round = 1; round < kLanes; round *= 2) {
    FloatVec next[kLanes];
    for (size_t i = 0; i < kLanes / 2; ++i) {
      next[i] = EvenLanes(v[2 * i + 1], v[2 * i]);
      next[i + kLanes / 2] = OddLanes(v[2 * i + 1], v[2 * i]);
    }
    for (size_t i = 0; i < kLanes; ++i) v[i] = next[i];
  }
}

// Turns kLanes runs of kValues values each, run r at run(r), into vectors: lane j of vector i, at
// out + i * kLanes, is value i of run j.
template <size_t kValues, class Run>
HWY_INLINE void LoadRunsFrom(const Run& run, float* HWY_RESTRICT out) {
  static_assert(kValues % kLanes == 0);
  for (size_t begin = 0; begin < kValues; begin += kLanes) {
    FloatVec v[kLanes];
    for (size_t r = 0; r < kLanes; ++r) v[r] = hn::LoadU(Lanes(), run(r) + begin);
    Transpose(v);
    for (size_t i = 0; i < kLanes; ++i) {
      hn::Store(v[i], Lanes(), out + (begin + i) * kLanes);
    }
  }
}

// The same for runs one after the other.
template <size_t kValues>
HWY_INLINE void LoadRuns(const float* HWY_RESTRICT x, float* HWY_RESTRICT out) {
  LoadRunsFrom<kValues>([x](size_t run) { return x + run * kValues; }, out);
}

// LoadRuns for few values, in any number.
template <size_t kValues>
HWY_INLINE void TransposeRuns(const float* HWY_RESTRICT x, float* HWY_RESTRICT out) {
  for (size_t run = 0; run < kLanes; ++run) {
    for (size_t i = 0; i < kValues; ++i) out[i * kLanes + run] = x[run * kValues + i];
  }
}

// Lane i of the result is the combination of all lanes of v[i]. `combine` must not depend on order
// and must not round: Min or Max.
template <class Combine>
HWY_INLINE FloatVec ReduceEach(FloatVec (&v)[kLanes], const Combine& combine) {
  for (size_t size = kLanes / 2; size > 0; size /= 2) {
    for (size_t i = 0; i < size; ++i) {
      v[i] = combine(EvenLanes(v[2 * i + 1], v[2 * i]), OddLanes(v[2 * i + 1], v[2 * i]));
    }
  }
  return v[0];
}

// Covers `blocks` blocks with batches of kBatch: batch(first block) for each. The last batch moves
// back to end with the last block, so some blocks are encoded twice, to the same bytes. Where there
// is less than one batch: single(block) for each.
template <size_t kBatch, class Batch, class Single>
HWY_INLINE void ForEachBatch(size_t blocks, const Batch& batch, const Single& single) {
  if (blocks < kBatch) {
    for (size_t b = 0; b < blocks; ++b) single(b);
    return;
  }
  for (size_t b = 0; b < blocks; b += kBatch) batch(b < blocks - kBatch ? b : blocks - kBatch);
}

// Encodes blocks that do not depend on each other in batches of kLanes, a block per lane for what
// has an order. batch(x, blocks): encodes kLanes blocks. kEncode: the plain form, for fewer.
template <class Block, auto kEncode, class Batch>
HWY_INLINE void EncodeBatches(const float* HWY_RESTRICT x, size_t blocks,
                              std::byte* HWY_RESTRICT out, const Batch& batch) {
  const auto single = [&](size_t b) {
    Block block;
    kEncode(x + b * Block::kValues, block);
    std::memcpy(out + b * sizeof(Block), &block, sizeof(Block));
  };
  const auto many = [&](size_t first) HWY_ATTR {
    Block encoded[kLanes];
    batch(x + first * Block::kValues, encoded);
    std::memcpy(out + first * sizeof(Block), encoded, sizeof(encoded));
  };
  ForEachBatch<kLanes>(blocks, many, single);
}

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#endif  // QUANTIZED_KERNELS_LANES_LANES_INL_H_
