// The weights of kernels/search/importance.h: sums with one run of values per lane, the weights
// themselves along the values, which have no order.

#if defined(QUANTIZED_KERNELS_SEARCH_IMPORTANCE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef QUANTIZED_KERNELS_SEARCH_IMPORTANCE_INL_H_
#undef QUANTIZED_KERNELS_SEARCH_IMPORTANCE_INL_H_
#else
#define QUANTIZED_KERNELS_SEARCH_IMPORTANCE_INL_H_
#endif

#include <cstring>

#include "kernels/lanes/lanes-inl.h"
#include "kernels/search/importance.h"
#include "kernels/types/rows.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

// Lane r: SumOfSquares of the `count` values from x + r * count on, count a multiple of kLanes.
// Lanes from `runs` on repeat the last run.
HWY_INLINE FloatVec SumsOfSquares(const float* HWY_RESTRICT x, size_t runs, size_t count) {
  const Lanes d;
  FloatVec sum = hn::Zero(d);
  for (size_t begin = 0; begin < count; begin += kLanes) {
    FloatVec v[kLanes];
    for (size_t run = 0; run < kLanes; ++run) {
      v[run] = hn::LoadU(d, x + HWY_MIN(run, runs - 1) * count + begin);
    }
    Transpose(v);
    for (size_t i = 0; i < kLanes; ++i) sum = hn::Add(sum, hn::Mul(v[i], v[i]));
  }
  return sum;
}

// Lane r: SumOf the values of run r, as LoadRuns lays them out.
template <size_t kValues>
HWY_INLINE FloatVec SumsOfRuns(const float* HWY_RESTRICT runs) {
  const Lanes d;
  FloatVec sum = hn::Zero(d);
  for (size_t i = 0; i < kValues * kLanes; i += kLanes) sum = hn::Add(sum, hn::Load(d, runs + i));
  return sum;
}

// WeightOf each of `kValues` values.
template <size_t kValues>
HWY_INLINE void WeighValues(const float* HWY_RESTRICT x, const float* HWY_RESTRICT importance,
                            float mean_square, float* HWY_RESTRICT weights) {
  const Lanes d;
  for (size_t i = 0; i < kValues; i += kLanes) {
    const FloatVec xi = hn::LoadU(d, x + i);
    const FloatVec root = hn::Sqrt(hn::Add(SetAll(mean_square), hn::Mul(xi, xi)));
    hn::StoreU(hn::Mul(hn::LoadU(d, importance + i), root), d, weights + i);
  }
}

// WeighBlock of each of the kLanes blocks from block `first` of `x` on, whose rows have `cols`
// values.
template <class Block>
HWY_INLINE void WeighBlocks(const float* HWY_RESTRICT x, const float* HWY_RESTRICT importance,
                            size_t cols, size_t first, float* HWY_RESTRICT weights) {
  constexpr size_t kValues = Block::kValues;
  x += first * kValues;
  HWY_ALIGN float mean_square[kLanes];
  const FloatVec sums = SumsOfSquares(x, kLanes, kValues);
  hn::Store(hn::Div(hn::Mul(SetAll(Block::kMeanSquareFactor), sums), SetAll(kValues)), Lanes(),
            mean_square);
  for (size_t b = 0; b < kLanes; ++b) {
    WeighValues<kValues>(x + b * kValues, importance + (first + b) * kValues % cols, mean_square[b],
                         weights + b * kValues);
  }
}

// Encodes blocks that are weighed by their own mean square. batch(x, weights, blocks): encodes
// kLanes blocks. kEncode: the plain form (EncodeWeighedBlocks).
template <class Block, auto kEncode, class Batch>
HWY_INLINE void EncodeWeighedBatches(const float* HWY_RESTRICT x,
                                     const float* HWY_RESTRICT importance, size_t rows, size_t cols,
                                     std::byte* HWY_RESTRICT out, const Batch& batch) {
  constexpr size_t kValues = Block::kValues;
  const auto many = [&](size_t first) HWY_ATTR {
    HWY_ALIGN float weights[kLanes * kValues];
    WeighBlocks<Block>(x, importance, cols, first, weights);
    Block encoded[kLanes];
    batch(x + first * kValues, weights, encoded);
    std::memcpy(out + first * sizeof(Block), encoded, sizeof(encoded));
  };
  const auto single = [&](size_t b) {
    Block block;
    kEncode(x + b * kValues, importance + b * kValues % cols, block);
    std::memcpy(out + b * sizeof(Block), &block, sizeof(Block));
  };
  ForEachBatch<kLanes>(BlockCount<Block>(rows, cols), many, single);
}

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#endif  // QUANTIZED_KERNELS_SEARCH_IMPORTANCE_INL_H_
