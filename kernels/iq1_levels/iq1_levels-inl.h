// The steps of the search of kernels/iq1_levels/iq1_levels.h with vectors inside one sub-block.
// Lanes are values (sorting), candidates (kernels/iq1_s, iq1_m) or grid points (neighbours): no sum
// crosses them.

#if defined(QUANTIZED_KERNELS_IQ1_LEVELS_IQ1_LEVELS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef QUANTIZED_KERNELS_IQ1_LEVELS_IQ1_LEVELS_INL_H_
#undef QUANTIZED_KERNELS_IQ1_LEVELS_IQ1_LEVELS_INL_H_
#else
#define QUANTIZED_KERNELS_IQ1_LEVELS_IQ1_LEVELS_INL_H_
#endif

#include <cstring>
#include <limits>

#include "kernels/iq1_levels/iq1_levels.h"
#include "kernels/lanes/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

// Adds 1 to lanes where the mask is set.
HWY_INLINE IntVec CountIf(LaneMask mask, IntVec count) {
  return hn::Sub(count, hn::VecFromMask(IntLanes(), hn::RebindMask(IntLanes(), mask)));
}

// kernels::SortIQ1. The place of a value is the number of values that are smaller, or equal and
// before it. NaN leaves places that no value takes; they hold 0.
template <size_t kValues>
HWY_INLINE void SortByRank(const float* HWY_RESTRICT x, uint8_t* HWY_RESTRICT order) {
  const Lanes d;
  const FloatVec lane = hn::Iota(d, 0);
  HWY_ALIGN int32_t rank[kValues];
  for (size_t i = 0; i < kValues; i += kLanes) {
    const FloatVec xi = hn::LoadU(d, x + i);
    IntVec count = hn::Zero(IntLanes());
    for (size_t j = 0; j < i; ++j) count = CountIf(hn::Le(SetAll(x[j]), xi), count);
    for (size_t j = 0; j < kLanes; ++j) {
      const FloatVec xj = SetAll(x[i + j]);
      const LaneMask after = hn::Gt(lane, SetAll(static_cast<float>(j)));
      count = CountIf(hn::Or(hn::Lt(xj, xi), hn::And(hn::Eq(xj, xi), after)), count);
    }
    for (size_t j = i + kLanes; j < kValues; ++j) count = CountIf(hn::Lt(SetAll(x[j]), xi), count);
    hn::Store(count, IntLanes(), rank + i);
  }
  std::memset(order, 0, kValues);
  for (size_t i = 0; i < kValues; ++i) order[rank[i]] = static_cast<uint8_t>(i);
}

template <size_t kValues>
HWY_INLINE bool AllMagnitudesBelow(float limit, const float* HWY_RESTRICT x) {
  const Lanes d;
  for (size_t i = 0; i < kValues; i += kLanes) {
    if (!hn::AllTrue(d, hn::Lt(hn::Abs(hn::LoadU(d, x + i)), SetAll(limit)))) return false;
  }
  return true;
}

// The candidates of a type: kSplits splits, and kShifts ways to shift the levels.
//   Row RowAt(int i1) const                                        what one first split needs
//   void At(const Row&, int i2, FloatVec (&a)[kShifts], FloatVec (&b)[kShifts]) const
// the sums A and B for the second splits i2, i2 + 1, …, one per lane; B is NaN beyond the last
// split.
//   static constexpr int kDown[kShifts]                            IQ1Split::down
template <class Candidates>
struct CandidateSums {
  FloatVec a[Candidates::kShifts], b[Candidates::kShifts];

  // The lanes where a way to shift may explain more than `score`: where B > 0, it does.
  HWY_INLINE LaneMask Better(float score) const {
    LaneMask any = BetterAt(0, SetAll(score));
    for (size_t k = 1; k < Candidates::kShifts; ++k) {
      any = hn::Or(any, BetterAt(k, SetAll(score)));
    }
    return any;
  }

 private:
  HWY_INLINE LaneMask BetterAt(size_t k, FloatVec score) const {
    return hn::Gt(hn::Mul(a[k], a[k]), hn::Mul(score, b[k]));
  }
};

// The search, begun with a score that some candidates are known to reach. The first one that
// reaches it must do so clearly: then the search from the beginning takes it, too, as everything
// before it was worse, and the two go on alike. `doubtful`: it did not.
struct ScreenedSplit : IQ1Split {
  float clear = -std::numeric_limits<float>::infinity();
  bool doubtful = false;
};

