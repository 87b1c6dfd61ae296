// The best code of a list (lane_lists.h): kernels::NearestPoint with one neighbour per lane.
//
// A distance is a sum of one term for each coordinate, in their order, and a term depends on
// nothing but the digit there. So the terms of all digits are computed once, with the plain form's
// operations, and each lane adds up those that its code names: the same sums, to the bit.
//
// Distances must be finite (the caller sees to it).

#if defined(QUANTIZED_KERNELS_IQ_GRIDS_NEAREST_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef QUANTIZED_KERNELS_IQ_GRIDS_NEAREST_INL_H_
#undef QUANTIZED_KERNELS_IQ_GRIDS_NEAREST_INL_H_
#else
#define QUANTIZED_KERNELS_IQ_GRIDS_NEAREST_INL_H_
#endif

#include <cstdint>
#include <cstring>

#include "kernels/iq_grids/lane_lists.h"
#include "kernels/lanes/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

// Index of coordinate i of a code: one of eight terms in vector TermVector(i).
template <class Cube>
constexpr int TermVector(int i) {
  return Cube::kLevels == 8 ? i : i / 2;
}
inline constexpr int kTermVectors = 4;

// What the eight indices of a code stand for: the levels 1, 3, 5 … of a coordinate.
template <class Cube>
constexpr float LevelOfIndex(int index) {
  return static_cast<float>(2 * (Cube::kLevels == 8 ? index : index / 2) + 1);
}

#if HWY_CAP_GE256

using Eight = hn::CappedTag<float, kListVector>;
using EightCodes = hn::RebindToSigned<Eight>;
using EightVec = hn::Vec<Eight>;
using EightCodeVec = hn::Vec<EightCodes>;

// scale * level for each index.
template <class Cube>
HWY_INLINE EightVec ScaledLevels(float scale) {
  HWY_ALIGN static constexpr float kLevels[kListVector] = {
      LevelOfIndex<Cube>(0), LevelOfIndex<Cube>(1), LevelOfIndex<Cube>(2), LevelOfIndex<Cube>(3),
      LevelOfIndex<Cube>(4), LevelOfIndex<Cube>(5), LevelOfIndex<Cube>(6), LevelOfIndex<Cube>(7)};
  return hn::Mul(hn::Set(Eight(), scale), hn::Load(Eight(), kLevels));
}

// The value of the coordinate of each index of vector t: all the same, or two in turn.
template <class Cube>
HWY_INLINE EightVec CoordinatesOf(const float* HWY_RESTRICT values, int t) {
  if constexpr (Cube::kLevels == 8) {
    return hn::Set(Eight(), values[t]);
  } else {
    double pair;
    std::memcpy(&pair, values + 2 * t, sizeof(pair));
    return hn::BitCast(Eight(), hn::Set(hn::Repartition<double, Eight>(), pair));
  }
}

// The lanes of `table` that the low three bits of `index` name.
HWY_INLINE EightVec LookUp(EightVec table, EightCodeVec index) {
  // The instruction looks at three bits only; Highway's debug builds want to see no others.
  if constexpr (HWY_IS_DEBUG_BUILD) index = hn::And(index, hn::Set(EightCodes(), 7));
  return hn::TableLookupLanes(table, hn::IndicesFromVec(Eight(), index));
}

HWY_INLINE EightCodeVec LoadCodes(const uint32_t* HWY_RESTRICT codes) {
  return hn::LoadU(EightCodes(), reinterpret_cast<const int32_t*>(codes));
}

// The sums, from the first coordinate on, of the terms that each code names.
template <class Cube>
HWY_INLINE EightVec SumOfTerms(const EightVec (&terms)[kTermVectors], EightCodeVec code) {
  EightVec sum = LookUp(terms[0], code);
  sum = hn::Add(sum, LookUp(terms[TermVector<Cube>(1)], hn::ShiftRight<kCodeBits>(code)));
  sum = hn::Add(sum, LookUp(terms[TermVector<Cube>(2)], hn::ShiftRight<2 * kCodeBits>(code)));
  sum = hn::Add(sum, LookUp(terms[TermVector<Cube>(3)], hn::ShiftRight<3 * kCodeBits>(code)));
  if constexpr (Cube::kDigits == 8) {
    sum = hn::Add(sum, LookUp(terms[TermVector<Cube>(4)], hn::ShiftRight<4 * kCodeBits>(code)));
    sum = hn::Add(sum, LookUp(terms[TermVector<Cube>(5)], hn::ShiftRight<5 * kCodeBits>(code)));
    sum = hn::Add(sum, LookUp(terms[TermVector<Cube>(6)], hn::ShiftRight<6 * kCodeBits>(code)));
    sum = hn::Add(sum, LookUp(terms[TermVector<Cube>(7)], hn::ShiftRight<7 * kCodeBits>(code)));
  }
  return sum;
}

