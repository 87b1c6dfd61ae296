// The search of kernels/iq_grids/grid_search.h for grids of OctalCube, with one sub-block per lane:
// candidates, digits and sums. Neighbours are searched for one group after the other, eight of them
// at a time, and for all candidates that give the group the same digits: mostly six or seven.

#if defined(QUANTIZED_KERNELS_IQ_GRIDS_OCTAL_SEARCH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef QUANTIZED_KERNELS_IQ_GRIDS_OCTAL_SEARCH_INL_H_
#undef QUANTIZED_KERNELS_IQ_GRIDS_OCTAL_SEARCH_INL_H_
#else
#define QUANTIZED_KERNELS_IQ_GRIDS_OCTAL_SEARCH_INL_H_
#endif

#include <cfloat>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "kernels/iq_grids/grid_block.h"
#include "kernels/iq_grids/grid_search.h"
#include "kernels/iq_grids/octal_lists.h"
#include "kernels/lanes/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

// The tables of one type.
struct GridTables {
  const IqGrid& grid;
  const OctalLists& lists;
};

// Where the sub-blocks of the lanes are: kSubValues values each, so small that no distance
// overflows.
struct GridLanes {
  const float* x[kLanes];
  const float* weights[kLanes];
  const float* roots[kLanes];
};

// Digits of groups are kept in the order of their numbers: group g of lane j has the number
// g * kLanes + j. This bit says that digits on the grid were not so at first.
inline constexpr int32_t kMoved = 1 << (OctalCube::kBits * OctalCube::kDigits);

// Values of the groups of kLanes sub-blocks, by number.
template <size_t kGroups>
struct GroupValues {
  static constexpr size_t kCount = kGroups * kLanes, kDigits = OctalCube::kDigits;
  HWY_ALIGN float x[kCount * kDigits], roots[kCount * kDigits];

  explicit GroupValues(const GridLanes& lanes) {
    for (size_t n = 0; n < kCount; ++n) {
      const size_t j = n % kLanes, begin = n / kLanes * kDigits;
      std::memcpy(x + n * kDigits, lanes.x[j] + begin, kDigits * sizeof(float));
      std::memcpy(roots + n * kDigits, lanes.roots[j] + begin, kDigits * sizeof(float));
    }
  }
};

#if HWY_CAP_GE256

using Eight = hn::CappedTag<float, OctalLists::kChunk>;
using EightInts = hn::Rebind<int32_t, Eight>;
using EightVec = hn::Vec<Eight>;

// Finds the nearest of the neighbours of one group of values for many scales, without their
// distances. A distance D(s) = sum r (s q - x)^2 is s (a s + b) + c with a = sum r q^2 and
// b = -2 sum r x q, where c and the factor s are the same for all neighbours: the least distance is
// where the line a s + b is lowest. To find the same neighbour as the plain form, which compares
// rounded distances, the lowest line must lead by more than all roundings can amount to.
//
// How much that is: let u = 2^-24 be a rounding, B the largest 15 s + |x| and W the sum of the
// roots r. An f32 distance is within 9.1 u B^2 W of the exact one: q s - x within 2 u B, its square
// times r within 2 (2 u) + 2 u, and the sum within 3 u more. s (a s + b) in f32 is within 9 u B^2 W
// of the exact one: a and b within 5 u, and |a s^2| <= B^2 W, |b s| <= B^2 W / 2. Twice both and
// 2 u B^2 W for comparing are less than 39 u B^2 W; SafeLead takes 64. What underflows is less than
// 2^-100.
class NeighbourLines {
 public:
  // `x`, `roots`: of the group.
  HWY_INLINE NeighbourLines(const int16_t* HWY_RESTRICT points, size_t chunks,
                            const float* HWY_RESTRICT x, const float* HWY_RESTRICT roots)
      : chunks_(chunks) {
    const Eight d;
    HWY_ALIGN static constexpr float kLevels[] = {1, 3, 5, 7, 9, 11, 13, 15};
    const EightVec q = hn::Load(d, kLevels), q2 = hn::Mul(q, q);
    // What a coordinate adds, by digit.
    EightVec a[OctalCube::kDigits], b[OctalCube::kDigits];
    for (int i = 0; i < OctalCube::kDigits; ++i) {
      const EightVec root = hn::Set(d, roots[i]);
      a[i] = hn::Mul(root, q2);
      b[i] = hn::Mul(hn::Mul(hn::Mul(root, hn::Set(d, -2.0f)), hn::Set(d, x[i])), q);
    }
    for (size_t c = 0; c < chunks; ++c) {
      const auto packed = hn::PromoteTo(
          EightInts(), hn::Load(hn::Rebind<int16_t, Eight>(), points + OctalLists::kChunk * c));
      a_[c] = SumOfTerms(a, packed);
      // What only fills up lies far above all others.
      const EightVec far = hn::Set(d, FLT_MAX / 2);
      b_[c] = hn::IfNegativeThenElse(hn::BitCast(d, packed), far, SumOfTerms(b, packed));
    }
  }

