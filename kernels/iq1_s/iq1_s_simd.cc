#include "kernels/iq1_s/iq1_s.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/iq1_s/iq1_s_simd.cc"
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
class CandidatesIQ1S {
 public:
  static constexpr int kSplits = BlockIQ1S::kSubValues + 1;
  static constexpr size_t kShifts = 2;
  static constexpr int kDown[] = {0, BlockIQ1S::kAllDown};
  struct Row {
    FloatVec x1, w1;                      // X1 and W1
    FloatVec a_up, a_down, b_up, b_down;  // (X1 - X0) q0 and (W1 - W0) q0 q0
  };

  HWY_INLINE explicit CandidatesIQ1S(const PrefixSumsIQ1S& sums) : sums_(sums) {
    const float end_x = sums.x[kSplits - 1], end_w = sums.w[kSplits - 1];
    for (size_t i = 0; i < kSplits; ++i) {
      x_[i] = sums.x[i];
      w_[i] = sums.w[i];
      for (int shift = 0; shift < 2; ++shift) {
        const float q2 = IQ1Level(2, shift == 1);
        last_a_[shift][i] = (end_x - sums.x[i]) * q2;
        last_b_[shift][i] = (end_w - sums.w[i]) * q2 * q2;
      }
    }
    for (size_t i = kSplits; i < kSize; ++i) {
      x_[i] = w_[i] = last_a_[0][i] = last_a_[1][i] = 0;
      last_b_[0][i] = last_b_[1][i] = std::numeric_limits<float>::quiet_NaN();
    }
  }

  HWY_INLINE Row RowAt(int i1) const {
    const float up = IQ1Level(0, false), down = IQ1Level(0, true);
    const float x = sums_.x[i1] - sums_.x[0], w = sums_.w[i1] - sums_.w[0];
    return {SetAll(sums_.x[i1]), SetAll(sums_.w[i1]), SetAll(x * up),
            SetAll(x * down),    SetAll(w * up * up), SetAll(w * down * down)};
  }
  HWY_INLINE void At(const Row& row, int i2, FloatVec (&a)[kShifts], FloatVec (&b)[kShifts]) const {
    const Lanes d;
    // The middle level down is the one up but for the sign.
    const FloatVec q1 = SetAll(kIQ1Shift);
    const FloatVec middle_a = hn::Mul(hn::Sub(hn::LoadU(d, x_ + i2), row.x1), q1);
    const FloatVec middle_b = hn::Mul(hn::Mul(hn::Sub(hn::LoadU(d, w_ + i2), row.w1), q1), q1);
    a[0] = hn::Add(hn::Add(row.a_up, middle_a), hn::LoadU(d, last_a_[0] + i2));
    a[1] = hn::Add(hn::Sub(row.a_down, middle_a), hn::LoadU(d, last_a_[1] + i2));
    b[0] = hn::Add(hn::Add(row.b_up, middle_b), hn::LoadU(d, last_b_[0] + i2));
    b[1] = hn::Add(hn::Add(row.b_down, middle_b), hn::LoadU(d, last_b_[1] + i2));
  }

 private:
  static constexpr size_t kSize = kSplits + kLanes;

  const PrefixSumsIQ1S& sums_;
  // By second split, and then a vector of none: X2 and W2, (X32 - X2) q2 and (W32 - W2) q2 q2 with
  // levels up and down.
  float x_[kSize], w_[kSize], last_a_[2][kSize], last_b_[2][kSize];
};

struct LanesIQ1S : LanesIQ1 {
  static HWY_NOINLINE IQ1Split Search(const PrefixSumsIQ1S& sums) {
    return SearchSplitsLanes(CandidatesIQ1S(sums), sums.w[BlockIQ1S::kSubValues]);
  }
};

void EncodeIQ1S(const float* HWY_RESTRICT x, const float* HWY_RESTRICT importance, size_t rows,
                size_t cols, std::byte* HWY_RESTRICT out) {
  constexpr size_t kValues = BlockIQ1S::kValues;
  const IqGrid& grid = IQ1Grid();
  const auto batch = [&grid](const float* batch_x, const float* weights, BlockIQ1S* blocks) {
    for (size_t b = 0; b < kLanes; ++b) {
      SearchBlockIQ1S<LanesIQ1S>(grid, batch_x + b * kValues, weights + b * kValues, blocks[b]);
    }
  };
  EncodeWeighedBatches<BlockIQ1S, EncodeBlockIQ1SWithGrid>(x, importance, rows, cols, out, batch);
}

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantized::kernels {

HWY_EXPORT(EncodeIQ1S);

void EncodeIQ1SSimd(const float* x, const float* importance, size_t rows, size_t cols,
                    std::byte* out) {
  RequireImportance(importance);
  HWY_DYNAMIC_DISPATCH(EncodeIQ1S)(x, importance, rows, cols, out);
}

}  // namespace quantized::kernels
#endif
