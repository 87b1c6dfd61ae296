// The search of kernels/iq_grids/grid_search.h for grids of OctalCube, with one sub-block per lane:
// starts, candidates, digits and sums. The neighbours of a group are searched one group after the
// other, eight neighbours at a time: what a coordinate adds to the distance depends only on its
// digit, so it is computed once for each of the eight digits and looked up, and each neighbour's
// sum has the plain form's order.

#if defined(QUANTIZED_KERNELS_IQ_GRIDS_OCTAL_SEARCH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef QUANTIZED_KERNELS_IQ_GRIDS_OCTAL_SEARCH_INL_H_
#undef QUANTIZED_KERNELS_IQ_GRIDS_OCTAL_SEARCH_INL_H_
#else
#define QUANTIZED_KERNELS_IQ_GRIDS_OCTAL_SEARCH_INL_H_
#endif

#include <cfloat>
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

// Values of the groups of kLanes sub-blocks in the order in which their digits are kept: group g of
// lane j is number g * kLanes + j.
template <size_t kGroups>
struct GroupValues {
  static constexpr size_t kCount = kGroups * kLanes, kDigits = OctalCube::kDigits;
  HWY_ALIGN float x[kCount * kDigits], roots[kCount * kDigits];

  explicit GroupValues(const GridLanes& lanes) {
    for (size_t at = 0; at < kCount; ++at) {
      const size_t j = at % kLanes, begin = at / kLanes * kDigits;
      std::memcpy(x + at * kDigits, lanes.x[j] + begin, kDigits * sizeof(float));
      std::memcpy(roots + at * kDigits, lanes.roots[j] + begin, kDigits * sizeof(float));
    }
  }
};

#if HWY_CAP_GE256

using Eight = hn::CappedTag<float, OctalLists::kChunk>;
using EightInts = hn::Rebind<int32_t, Eight>;
using EightVec = hn::Vec<Eight>;

// The term of the lowest digit in each lane of `packed`.
HWY_INLINE EightVec LookUp(EightVec terms, hn::Vec<EightInts> packed) {
  // The instruction looks at three bits only; Highway's debug builds want to see no others.
  if constexpr (HWY_IS_DEBUG_BUILD) packed = hn::And(packed, hn::Set(EightInts(), 7));
  return hn::TableLookupLanes(terms, hn::IndicesFromVec(Eight(), packed));
}

// Distances from one group of values to points of the grid.
class OctalDistances {
 public:
  // `scaled`: scale * level, by digit. `x`, `roots`: of the group.
  HWY_INLINE OctalDistances(const float* HWY_RESTRICT scaled, const float* HWY_RESTRICT x,
                            const float* HWY_RESTRICT roots) {
    const Eight d;
    for (int i = 0; i < OctalCube::kDigits; ++i) {
      const EightVec difference = hn::Sub(hn::Load(d, scaled), hn::Set(d, x[i]));
      terms_[i] = hn::Mul(hn::Mul(hn::Set(d, roots[i]), difference), difference);
    }
  }
  // To eight points.
  HWY_INLINE EightVec To(const uint16_t* HWY_RESTRICT points) const {
    const auto packed = hn::PromoteTo(EightInts(), hn::Load(hn::Rebind<uint16_t, Eight>(), points));
    EightVec sum = LookUp(terms_[0], packed);
    sum = hn::Add(sum, LookUp(terms_[1], hn::ShiftRight<3>(packed)));
    sum = hn::Add(sum, LookUp(terms_[2], hn::ShiftRight<6>(packed)));
    return hn::Add(sum, LookUp(terms_[3], hn::ShiftRight<9>(packed)));
  }

  // The first point of least distance in one chunk, and in more of them.
  HWY_INLINE uint16_t NearestOf(const uint16_t* HWY_RESTRICT points) const {
    const Eight d;
    const EightVec distances = To(points);
    return points[hn::FindKnownFirstTrue(d, hn::Eq(distances, hn::MinOfLanes(d, distances)))];
  }
  HWY_INLINE uint16_t NearestOf(const uint16_t* HWY_RESTRICT points, size_t chunks) const {
    const Eight d;
    const EightInts di;
    // Per lane: the least distance so far and the place that it is from, the first of equals.
    EightVec least = To(points);
    auto place = hn::Iota(di, 0), least_place = place;
    for (size_t chunk = 1; chunk < chunks; ++chunk) {
      const EightVec distances = To(points + OctalLists::kChunk * chunk);
      place = hn::Add(place, hn::Set(di, OctalLists::kChunk));
      const auto less = hn::RebindMask(di, hn::Lt(distances, least));
      least_place = hn::IfThenElse(less, place, least_place);
      least = hn::Min(distances, least);
    }
    const auto is_least = hn::RebindMask(di, hn::Eq(least, hn::MinOfLanes(d, least)));
    const auto none = hn::Set(di, INT32_MAX);
    return points[hn::GetLane(hn::MinOfLanes(di, hn::IfThenElse(is_least, least_place, none)))];
  }