  // The place in the list of the only line that is at `scale` at most `tolerance` above the lowest
  // one; -1 where there are several.
  HWY_INLINE int Lowest(float scale, float tolerance) const {
    const Eight d;
    const EightVec s = hn::Set(d, scale), t = hn::Set(d, tolerance);
    const EightVec first = hn::Add(hn::Mul(a_[0], s), b_[0]);
    if (chunks_ == 1) {
      const auto low = hn::Le(first, hn::Add(hn::MinOfLanes(d, first), t));
      if (HWY_UNLIKELY(hn::CountTrue(d, low) != 1)) return -1;
      return static_cast<int>(hn::FindKnownFirstTrue(d, low));
    }
    EightVec heights[OctalLists::kMaxChunks];
    EightVec lowest = heights[0] = first;
    for (size_t c = 1; c < chunks_; ++c) {
      heights[c] = hn::Add(hn::Mul(a_[c], s), b_[c]);
      lowest = hn::Min(lowest, heights[c]);
    }
    const EightVec limit = hn::Add(hn::MinOfLanes(d, lowest), t);
    // Of the lines that are low enough: how many, and the sum of their places.
    const EightInts di;
    auto place = hn::Iota(di, 0), places = hn::Zero(di);
    size_t count = 0;
    for (size_t c = 0; c < chunks_; ++c) {
      const auto low = hn::Le(heights[c], limit);
      count += hn::CountTrue(d, low);
      places = hn::Add(places, hn::IfThenElseZero(hn::RebindMask(di, low), place));
      place = hn::Add(place, hn::Set(di, OctalLists::kChunk));
    }
    if (HWY_UNLIKELY(count != 1)) return -1;
    return hn::GetLane(hn::SumOfLanes(di, places));
  }

 private:
  static HWY_INLINE EightVec SumOfTerms(const EightVec (&terms)[OctalCube::kDigits],
                                        hn::Vec<EightInts> packed) {
    EightVec sum = LookUp(terms[0], packed);
    sum = hn::Add(sum, LookUp(terms[1], hn::ShiftRight<3>(packed)));
    sum = hn::Add(sum, LookUp(terms[2], hn::ShiftRight<6>(packed)));
    return hn::Add(sum, LookUp(terms[3], hn::ShiftRight<9>(packed)));
  }
  // The term of the lowest digit in each lane of `packed`.
  static HWY_INLINE EightVec LookUp(EightVec terms, hn::Vec<EightInts> packed) {
    // The instruction looks at three bits only; Highway's debug builds want to see no others.
    if constexpr (HWY_IS_DEBUG_BUILD) packed = hn::And(packed, hn::Set(EightInts(), 7));
    return hn::TableLookupLanes(terms, hn::IndicesFromVec(Eight(), packed));
  }

  size_t chunks_;
  EightVec a_[OctalLists::kMaxChunks], b_[OctalLists::kMaxChunks];
};

// The lead that a line needs, times the scale. `largest`: the largest scale.
HWY_INLINE float SafeLead(const float* HWY_RESTRICT x, const float* HWY_RESTRICT roots,
                          float largest) {
  float magnitude = 0, sum = 0;
  for (int i = 0; i < OctalCube::kDigits; ++i) {
    magnitude = HWY_MAX(magnitude, std::fabs(x[i]));
    sum += roots[i];
  }
  const float bound = 15 * largest + magnitude;
  return 64 * 0x1p-24f * (bound * bound * sum) + 0x1p-100f;
}

#endif  // HWY_CAP_GE256