// Tries the candidates of a vector in order. Most vectors have none better than the best one so far
// and are done after one test. After a better one all later lanes are tested again: rounding can
// make its score less than the one that it beat.
template <class Candidates>
HWY_INLINE void TryLanes(const CandidateSums<Candidates>& sums, int i1, int i2,
                         ScreenedSplit& best) {
  const Lanes d;
  const LaneMask better = sums.Better(best.score);
  if (HWY_LIKELY(hn::AllFalse(d, better))) return;
  HWY_ALIGN float a[Candidates::kShifts][kLanes], b[Candidates::kShifts][kLanes];
  for (size_t k = 0; k < Candidates::kShifts; ++k) {
    hn::Store(sums.a[k], d, a[k]);
    hn::Store(sums.b[k], d, b[k]);
  }
  uint32_t bits = MaskBits(d, better);
  while (bits != 0) {
    const size_t lane = hwy::Num0BitsBelowLS1Bit_Nonzero32(bits);
    for (size_t k = 0; k < Candidates::kShifts; ++k) {
      const float square = a[k][lane] * a[k][lane];
      const bool first = !best.Found();
      best.Try(a[k][lane], b[k][lane], i1, i2 + static_cast<int>(lane), Candidates::kDown[k]);
      if (first && best.Found()) best.doubtful = !(square > best.clear * b[k][lane]);
    }
    bits = MaskBits(d, sums.Better(best.score)) >> lane >> 1 << lane << 1;
  }
}

template <class Candidates>
HWY_INLINE void TryRow(const Candidates& candidates, int i1, ScreenedSplit& best) {
  const auto row = candidates.RowAt(i1);
  for (int i2 = i1; i2 < Candidates::kSplits; i2 += static_cast<int>(kLanes)) {
    CandidateSums<Candidates> sums;
    candidates.At(row, i2, sums.a, sums.b);
    TryLanes(sums, i1, i2, best);
  }
}

// About the best scores of the candidates with first split `i1`, in some lanes.
template <class Candidates>
HWY_INLINE FloatVec GlimpseRow(const Candidates& candidates, int i1) {
  const Lanes d;
  FloatVec best = hn::Zero(d);
  const auto row = candidates.RowAt(i1);
  for (int i2 = i1; i2 < Candidates::kSplits; i2 += static_cast<int>(kLanes)) {
    CandidateSums<Candidates> sums;
    candidates.At(row, i2, sums.a, sums.b);
    for (size_t k = 0; k < Candidates::kShifts; ++k) {
      const FloatVec score =
          hn::Mul(hn::Mul(sums.a[k], sums.a[k]), hn::ApproximateReciprocal(sums.b[k]));
      best = hn::Max(best, hn::IfThenElseZero(hn::Gt(sums.b[k], hn::Zero(d)), score));
    }
  }
  return best;
}

// All candidates, in order. `weight`: the sum of all weights; B is between 1/64 and 81/64 of it.
//
// A glimpse at every second first split gives a score to begin with, and tells which of these
// splits need no second look. How good it is, and on which processor, shows in the time only.
template <class Candidates>
HWY_INLINE IQ1Split SearchSplitsLanes(const Candidates& candidates, float weight) {
  const Lanes d;
  FloatVec glimpses[(Candidates::kSplits + 1) / 2];
  FloatVec highest = hn::Zero(d);
  for (int i1 = 0; i1 < Candidates::kSplits; i1 += 2) {
    glimpses[i1 / 2] = GlimpseRow(candidates, i1);
    highest = hn::Max(highest, glimpses[i1 / 2]);
  }
  const float glimpse = hn::GetLane(hn::MaxOfLanes(d, highest));
  // The argument of ScreenedSplit is about relative errors: no number may be subnormal, or
  // overflow.
  const auto tame = [](float v) { return v > 1e-30f && v < 1e30f; };
  ScreenedSplit best;
  if (tame(glimpse) && tame(weight) && tame(glimpse * weight)) {
    // Reciprocals are good to 2^-11. A row this much below is also below the best one so far, which
    // never falls by more than its rounding.
    const FloatVec dull = SetAll(glimpse * (1 - 0x1p-8f));
    best.score = glimpse * (1 - 0x1p-10f);
    best.clear = best.score * (1 + 0x1p-16f);
    for (int i1 = 0; i1 < Candidates::kSplits; ++i1) {
      if (i1 % 2 == 0 && hn::AllFalse(d, hn::Gt(glimpses[i1 / 2], dull))) continue;
      TryRow(candidates, i1, best);
    }
    if (best.Found() && !best.doubtful) return best;
    best = ScreenedSplit();
  }
  for (int i1 = 0; i1 < Candidates::kSplits; ++i1) TryRow(candidates, i1, best);
  return best;
}