 private:
  EightVec terms_[OctalCube::kDigits];  // by digit
};

// Replaces the digits of groups by digits on the grid. Groups are sorted by the length of their
// lists first, so that no branch depends on it.
template <size_t kGroups>
HWY_INLINE void PlaceOnGrid(const GridTables& tables, const GroupValues<kGroups>& values,
                            FloatVec scale, int32_t* HWY_RESTRICT digits) {
  const Eight d;
  HWY_ALIGN static constexpr float kLevels[] = {1, 3, 5, 7, 9, 11, 13, 15};
  HWY_ALIGN float scales[kLanes], scaled[kLanes * OctalLists::kChunk];
  hn::Store(scale, Lanes(), scales);
  for (size_t j = 0; j < kLanes; ++j) {
    hn::Store(hn::Mul(hn::Set(d, scales[j]), hn::Load(d, kLevels)), d,
              scaled + OctalLists::kChunk * j);
  }
  uint8_t short_lists[values.kCount], long_lists[values.kCount];
  size_t shorts = 0, longs = 0;
  for (size_t at = 0; at < values.kCount; ++at) {
    const size_t chunks = tables.lists.chunks[digits[at]];
    short_lists[shorts] = static_cast<uint8_t>(at);
    shorts += chunks == 1;
    long_lists[longs] = static_cast<uint8_t>(at);
    longs += chunks > 1;
  }
  const auto distances_of = [&](size_t at) HWY_ATTR {
    return OctalDistances(scaled + OctalLists::kChunk * (at % kLanes),
                          values.x + OctalCube::kDigits * at,
                          values.roots + OctalCube::kDigits * at);
  };
  for (size_t s = 0; s < shorts; ++s) {
    const size_t at = short_lists[s];
    const uint16_t* points = tables.lists.PointsOf(static_cast<uint32_t>(digits[at]));
    digits[at] = distances_of(at).NearestOf(points);
  }
  for (size_t s = 0; s < longs; ++s) {
    const size_t at = long_lists[s];
    const size_t chunks = tables.lists.chunks[digits[at]];
    const uint16_t* points = tables.lists.PointsOf(static_cast<uint32_t>(digits[at]));
    digits[at] = distances_of(at).NearestOf(points, chunks);
  }
}

#else  // vectors of less than eight lanes: as in the plain form

template <size_t kGroups>
HWY_INLINE void PlaceOnGrid(const GridTables& tables, const GroupValues<kGroups>& values,
                            FloatVec scale, int32_t* HWY_RESTRICT digits) {
  HWY_ALIGN float scales[kLanes];
  hn::Store(scale, Lanes(), scales);
  for (size_t at = 0; at < values.kCount; ++at) {
    const auto packed = static_cast<uint32_t>(digits[at]);
    if (tables.grid.PointOf(packed) >= 0) continue;
    const int point =
        NearestPoint<OctalCube>(tables.grid, packed, values.x + OctalCube::kDigits * at,
                                values.roots + OctalCube::kDigits * at, scales[at % kLanes]);
    digits[at] = static_cast<int32_t>(tables.grid.DigitsOf(static_cast<uint32_t>(point)));
  }
}

#endif  // HWY_CAP_GE256

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

// What the search of kLanes sub-blocks finds.
template <class Block>
struct GridLaneResult {
  static constexpr size_t kGroups = Block::kSubValues / OctalCube::kDigits;
  FloatVec scale;
  LaneMask empty;                              // scale and digits are 0
  HWY_ALIGN int32_t digits[kGroups * kLanes];  // of group g of lane j at g * kLanes + j
};