// The digits on the grid for a group whose digits are not, as in the plain form.
HWY_INLINE int32_t NearestDigits(const IqGrid& grid, uint32_t packed, const float* x,
                                 const float* roots, float scale) {
  const int point = NearestPoint<OctalCube>(grid, packed, x, roots, scale);
  HWY_DASSERT(point >= 0);  // no distance overflows
  return static_cast<int32_t>(grid.DigitsOf(static_cast<uint32_t>(point))) | kMoved;
}

// The candidates of kLanes sub-blocks: that of number k has the inverse scales at k * kLanes.
template <size_t kTries>
struct GridCandidates {
  HWY_ALIGN float inverses[kTries * kLanes], scales[kTries * kLanes];
};

// Puts digits of group n on the grid; those for candidate k are at digits[k * kCount]. They are the
// same for candidates first … end - 1.
template <size_t kTries, size_t kGroups>
HWY_INLINE void PlaceRun(const GridTables& tables, const GroupValues<kGroups>& values, size_t n,
                         const GridCandidates<kTries>& candidates, size_t first, size_t end,
                         int32_t* HWY_RESTRICT digits) {
  constexpr size_t kCount = GroupValues<kGroups>::kCount;
  const auto packed = static_cast<uint32_t>(digits[first * kCount]);
  const size_t chunks = tables.lists.chunks[packed];
  if (chunks == 0) return;
  const float *x = values.x + OctalCube::kDigits * n,
              *roots = values.roots + OctalCube::kDigits * n;
  const float* scales = candidates.scales + n % kLanes;
#if HWY_CAP_GE256
  const int16_t* points = tables.lists.PointsOf(packed);
  const NeighbourLines lines(points, chunks, x, roots);
  const float lead = SafeLead(x, roots, scales[first * kLanes]);
  for (size_t k = first; k < end; ++k) {
    const float inverse = candidates.inverses[k * kLanes + n % kLanes];
    const int place = lines.Lowest(scales[k * kLanes], lead * inverse);
    digits[k * kCount] = HWY_LIKELY(place >= 0)
                             ? points[place] | kMoved
                             : NearestDigits(tables.grid, packed, x, roots, scales[k * kLanes]);
  }
#else
  for (size_t k = first; k < end; ++k) {
    digits[k * kCount] = NearestDigits(tables.grid, packed, x, roots, scales[k * kLanes]);
  }
#endif
}

// Puts the digits of all groups on the grid: digits[k * kCount + n] those of group n for candidate
// k. Bit k of starts[n]: they differ from those of candidate k - 1. Scales descend.
template <size_t kTries, size_t kGroups>
HWY_INLINE void PlaceOnGrid(const GridTables& tables, const GroupValues<kGroups>& values,
                            const GridCandidates<kTries>& candidates,
                            const int32_t* HWY_RESTRICT starts, int32_t* HWY_RESTRICT digits) {
  for (size_t n = 0; n < values.kCount; ++n) {
    uint32_t left = static_cast<uint32_t>(starts[n]) & ~1u;
    for (size_t first = 0; first < kTries;) {
      const size_t end = left != 0 ? hwy::Num0BitsBelowLS1Bit_Nonzero32(left) : kTries;
      left &= left - 1;
      PlaceRun(tables, values, n, candidates, first, end, digits + n);
      first = end;
    }
  }
}

// Lane j: the digits, not yet on the grid, of one group of sub-block j. `runs`: its values, as
// LoadRunsFrom lays them out.
HWY_INLINE IntVec RoundToDigits(const float* HWY_RESTRICT runs, FloatVec inverse) {
  const IntLanes di;
  const auto digit = [&](int i) HWY_ATTR {
    const FloatVec v = hn::Mul(inverse, hn::Load(Lanes(), runs + i * kLanes));
    const IntVec l = NearestWrapped(hn::Mul(SetAll(0.5f), hn::Sub(v, SetAll(1.0f))));
    return hn::Min(hn::Max(l, hn::Zero(di)), hn::Set(di, OctalCube::kLevels - 1));
  };
  const IntVec low = hn::Or(digit(0), hn::ShiftLeft<3>(digit(1)));
  const IntVec high = hn::Or(digit(2), hn::ShiftLeft<3>(digit(3)));
  return hn::Or(low, hn::ShiftLeft<6>(high));
}

struct GridFits {
  FloatVec a, b;
};