// kernels::NearestIQ1 with one neighbour per lane.
struct NearestIQ1Lanes {
  HWY_NOINLINE int operator()(const IqGrid& grid, uint32_t digits, const float* HWY_RESTRICT x,
                              const float* HWY_RESTRICT weights, float scale, bool down) const {
    const Lanes d;
    const IntLanes di;
    const IqNeighbours neighbours = grid.NeighboursOf(digits);
    HWY_ALIGN int32_t points[kMaxNeighbours];
    const int count = DigitsOf(grid, neighbours, points);
    // A value's part of the distance depends on its digit only.
    DigitTable parts[kIQ1Group];
    for (int j = 0; j < kIQ1Group; ++j) {
      float part[3];
      for (int digit = 0; digit < 3; ++digit) {
        const float difference = scale * IQ1Level(digit, down) - x[j];
        part[digit] = weights[j] * difference * difference;
      }
      parts[j].Set(part);
    }
    FloatVec least = SetAll(FLT_MAX);
    IntVec nearest = hn::Set(di, -1);
    for (int n = 0; n < count; n += static_cast<int>(kLanes)) {
      IntVec rest = hn::Load(di, points + n);
      FloatVec distance = hn::Zero(d);
      for (int j = 0; j < kIQ1Group; ++j) {
        distance = hn::Add(distance, parts[j].Of(hn::And(rest, hn::Set(di, 3))));
        rest = hn::ShiftRight<2>(rest);
      }
      const LaneMask nearer = hn::Lt(distance, least);
      least = hn::IfThenElse(nearer, distance, least);
      nearest = hn::IfThenElse(hn::RebindMask(di, nearer), hn::Iota(di, n), nearest);
    }
    return FirstOf(least, nearest, neighbours);
  }

 private:
  static constexpr int kMaxNeighbours = 512;

  // A float for each digit 0, 1, 2.
  struct DigitTable {
    HWY_ALIGN float values[kLanes < 4 ? 4 : kLanes];
    HWY_INLINE void Set(const float (&of_digit)[3]) {
      for (int digit = 0; digit < 3; ++digit) values[digit] = of_digit[digit];
    }
    HWY_INLINE FloatVec Of(IntVec digits) const {
#if HWY_TARGET == HWY_SCALAR
      return SetAll(values[hn::GetLane(digits)]);
#else
      const Lanes d;
      return hn::TableLookupLanes(hn::Load(d, values), hn::IndicesFromVec(d, digits));
#endif
    }
  };

  // Lists the digits of the neighbours and fills the last vector with the last one; returns how
  // many there are then.
  static HWY_INLINE int DigitsOf(const IqGrid& grid, const IqNeighbours& neighbours,
                                 int32_t* HWY_RESTRICT points) {
    HWY_ASSERT(neighbours.count <= kMaxNeighbours - static_cast<int>(kLanes));
    int count = 0;
    for (; count < neighbours.count; ++count) {
      points[count] = static_cast<int32_t>(grid.DigitsOf(neighbours.points[count]));
    }
    for (; count % static_cast<int>(kLanes) != 0; ++count) points[count] = points[count - 1];
    return count;
  }

  // The neighbour with the least distance, the first of equal ones; -1 if none.
  static HWY_INLINE int FirstOf(FloatVec least, IntVec nearest, const IqNeighbours& neighbours) {
    HWY_ALIGN float distances[kLanes];
    HWY_ALIGN int32_t places[kLanes];
    hn::Store(least, Lanes(), distances);
    hn::Store(nearest, IntLanes(), places);
    int first = -1;
    float distance = FLT_MAX;
    for (size_t lane = 0; lane < kLanes; ++lane) {
      if (places[lane] < 0) continue;
      if (distances[lane] < distance || (distances[lane] == distance && places[lane] < first)) {
        distance = distances[lane];
        first = places[lane];
      }
    }
    return first < 0 ? -1 : neighbours.points[first];
  }
};

// The steps of the search (kernels::PlainIQ1) with vectors; a type adds its Search. They are called
// from code for all instruction sets, so they are not inlined.
struct LanesIQ1 {
  template <int kValues>
  static HWY_NOINLINE bool AllBelow(float limit, const float* x) {
    return AllMagnitudesBelow<kValues>(limit, x);
  }
  template <int kValues>
  static HWY_NOINLINE void Sort(const float* x, uint8_t* order) {
    SortByRank<kValues>(x, order);
  }
  using Nearest = NearestIQ1Lanes;
};

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#endif  // QUANTIZED_KERNELS_IQ1_LEVELS_IQ1_LEVELS_INL_H_