template <class Cube>
class Neighbourhood {
 public:
  // Around the group of values `x` with `roots` of weights. `levels`: ScaledLevels.
  HWY_INLINE Neighbourhood(EightVec levels, const float* HWY_RESTRICT x,
                           const float* HWY_RESTRICT roots) {
    for (int t = 0; t < kTermVectors; ++t) {
      const EightVec difference = hn::Sub(levels, CoordinatesOf<Cube>(x, t));
      terms_[t] = hn::Mul(hn::Mul(CoordinatesOf<Cube>(roots, t), difference), difference);
    }
  }

  // The first code of least distance in a list of one vector.
  HWY_INLINE uint32_t NearestOfOne(const uint32_t* HWY_RESTRICT codes) const {
    const Eight d;
    const EightVec distances = Distances(codes);
    return codes[hn::FindFirstTrue(d, hn::Eq(distances, hn::MinOfLanes(d, distances)))];
  }

  // In a list of any vectors, at least one.
  HWY_INLINE uint32_t Nearest(const LaneLists::List& list) const {
    const Eight d;
    const EightCodes di;
    EightVec best = Distances(list.codes);
    EightCodeVec vector = hn::Zero(di);  // the one that each lane's best is from
    for (uint32_t v = 1; v < list.vectors; ++v) {
      const EightVec distances = Distances(list.codes + kListVector * v);
      const auto better = hn::VecFromMask(di, hn::RebindMask(di, hn::Lt(distances, best)));
      best = hn::Min(distances, best);
      vector = hn::Max(vector, hn::And(better, hn::Set(di, static_cast<int32_t>(v))));
    }
    // The first place of those in the lanes with the least distance.
    const EightCodeVec places = hn::Add(hn::ShiftLeft<3>(vector), hn::Iota(di, 0));
    const auto least = hn::RebindMask(di, hn::Eq(best, hn::MinOfLanes(d, best)));
    const EightCodeVec last = hn::Set(di, INT32_MAX);
    return list.codes[hn::GetLane(hn::MinOfLanes(di, hn::IfThenElse(least, places, last)))];
  }

 private:
  HWY_INLINE EightVec Distances(const uint32_t* HWY_RESTRICT codes) const {
    return SumOfTerms<Cube>(terms_, LoadCodes(codes));
  }

  EightVec terms_[kTermVectors];
};

#else  // vectors of less than eight lanes: the same sums, one after the other

struct EightVec {
  float lane[kListVector];
};

template <class Cube>
HWY_INLINE EightVec ScaledLevels(float scale) {
  EightVec levels;
  for (int i = 0; i < kListVector; ++i) levels.lane[i] = scale * LevelOfIndex<Cube>(i);
  return levels;
}

template <class Cube>
class Neighbourhood {
 public:
  HWY_INLINE Neighbourhood(const EightVec& levels, const float* HWY_RESTRICT x,
                           const float* HWY_RESTRICT roots) {
    for (int t = 0; t < kTermVectors; ++t) {
      for (int i = 0; i < kListVector; ++i) {
        const int at = Cube::kLevels == 8 ? t : 2 * t + i % 2;
        const float difference = levels.lane[i] - x[at];
        terms_[t][i] = roots[at] * difference * difference;
      }
    }
  }

  HWY_INLINE uint32_t NearestOfOne(const uint32_t* HWY_RESTRICT codes) const {
    return Nearest({codes, 1});
  }

  HWY_INLINE uint32_t Nearest(const LaneLists::List& list) const {
    uint32_t nearest = list.codes[0];
    float best = Distance(nearest);
    for (uint32_t n = 1; n < kListVector * list.vectors; ++n) {
      const float distance = Distance(list.codes[n]);
      if (distance < best) {
        best = distance;
        nearest = list.codes[n];
      }
    }
    return nearest;
  }

 private:
  HWY_INLINE float Distance(uint32_t code) const {
    float sum = terms_[0][code & 7];
    for (int i = 1; i < Cube::kDigits; ++i) {
      sum += terms_[TermVector<Cube>(i)][code >> (kCodeBits * i) & 7];
    }
    return sum;
  }

  float terms_[kTermVectors][kListVector];
};

#endif  // HWY_CAP_GE256

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#endif  // QUANTIZED_KERNELS_IQ_GRIDS_NEAREST_INL_H_