// kernels::FitOf per lane. `wx`, `weights`: as LoadRunsFrom lays them out.
template <size_t kGroups>
HWY_INLINE GridFits FitLanes(const float* HWY_RESTRICT wx, const float* HWY_RESTRICT weights,
                             const int32_t* HWY_RESTRICT digits) {
  const Lanes d;
  const IntLanes di;
  GridFits fit = {hn::Zero(d), hn::Zero(d)};
  for (size_t g = 0; g < kGroups; ++g) {
    // Twice the digits, so that an odd level is a digit and its lowest bit set.
    IntVec twice = hn::ShiftLeft<1>(hn::Load(di, digits + g * kLanes));
    for (size_t i = 4 * g * kLanes; i < 4 * (g + 1) * kLanes; i += kLanes) {
      const IntVec level = hn::Or(hn::And(twice, hn::Set(di, 14)), hn::Set(di, 1));
      const FloatVec q = hn::ConvertTo(d, level);
      twice = hn::ShiftRight<3>(twice);
      fit.a = hn::Add(fit.a, hn::Mul(hn::Load(d, wx + i), q));
      fit.b = hn::Add(fit.b, hn::Mul(hn::Mul(hn::Load(d, weights + i), q), q));
    }
  }
  return fit;
}

// The digits of all groups for kTries candidates, as they are rounded; `starts` as PlaceOnGrid
// wants it.
template <size_t kTries, size_t kGroups>
HWY_INLINE void RoundCandidates(const float* HWY_RESTRICT x,
                                const GridCandidates<kTries>& candidates,
                                int32_t* HWY_RESTRICT starts, int32_t* HWY_RESTRICT digits) {
  static_assert(kTries <= 32);
  const IntLanes di;
  for (size_t g = 0; g < kGroups; ++g) {
    IntVec last = hn::Zero(di), changes = hn::Zero(di);
    for (size_t k = 0; k < kTries; ++k) {
      const FloatVec inverse = hn::Load(Lanes(), candidates.inverses + k * kLanes);
      const IntVec group = RoundToDigits(x + g * OctalCube::kDigits * kLanes, inverse);
      const IntVec bit = hn::Set(di, static_cast<int32_t>(1u << k));
      changes = hn::Or(changes, hn::IfThenElseZero(hn::Ne(group, last), bit));
      last = group;
      hn::Store(group, di, digits + (k * kGroups + g) * kLanes);
    }
    hn::Store(changes, di, starts + g * kLanes);
  }
}

// What the search of kLanes sub-blocks finds.
template <class Block>
struct GridLaneResult {
  static constexpr size_t kGroups = Block::kSubValues / OctalCube::kDigits;
  FloatVec scale;
  LaneMask empty;                              // scale and digits mean nothing
  HWY_ALIGN int32_t digits[kGroups * kLanes];  // of groups by number, with kMoved or not
};

// The last step: places groups again for the scale of the best candidate, and fits the scale.
template <class Block, size_t kGroups>
HWY_INLINE void RefitSubBlocks(const GridTables& tables, const GroupValues<kGroups>& values,
                               const float* HWY_RESTRICT x, const float* HWY_RESTRICT wx,
                               const float* HWY_RESTRICT weights, GridLaneResult<Block>& result) {
  constexpr size_t kCount = kGroups * kLanes;
  const Lanes d;
  const IntLanes di;
  const auto was_moved = [di](IntVec group)
                             HWY_ATTR { return hn::TestBit(group, hn::Set(di, kMoved)); };
  IntVec any = hn::Zero(di);
  for (size_t n = 0; n < kCount; n += kLanes) any = hn::Or(any, hn::Load(di, result.digits + n));
  const LaneMask again =
      hn::And(hn::RebindMask(d, was_moved(any)), hn::Gt(result.scale, hn::Zero(d)));
  GridCandidates<1> candidate;
  HWY_ALIGN int32_t starts[kCount], digits[kCount];
  const FloatVec new_scale = hn::IfThenElse(again, result.scale, SetAll(1.0f));
  hn::Store(new_scale, d, candidate.scales);
  hn::Store(hn::Div(SetAll(1.0f), new_scale), d, candidate.inverses);
  RoundCandidates<1, kGroups>(x, candidate, starts, digits);
  PlaceOnGrid(tables, values, candidate, starts, digits);
  for (size_t n = 0; n < kCount; n += kLanes) {
    const IntVec old = hn::Load(di, result.digits + n);
    auto replace = hn::RebindMask(di, again);
    if (Block::kRefit == Refit::kOffGrid) replace = hn::And(replace, was_moved(old));
    hn::Store(hn::IfThenElse(replace, hn::Load(di, digits + n), old), di, result.digits + n);
  }
  const GridFits fit = FitLanes<kGroups>(wx, weights, result.digits);
  const LaneMask fitted = hn::And(again, hn::Gt(fit.b, hn::Zero(d)));
  result.scale = hn::IfThenElse(fitted, hn::Div(fit.a, fit.b), result.scale);
}

