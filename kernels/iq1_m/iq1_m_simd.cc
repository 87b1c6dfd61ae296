#include "kernels/iq1_m/iq1_m.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/iq1_m/iq1_m_simd.cc"
#include <cstring>
#include <limits>

#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/iq1_levels/iq1_levels-inl.h"
#include "kernels/search/importance-inl.h"
#include "kernels/types/rows.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

// Candidates for SearchSplitsLanes.
class CandidatesIQ1M {
 public:
  static constexpr int kSplits = BlockIQ1M::kSubValues + 1;
  static constexpr size_t kShifts = 4;
  static constexpr int kDown[] = {0b00, 0b10, 0b01, 0b11};
  struct Row {
    FloatVec p1[2];          // P1 of each half
    FloatVec first_b[2][2];  // Q16 q2 q2 + Q1 (q0 q0 - q1 q1) of each half, levels up and down
  };

  HWY_INLINE explicit CandidatesIQ1M(const PrefixSumsIQ1M& sums) : sums_(sums) {
    for (int half = 0; half < 2; ++half) {
      for (size_t i = 0; i < kSplits; ++i) p_[half][i] = sums.x[half][i];
      for (size_t i = kSplits; i < kSize; ++i) p_[half][i] = 0;
      for (int shift = 0; shift < 2; ++shift) {
        const float q0 = IQ1Level(0, shift == 1), q1 = IQ1Level(1, shift == 1);
        const float q2 = IQ1Level(2, shift == 1);
        all_a_[half][shift] = sums.x[half][kSplits - 1] * q2;
        all_b_[half][shift] = sums.w[half][kSplits - 1] * q2 * q2;
        first_step_[shift] = q0 * q0 - q1 * q1;
        for (size_t i = 0; i < kSplits; ++i) {
          last_b_[half][shift][i] = sums.w[half][i] * (q1 * q1 - q2 * q2);
        }
        for (size_t i = kSplits; i < kSize; ++i) {
          last_b_[half][shift][i] = std::numeric_limits<float>::quiet_NaN();
        }
      }
    }
  }

  HWY_INLINE Row RowAt(int i1) const {
    Row row;
    for (int half = 0; half < 2; ++half) {
      row.p1[half] = SetAll(sums_.x[half][i1]);
      for (int shift = 0; shift < 2; ++shift) {
        row.first_b[half][shift] =
            SetAll(all_b_[half][shift] + sums_.w[half][i1] * first_step_[shift]);
      }
    }
    return row;
  }
  HWY_INLINE void At(const Row& row, int i2, FloatVec (&a)[kShifts], FloatVec (&b)[kShifts]) const {
    const Lanes d;
    FloatVec half_a[2][2], half_b[2][2];
    for (int half = 0; half < 2; ++half) {
      const FloatVec p = hn::Add(row.p1[half], hn::LoadU(d, p_[half] + i2));
      for (int shift = 0; shift < 2; ++shift) {
        half_a[half][shift] = hn::Sub(SetAll(all_a_[half][shift]), p);
        half_b[half][shift] =
            hn::Add(row.first_b[half][shift], hn::LoadU(d, last_b_[half][shift] + i2));
      }
    }
    for (int k = 0; k < 4; ++k) {
      a[k] = hn::Add(half_a[0][k >> 1], half_a[1][k & 1]);
      b[k] = hn::Add(half_b[0][k >> 1], half_b[1][k & 1]);
    }
  }

 private:
  static constexpr size_t kSize = kSplits + kLanes;

  const PrefixSumsIQ1M& sums_;
  // Of each half: P16 q2 and Q16 q2 q2, levels up and down.
  float all_a_[2][2], all_b_[2][2];
  float first_step_[2];  // q0 q0 - q1 q1
  // By second split, and then a vector of none: P2 and Q2 (q1 q1 - q2 q2).
  float p_[2][kSize], last_b_[2][2][kSize];
};

struct LanesIQ1M : LanesIQ1 {
  static HWY_NOINLINE IQ1Split Search(const PrefixSumsIQ1M& sums) {
    constexpr int n = BlockIQ1M::kSubValues;
    return SearchSplitsLanes(CandidatesIQ1M(sums), sums.w[0][n] + sums.w[1][n]);
  }
};

// Without importance: weights x^2.
void EncodeUnweighedIQ1M(const float* HWY_RESTRICT x, size_t blocks, std::byte* HWY_RESTRICT out) {
  constexpr size_t kValues = BlockIQ1M::kValues;
  const IqGrid& grid = IQ1Grid();
  for (size_t b = 0; b < blocks; ++b, x += kValues) {
    HWY_ALIGN float weights[kValues];
    for (size_t i = 0; i < kValues; i += kLanes) {
      const FloatVec xi = hn::LoadU(Lanes(), x + i);
      hn::Store(hn::Mul(xi, xi), Lanes(), weights + i);
    }
    BlockIQ1M block;
    SearchBlockIQ1M<LanesIQ1M>(grid, x, weights, block);
    std::memcpy(out + b * sizeof(block), &block, sizeof(block));
  }
}

void EncodeIQ1M(const float* HWY_RESTRICT x, const float* HWY_RESTRICT importance, size_t rows,
                size_t cols, std::byte* HWY_RESTRICT out) {
  constexpr size_t kValues = BlockIQ1M::kValues;
  if (importance == nullptr) {
    return EncodeUnweighedIQ1M(x, BlockCount<BlockIQ1M>(rows, cols), out);
  }
  const IqGrid& grid = IQ1Grid();
  const auto batch = [&grid](const float* batch_x, const float* weights, BlockIQ1M* blocks) {
    for (size_t b = 0; b < kLanes; ++b) {
      SearchBlockIQ1M<LanesIQ1M>(grid, batch_x + b * kValues, weights + b * kValues, blocks[b]);
    }
  };
  EncodeWeighedBatches<BlockIQ1M, EncodeWeighedBlockIQ1MWithGrid>(x, importance, rows, cols, out,
                                                                  batch);
}

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantized::kernels {

HWY_EXPORT(EncodeIQ1M);

void EncodeIQ1MSimd(const float* x, const float* importance, size_t rows, size_t cols,
                    std::byte* out) {
  HWY_DYNAMIC_DISPATCH(EncodeIQ1M)(x, importance, rows, cols, out);
}

}  // namespace quantized::kernels
#endif