// kernels::SearchSubBlock per lane.
template <class Block>
HWY_NOINLINE void SearchSubBlocks(const GridTables& tables, const GridLanes& lanes,
                                  GridLaneResult<Block>& result) {
  constexpr size_t kSubValues = Block::kSubValues, kRun = kSubValues * kLanes;
  constexpr size_t kGroups = GridLaneResult<Block>::kGroups, kStride = 4 * kLanes;
  static_assert(!Block::kUnsignedStart && Block::kRefit != Refit::kAll);
  constexpr float kTop = 2 * OctalCube::kLevels - 1;
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

  // `digits` on the grid; in `off_grid` all bits where they were not.
  HWY_ALIGN int32_t digits[kGroups * kLanes], off_grid[kGroups * kLanes];
  const auto place = [&](FloatVec inverse, FloatVec scale) HWY_ATTR {
    HWY_ALIGN int32_t rounded[kGroups * kLanes];
    for (size_t g = 0; g < kGroups; ++g) {
      const IntVec group = RoundToDigits(x + g * kStride, inverse);
      hn::Store(group, di, rounded + g * kLanes);
      hn::Store(group, di, digits + g * kLanes);
    }
    PlaceOnGrid(tables, values, scale, digits);
    for (size_t g = 0; g < kGroups * kLanes; g += kLanes) {
      const auto moved = hn::Ne(hn::Load(di, digits + g), hn::Load(di, rounded + g));
      hn::Store(hn::VecFromMask(di, moved), di, off_grid + g);
    }
  };

  FloatVec best = hn::Zero(d);
  result.scale = hn::Div(peak, SetAll(kTop));
  HWY_ALIGN int32_t best_off_grid[kGroups * kLanes];
  for (size_t g = 0; g < kGroups * kLanes; g += kLanes) {
    hn::Store(hn::Zero(di), di, result.digits + g);
    hn::Store(hn::Set(di, Block::kRefit == Refit::kAllIfAnyOffGrid ? -1 : 0), di,
              best_off_grid + g);
  }
  const auto take = [&](LaneMask taken, const int32_t* from, int32_t* to) HWY_ATTR {
    const auto mask = hn::RebindMask(di, taken);
    for (size_t g = 0; g < kGroups * kLanes; g += kLanes) {
      hn::Store(hn::IfThenElse(mask, hn::Load(di, from + g), hn::Load(di, to + g)), di, to + g);
    }
  };
  for (int k = -Block::kCandidates; k <= Block::kCandidates; ++k) {
    const FloatVec inverse = hn::Div(SetAll(kTop + static_cast<float>(k) * Block::kStep), peak);
    place(inverse, hn::Div(SetAll(1.0f), inverse));
    const GridFits fit = FitLanes<kGroups>(wx, weights, digits);
    const LaneMask accept =
        hn::And(hn::Gt(fit.b, hn::Zero(d)), hn::Gt(hn::Mul(fit.a, fit.a), hn::Mul(best, fit.b)));
    const FloatVec scale = hn::Div(fit.a, fit.b);
    result.scale = hn::IfThenElse(accept, scale, result.scale);
    best = hn::IfThenElse(accept, hn::Mul(scale, fit.a), best);
    take(accept, digits, result.digits);
    take(accept, off_grid, best_off_grid);
  }

  IntVec any = hn::Zero(di);
  for (size_t g = 0; g < kGroups * kLanes; g += kLanes) {
    any = hn::Or(any, hn::Load(di, best_off_grid + g));
  }
  const LaneMask again =
      hn::And(hn::RebindMask(d, hn::Ne(any, hn::Zero(di))), hn::Gt(result.scale, hn::Zero(d)));
  const FloatVec scale = hn::IfThenElse(again, result.scale, peak);
  place(hn::Div(SetAll(1.0f), scale), scale);
  for (size_t g = 0; g < kGroups * kLanes; g += kLanes) {
    auto moved = hn::RebindMask(di, again);
    if (Block::kRefit == Refit::kOffGrid) {
      moved = hn::And(moved, hn::MaskFromVec(hn::Load(di, best_off_grid + g)));
    }
    const IntVec old = hn::Load(di, result.digits + g);
    hn::Store(hn::IfThenElse(moved, hn::Load(di, digits + g), old), di, result.digits + g);
  }
  const GridFits fit = FitLanes<kGroups>(wx, weights, result.digits);
  const LaneMask fitted = hn::And(again, hn::Gt(fit.b, hn::Zero(d)));
  result.scale = hn::IfThenElse(fitted, hn::Div(fit.a, fit.b), result.scale);
  result.scale = hn::IfThenZeroElse(result.empty, result.scale);
}

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#endif  // QUANTIZED_KERNELS_IQ_GRIDS_OCTAL_SEARCH_INL_H_
