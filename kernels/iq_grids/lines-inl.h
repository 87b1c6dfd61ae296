// The best code of a list (lane_lists.h) for many scales, without the distances.
//
// A distance D(s) = sum r (s q - x)^2, r the roots of the weights, is s (a s + b) + c with
// a = sum r q^2 and b = -2 sum r x q; c and the factor s are the same for all codes of the list. So
// the least distance is where the line a s + b is lowest, and a line is two products for all
// scales. To find the code that the plain form finds, which compares rounded distances, the lowest
// line has to lead by more than all roundings together. Where it does not, one must look at the
// distances.
//
// How much that is: let u = 2^-24 be a rounding, B the largest s q + |x| and W = sum r.
// A distance is within 13.1 u B^2 W of the exact one: s q - x within 2 u B, its square within
// 4 u B^2; two more products and seven more sums. s times the height of a line is within 15 u B^2
// W: a within 8 u and b within 9 u, one more product and one more sum, where |a s^2| <= B^2 W and
// |b s| <= B^2 W / 2. Twice both, for two codes, and 2 u B^2 W for comparing are less than
// 59 u B^2 W; LeadOf takes 64, and 2^-100 for whatever underflows.

#if defined(QUANTIZED_KERNELS_IQ_GRIDS_LINES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef QUANTIZED_KERNELS_IQ_GRIDS_LINES_INL_H_
#undef QUANTIZED_KERNELS_IQ_GRIDS_LINES_INL_H_
#else
#define QUANTIZED_KERNELS_IQ_GRIDS_LINES_INL_H_
#endif

#include <cfloat>
#include <cmath>
#include <cstdint>

#include "kernels/iq_grids/nearest-inl.h"
#include "kernels/lanes/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

// How far the lowest line has to be below the others, times the scale: for a group of values `x`
// with `roots` of weights and scales up to `scale`.
template <class Cube>
HWY_INLINE float LeadOf(const float* HWY_RESTRICT x, const float* HWY_RESTRICT roots, float scale) {
  float magnitude = 0, sum = 0;
  for (int i = 0; i < Cube::kDigits; ++i) {
    magnitude = HWY_MAX(magnitude, std::fabs(x[i]));
    sum += roots[i];
  }
  const float bound = static_cast<float>(2 * Cube::kLevels - 1) * scale + magnitude;
  return 64 * 0x1p-24f * (bound * bound * sum) + 0x1p-100f;
}

#if HWY_CAP_GE256

template <class Cube>
class Lines {
 public:
  // Of a list with at least one vector.
  HWY_INLINE Lines(const LaneLists::List& list, const float* HWY_RESTRICT x,
                   const float* HWY_RESTRICT roots)
      : list_(list) {
    const Eight d;
    const EightVec q = ScaledLevels<Cube>(1.0f), q2 = hn::Mul(q, q);
    EightVec a[kTermVectors], b[kTermVectors];
    for (int t = 0; t < kTermVectors; ++t) {
      const EightVec root = CoordinatesOf<Cube>(roots, t);
      a[t] = hn::Mul(root, q2);
      b[t] = hn::Mul(hn::Mul(hn::Mul(root, hn::Set(d, -2.0f)), CoordinatesOf<Cube>(x, t)), q);
    }
    const EightVec far = hn::Set(d, FLT_MAX / 2);  // above all others
    for (uint32_t v = 0; v < list.vectors; ++v) {
      const EightCodeVec codes = LoadCodes(list.codes + kListVector * v);
      a_[v] = SumOfTerms<Cube>(a, codes);
      const EightVec sum = SumOfTerms<Cube>(b, codes);
      b_[v] =
          hn::IfThenElse(hn::MaskFromVec(hn::BitCast(d, hn::BroadcastSignBit(codes))), far, sum);
    }
  }

  // The code of the only line that is at `scale` at most `lead` above the lowest one; kNone where
  // there are several.
  static constexpr uint32_t kNone = kFillsUp;
  HWY_INLINE uint32_t Lowest(float scale, float lead) const {
    const Eight d;
    const EightVec s = hn::Set(d, scale);
    EightVec lowest = hn::Add(hn::Mul(a_[0], s), b_[0]);
    if (list_.vectors == 1) {
      const auto low = LowLanes(lowest, lead);
      return hn::CountTrue(d, low) == 1 ? list_.codes[hn::FindKnownFirstTrue(d, low)] : kNone;
    }
    const EightCodes di;
    EightVec second = hn::Set(d, FLT_MAX);                 // the second lowest of each lane
    EightCodeVec place = hn::Iota(di, 0), places = place;  // of the lowest
    for (uint32_t v = 1; v < list_.vectors; ++v) {
      const EightVec height = hn::Add(hn::Mul(a_[v], s), b_[v]);
      place = hn::Add(place, hn::Set(di, kListVector));
      places = hn::IfThenElse(hn::RebindMask(di, hn::Lt(height, lowest)), place, places);
      second = hn::Min(second, hn::Max(height, lowest));
      lowest = hn::Min(height, lowest);
    }
    const auto low = LowLanes(lowest, lead);
    const auto low_second = hn::Le(second, Limit(lowest, lead));
    if (hn::CountTrue(d, low) != 1 || !hn::AllFalse(d, low_second)) return kNone;
    const EightCodeVec at = hn::IfThenElseZero(hn::RebindMask(di, low), places);
    return list_.codes[hn::GetLane(hn::SumOfLanes(di, at))];
  }

 private:
  static HWY_INLINE EightVec Limit(EightVec heights, float lead) {
    return hn::Add(hn::MinOfLanes(Eight(), heights), hn::Set(Eight(), lead));
  }
  static HWY_INLINE hn::Mask<Eight> LowLanes(EightVec heights, float lead) {
    return hn::Le(heights, Limit(heights, lead));
  }

  LaneLists::List list_;
  EightVec a_[LaneLists::kMaxVectors], b_[LaneLists::kMaxVectors];
};

#endif  // HWY_CAP_GE256

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#endif  // QUANTIZED_KERNELS_IQ_GRIDS_LINES_INL_H_