// kernels::SearchSubBlock per lane.
template <class Block>
HWY_NOINLINE void SearchSubBlocks(const GridTables& tables, const GridLanes& lanes,
                                  GridLaneResult<Block>& result) {
  constexpr size_t kSubValues = Block::kSubValues, kRun = kSubValues * kLanes;
  constexpr size_t kGroups = GridLaneResult<Block>::kGroups, kCount = kGroups * kLanes;
  constexpr size_t kTries = 2 * Block::kCandidates + 1;
  constexpr float kTop = 2 * OctalCube::kLevels - 1;
  static_assert(!Block::kUnsignedStart && Block::kRefit != Refit::kAll);
  const Lanes d;
  const IntLanes di;
  HWY_ALIGN float x[kRun], wx[kRun], weights[kRun];
  LoadRunsFrom<kSubValues>([&](size_t j) { return lanes.x[j]; }, x);
  LoadRunsFrom<kSubValues>([&](size_t j) { return lanes.weights[j]; }, weights);
  const GroupValues<kGroups> values(lanes);
  FloatVec peak = hn::Load(d, x);
  for (size_t i = 0; i < kRun; i += kLanes) {
    const FloatVec xi = hn::Load(d, x + i);
    peak = hn::IfThenElse(hn::Gt(peak, xi), peak, xi);
    hn::Store(hn::Mul(hn::Load(d, weights + i), xi), d, wx + i);
  }
  result.empty = hn::Or(hn::Lt(peak, SetAll(Block::kSmallest)), hn::Eq(peak, hn::Zero(d)));
  peak = hn::IfThenElse(result.empty, SetAll(1.0f), peak);

  GridCandidates<kTries> candidates;
  HWY_ALIGN int32_t starts[kCount], digits[kTries * kCount];
  for (size_t k = 0; k < kTries; ++k) {
    const auto from_middle = static_cast<float>(static_cast<int>(k) - Block::kCandidates);
    const FloatVec inverse = hn::Div(SetAll(kTop + from_middle * Block::kStep), peak);
    hn::Store(inverse, d, candidates.inverses + k * kLanes);
    hn::Store(hn::Div(SetAll(1.0f), inverse), d, candidates.scales + k * kLanes);
  }
  RoundCandidates<kTries, kGroups>(x, candidates, starts, digits);
  PlaceOnGrid(tables, values, candidates, starts, digits);

  FloatVec best = hn::Zero(d);
  result.scale = hn::Div(peak, SetAll(kTop));
  const IntVec none = hn::Set(di, Block::kRefit == Refit::kAllIfAnyOffGrid ? kMoved : 0);
  for (size_t n = 0; n < kCount; n += kLanes) hn::Store(none, di, result.digits + n);
  for (size_t k = 0; k < kTries; ++k) {
    const int32_t* candidate = digits + k * kCount;
    const GridFits fit = FitLanes<kGroups>(wx, weights, candidate);
    const LaneMask accept =
        hn::And(hn::Gt(fit.b, hn::Zero(d)), hn::Gt(hn::Mul(fit.a, fit.a), hn::Mul(best, fit.b)));
    const FloatVec scale = hn::Div(fit.a, fit.b);
    result.scale = hn::IfThenElse(accept, scale, result.scale);
    best = hn::IfThenElse(accept, hn::Mul(scale, fit.a), best);
    for (size_t n = 0; n < kCount; n += kLanes) {
      const IntVec taken = hn::IfThenElse(hn::RebindMask(di, accept), hn::Load(di, candidate + n),
                                          hn::Load(di, result.digits + n));
      hn::Store(taken, di, result.digits + n);
    }
  }
  RefitSubBlocks(tables, values, x, wx, weights, result);
}

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#endif  // QUANTIZED_KERNELS_IQ_GRIDS_OCTAL_SEARCH_INL_H_
