// The search of the IQ2 and IQ3 types (grid_search.h) with one sub-block per lane. Only the best
// neighbour of a group off the grid is sought for one group at a time: for all candidates that
// round it to the same digits by lines (lines-inl.h), where these do not tell by distances
// (nearest-inl.h).

#if defined(QUANTIZED_KERNELS_IQ_GRIDS_GRID_SEARCH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef QUANTIZED_KERNELS_IQ_GRIDS_GRID_SEARCH_INL_H_
#undef QUANTIZED_KERNELS_IQ_GRIDS_GRID_SEARCH_INL_H_
#else
#define QUANTIZED_KERNELS_IQ_GRIDS_GRID_SEARCH_INL_H_
#endif

#include "kernels/iq_grids/grid_search.h"
#include "kernels/iq_grids/lines-inl.h"
#include "kernels/iq_grids/nearest-inl.h"
#include "kernels/lanes/lanes-inl.h"
#include "kernels/search/unsigned-inl.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

template <class Block>
inline constexpr size_t kGridGroups = GridBlock<Block>::kGroupsOfSub;

// The values of kLanes sub-blocks.
template <class Block>
struct GridLanes {
  // In the order of the values, for each lane.
  const float* values[kLanes];
  const float* roots[kLanes];
  // Value i of lane j at [i * kLanes + j].
  HWY_ALIGN float x[Block::kSubValues * kLanes];
  HWY_ALIGN float weights[Block::kSubValues * kLanes];
  HWY_ALIGN float products[Block::kSubValues * kLanes];  // weight * x
};

// Where a candidate puts the groups: group g of lane j at [g * kLanes + j].
template <class Block>
struct GridTrial {
  HWY_ALIGN int32_t digits[kGridGroups<Block> * kLanes];  // before the grid is asked
  HWY_ALIGN int32_t codes[kGridGroups<Block> * kLanes];   // on the grid
};

// RoundToDigits of every group.
template <class Block>
HWY_INLINE void RoundToDigits(const GridLanes<Block>& lanes, FloatVec inverse,
                              GridTrial<Block>& trial) {
  using Cube = typename Block::Cube;
  const IntLanes di;
  // Nearest(v / 2) without halving: twice the shift rounds v to even integers, and leaves the same
  // bits. A digit stays in the low bits of kZero + digit until a group is complete.
  constexpr int32_t kZero = 0x00400000;
  constexpr uint32_t kZeros = [] {
    uint32_t zeros = 0;
    for (int i = 0; i < Cube::kDigits; ++i) zeros = (zeros << Cube::kBits) + kZero;
    return zeros;
  }();
  const FloatVec shift = SetAll(2 * kRoundingShift), one = SetAll(1.0f);
  for (size_t g = 0; g < kGridGroups<Block>; ++g) {
    IntVec digits = hn::Zero(di);
    for (size_t i = Cube::kDigits; i-- > 0;) {
      const FloatVec x = hn::Load(Lanes(), lanes.x + (Cube::kDigits * g + i) * kLanes);
      const FloatVec sum = hn::Add(hn::Sub(hn::Mul(inverse, x), one), shift);
      const IntVec wrapped = hn::And(hn::BitCast(di, sum), hn::Set(di, 0x007FFFFF));
      const IntVec clamped =
          hn::Min(hn::Max(wrapped, hn::Set(di, kZero)), hn::Set(di, kZero + Cube::kLevels - 1));
      digits = hn::Add(hn::ShiftLeft<Cube::kBits>(digits), clamped);
    }
    digits = hn::Sub(digits, hn::Set(di, static_cast<int32_t>(kZeros)));
    hn::Store(digits, di, trial.digits + g * kLanes);
  }
}

// Places the groups of all lanes. Whether a group is on the grid, and how many neighbours it has,
// is as good as random: groups are sorted by that first, without branches.
template <class Block>
HWY_INLINE void PlaceGroups(const GridLanes<Block>& lanes, const LaneLists& lists, FloatVec inverse,
                            FloatVec scale, GridTrial<Block>& trial) {
  using Cube = typename Block::Cube;
  constexpr size_t kAll = kGridGroups<Block> * kLanes;
  RoundToDigits(lanes, inverse, trial);
  uint16_t one_vector[kAll], more_vectors[kAll];
  size_t ones = 0, mores = 0;
  for (size_t at = 0; at < kAll; ++at) {
    const LaneLists::List list = lists.of(static_cast<uint32_t>(trial.digits[at]));
    trial.codes[at] = static_cast<int32_t>(list.codes[0]);
    one_vector[ones] = more_vectors[mores] = static_cast<uint16_t>(at);
    ones += list.vectors == 1 ? 1 : 0;
    mores += list.vectors > 1 ? 1 : 0;
  }
  HWY_ALIGN float scales[kLanes];
  hn::Store(scale, Lanes(), scales);
  const auto around = [&](size_t at) HWY_ATTR {
    const size_t lane = at % kLanes, first = at / kLanes * Cube::kDigits;
    return Neighbourhood<Cube>(ScaledLevels<Cube>(scales[lane]), lanes.values[lane] + first,
                               lanes.roots[lane] + first);
  };
  for (size_t n = 0; n < ones; ++n) {
    const size_t at = one_vector[n];
    const auto list = lists.of(static_cast<uint32_t>(trial.digits[at]));
    trial.codes[at] = static_cast<int32_t>(around(at).NearestOfOne(list.codes));
  }
  for (size_t n = 0; n < mores; ++n) {
    const size_t at = more_vectors[n];
    const auto list = lists.of(static_cast<uint32_t>(trial.digits[at]));
    trial.codes[at] = static_cast<int32_t>(around(at).Nearest(list));
  }
}

// The level that the low bits of each code stand for.
template <class Cube>
HWY_INLINE FloatVec LevelsOf(IntVec codes) {
#if HWY_CAP_GE256
  if constexpr (kLanes == kListVector) return LookUp(ScaledLevels<Cube>(1.0f), codes);
#endif
  const IntLanes di;
  // 2 digit + 1, whether the index is the digit or twice the digit.
  const IntVec index = hn::And(codes, hn::Set(di, 7));
  const IntVec twice = Cube::kLevels == 8 ? hn::Add(index, index) : hn::And(index, hn::Set(di, 6));
  return hn::ConvertTo(Lanes(), hn::Add(twice, hn::Set(di, 1)));
}

struct GridSums {
  FloatVec a, b;
};

// FitOf for kTrials trials: as many independent pairs of sums, to keep the adders busy.
template <class Block, size_t kTrials>
HWY_INLINE void FitTrials(const GridLanes<Block>& lanes, const GridTrial<Block>* trials,
                          GridSums* sums) {
  using Cube = typename Block::Cube;
  const Lanes d;
  for (size_t t = 0; t < kTrials; ++t) sums[t] = {hn::Zero(d), hn::Zero(d)};
  for (size_t g = 0; g < kGridGroups<Block>; ++g) {
    IntVec codes[kTrials];
    for (size_t t = 0; t < kTrials; ++t) {
      codes[t] = hn::Load(IntLanes(), trials[t].codes + g * kLanes);
    }
    for (size_t i = 0; i < Cube::kDigits; ++i) {
      const size_t at = (Cube::kDigits * g + i) * kLanes;
      const FloatVec product = hn::Load(d, lanes.products + at);
      const FloatVec weight = hn::Load(d, lanes.weights + at);
      for (size_t t = 0; t < kTrials; ++t) {
        const FloatVec q = LevelsOf<Cube>(codes[t]);
        codes[t] = hn::ShiftRight<kCodeBits>(codes[t]);
        sums[t].a = hn::Add(sums[t].a, hn::Mul(product, q));
        sums[t].b = hn::Add(sums[t].b, hn::Mul(hn::Mul(weight, q), q));
      }
    }
  }
}

// What the search keeps for each lane.
template <class Block>
struct GridBest {
  FloatVec peak, scale, score;
  LaneMask active;  // not empty
  GridTrial<Block> trial;
  LaneMask taken;  // `trial` is a candidate's
};

// StartOf every lane. Empty ones get a harmless peak.
template <class Block>
HWY_INLINE void StartLanes(const GridLanes<Block>& lanes, GridBest<Block>& best) {
  using Cube = typename Block::Cube;
  const Lanes d;
  if constexpr (Block::kUnsignedStart) {
    uint8_t codes[Block::kSubValues * kLanes];
    best.scale =
        SearchUnsigned<Block::kSubValues, Cube::kLevels + 1>(lanes.x, lanes.weights, codes);
    best.peak = hn::Mul(best.scale, SetAll(Cube::kLevels));
    best.active = hn::Gt(best.peak, hn::Zero(d));
  } else {
    best.peak = hn::Load(d, lanes.x);
    for (size_t i = kLanes; i < Block::kSubValues * kLanes; i += kLanes) {
      best.peak = hn::Max(best.peak, hn::Load(d, lanes.x + i));
    }
    best.scale = hn::Div(best.peak, SetAll(2 * Cube::kLevels - 1));
    best.active = hn::And(hn::Not(hn::Lt(best.peak, SetAll(Block::kSmallest))),
                          hn::Ne(best.peak, hn::Zero(d)));
  }
  best.peak = hn::IfThenElse(best.active, best.peak, SetAll(1.0f));
  best.score = hn::Zero(d);
  best.taken = hn::Ne(best.score, best.score);
  const IntLanes di;
  for (size_t g = 0; g < kGridGroups<Block>; ++g) {
    hn::Store(hn::Zero(di), di, best.trial.digits + g * kLanes);
    hn::Store(hn::Set(di, CodeOf<Cube>(0)), di, best.trial.codes + g * kLanes);
  }
}

template <class Block>
HWY_INLINE void TakeIfBetter(const GridTrial<Block>& trial, const GridSums& sums,
                             GridBest<Block>& best) {
  const Lanes d;
  const IntLanes di;
  const LaneMask better = hn::And(hn::Gt(sums.b, hn::Zero(d)),
                                  hn::Gt(hn::Mul(sums.a, sums.a), hn::Mul(best.score, sums.b)));
  if (hn::AllFalse(d, better)) return;
  const FloatVec scale = hn::Div(sums.a, sums.b);
  best.scale = hn::IfThenElse(better, scale, best.scale);
  best.score = hn::IfThenElse(better, hn::Mul(scale, sums.a), best.score);
  best.taken = hn::Or(best.taken, better);
  const auto take = hn::RebindMask(di, better);
  for (size_t at = 0; at < kGridGroups<Block> * kLanes; at += kLanes) {
    hn::Store(
        hn::IfThenElse(take, hn::Load(di, trial.digits + at), hn::Load(di, best.trial.digits + at)),
        di, best.trial.digits + at);
    hn::Store(
        hn::IfThenElse(take, hn::Load(di, trial.codes + at), hn::Load(di, best.trial.codes + at)),
        di, best.trial.codes + at);
  }
}

template <class Block>
inline constexpr int kGridTrials = 2 * Block::kCandidates + 1;

// The candidates of each lane: number k at [k * kLanes + lane]. Scales descend.
template <class Block>
struct GridCandidates {
  HWY_ALIGN float inverses[kGridTrials<Block> * kLanes];
  HWY_ALIGN float scales[kGridTrials<Block> * kLanes];
};

#if HWY_CAP_GE256

// Places a group that has the same digits in the trials first … end - 1.
template <class Block>
HWY_INLINE void PlaceRun(const GridLanes<Block>& lanes, const LaneLists& lists,
                         const GridCandidates<Block>& candidates, size_t at, int first, int end,
                         GridTrial<Block>* trials) {
  using Cube = typename Block::Cube;
  const auto list = lists.of(static_cast<uint32_t>(trials[first].digits[at]));
  if (list.vectors == 0) {
    for (int k = first; k < end; ++k) trials[k].codes[at] = static_cast<int32_t>(list.codes[0]);
    return;
  }
  const size_t lane = at % kLanes, begin = at / kLanes * Cube::kDigits;
  const float *x = lanes.values[lane] + begin, *roots = lanes.roots[lane] + begin;
  const float *scales = candidates.scales + lane, *inverses = candidates.inverses + lane;
  const Lines<Cube> lines(list, x, roots);
  const float lead = LeadOf<Cube>(x, roots, scales[first * kLanes]);
  for (int k = first; k < end; ++k) {
    const float scale = scales[k * kLanes];
    uint32_t code = lines.Lowest(scale, lead * inverses[k * kLanes]);
    if (HWY_UNLIKELY(code == Lines<Cube>::kNone)) {
      code = Neighbourhood<Cube>(ScaledLevels<Cube>(scale), x, roots).Nearest(list);
    }
    trials[k].codes[at] = static_cast<int32_t>(code);
  }
}

// Places the groups of all trials. A group's digits change little from one candidate to the next.
template <class Block>
HWY_INLINE void PlaceTrials(const GridLanes<Block>& lanes, const LaneLists& lists,
                            const GridCandidates<Block>& candidates, GridTrial<Block>* trials) {
  constexpr int kTrials = kGridTrials<Block>;
  static_assert(kTrials <= 32);
  const IntLanes di;
  for (int k = 0; k < kTrials; ++k) {
    RoundToDigits(lanes, hn::Load(Lanes(), candidates.inverses + k * kLanes), trials[k]);
  }
  for (size_t group = 0; group < kGridGroups<Block> * kLanes; group += kLanes) {
    // Bit k: the digits of trial k are not those of trial k - 1.
    IntVec changes = hn::Zero(di), last = hn::Load(di, trials[0].digits + group);
    for (int k = 1; k < kTrials; ++k) {
      const IntVec digits = hn::Load(di, trials[k].digits + group);
      const IntVec bit = hn::Set(di, static_cast<int32_t>(1U << k));
      changes = hn::Or(changes, hn::IfThenElseZero(hn::Ne(digits, last), bit));
      last = digits;
    }
    HWY_ALIGN int32_t starts[kLanes];
    hn::Store(changes, di, starts);
    for (size_t lane = 0; lane < kLanes; ++lane) {
      auto left = static_cast<uint32_t>(starts[lane]);
      for (int first = 0, end = 0; first < kTrials; first = end, left &= left - 1) {
        end = left != 0 ? static_cast<int>(hwy::Num0BitsBelowLS1Bit_Nonzero32(left)) : kTrials;
        PlaceRun(lanes, lists, candidates, group + lane, first, end, trials);
      }
    }
  }
}

#else

template <class Block>
HWY_INLINE void PlaceTrials(const GridLanes<Block>& lanes, const LaneLists& lists,
                            const GridCandidates<Block>& candidates, GridTrial<Block>* trials) {
  for (int k = 0; k < kGridTrials<Block>; ++k) {
    PlaceGroups(lanes, lists, hn::Load(Lanes(), candidates.inverses + k * kLanes),
                hn::Load(Lanes(), candidates.scales + k * kLanes), trials[k]);
  }
}

#endif  // HWY_CAP_GE256

template <class Block>
HWY_INLINE void TryCandidates(const GridLanes<Block>& lanes, const LaneLists& lists,
                              GridBest<Block>& best) {
  constexpr int kTrials = kGridTrials<Block>, kAtOnce = 2;
  const Lanes d;
  GridCandidates<Block> candidates;
  for (int k = 0; k < kTrials; ++k) {
    const float numerator = static_cast<float>(2 * Block::Cube::kLevels - 1) +
                            static_cast<float>(k - Block::kCandidates) * Block::kStep;
    const FloatVec inverse = hn::Div(SetAll(numerator), best.peak);
    hn::Store(inverse, d, candidates.inverses + k * kLanes);
    hn::Store(hn::Div(SetAll(1.0f), inverse), d, candidates.scales + k * kLanes);
  }
  GridTrial<Block> trials[kTrials];
  PlaceTrials(lanes, lists, candidates, trials);
  GridSums sums[kAtOnce];
  for (int k = 0; k < kTrials - 1; k += kAtOnce) {
    FitTrials<Block, kAtOnce>(lanes, trials + k, sums);
    for (int t = 0; t < kAtOnce; ++t) TakeIfBetter(trials[k + t], sums[t], best);
  }
  FitTrials<Block, 1>(lanes, trials + kTrials - 1, sums);  // their number is odd
  TakeIfBetter(trials[kTrials - 1], sums[0], best);
}

// Whether each group is to be placed again.
template <class Block>
HWY_INLINE void GroupsToRefit(const IqGrid& grid, const GridBest<Block>& best, bool* refit) {
  constexpr size_t kGroups = kGridGroups<Block>;
  const Lanes d;
  HWY_ALIGN float eligible[kLanes], taken[kLanes];
  const auto to_floats = [&](LaneMask mask, float* out) HWY_ATTR {
    hn::Store(hn::IfThenElseZero(mask, SetAll(1.0f)), d, out);
  };
  to_floats(hn::And(best.active, hn::Gt(best.scale, hn::Zero(d))), eligible);
  to_floats(best.taken, taken);
  for (size_t lane = 0; lane < kLanes; ++lane) {
    bool any = false;
    for (size_t at = lane; at < kGroups * kLanes; at += kLanes) {
      refit[at] = Block::kRefit == Refit::kAllIfAnyOffGrid && taken[lane] == 0
                      ? true
                      : grid.PointOf(static_cast<uint32_t>(best.trial.digits[at])) < 0;
      any = any || refit[at];
    }
    const bool all = Block::kRefit == Refit::kAll || (Block::kRefit != Refit::kOffGrid && any);
    for (size_t at = lane; at < kGroups * kLanes; at += kLanes) {
      refit[at] = eligible[lane] != 0 && (all || refit[at]);
    }
  }
}

template <class Block>
HWY_INLINE void RefitGroups(const GridLanes<Block>& lanes, const IqGrid& grid,
                            const LaneLists& lists, GridBest<Block>& best) {
  constexpr size_t kGroups = kGridGroups<Block>;
  const Lanes d;
  bool refit[kGroups * kLanes];
  GroupsToRefit(grid, best, refit);
  GridTrial<Block> trial;
  PlaceGroups(lanes, lists, hn::Div(SetAll(1.0f), best.scale), best.scale, trial);
  HWY_ALIGN float fitted[kLanes] = {};
  for (size_t at = 0; at < kGroups * kLanes; ++at) {
    if (!refit[at]) continue;
    best.trial.codes[at] = trial.codes[at];
    fitted[at % kLanes] = 1;
  }
  GridSums sums;
  FitTrials<Block, 1>(lanes, &best.trial, &sums);
  const LaneMask fit =
      hn::And(hn::Gt(hn::Load(d, fitted), hn::Zero(d)), hn::Gt(sums.b, hn::Zero(d)));
  best.scale = hn::IfThenElse(fit, hn::Div(sums.a, sums.b), best.scale);
}

// SearchGrid for kLanes sub-blocks: those from the `first` of `blocks` on. No distance may
// overflow.
template <class Block>
void SearchGridLanes(const IqGrid& grid, const LaneLists& lists, GridBlock<Block>* blocks,
                     size_t first) {
  constexpr size_t kSubBlocks = GridBlock<Block>::kSubBlocks, kSubValues = Block::kSubValues;
  constexpr size_t kGroups = kGridGroups<Block>;
  const Lanes d;
  GridLanes<Block> lanes;
  const float* weights[kLanes];
  for (size_t lane = 0; lane < kLanes; ++lane) {
    const GridBlock<Block>& block = blocks[(first + lane) / kSubBlocks];
    const size_t begin = (first + lane) % kSubBlocks * kSubValues;
    lanes.values[lane] = block.x + begin;
    lanes.roots[lane] = block.roots + begin;
    weights[lane] = block.weights + begin;
  }
  LoadRunsFrom<kSubValues>([&](size_t lane) { return lanes.values[lane]; }, lanes.x);
  LoadRunsFrom<kSubValues>([&](size_t lane) { return weights[lane]; }, lanes.weights);
  for (size_t i = 0; i < kSubValues * kLanes; i += kLanes) {
    hn::Store(hn::Mul(hn::Load(d, lanes.weights + i), hn::Load(d, lanes.x + i)), d,
              lanes.products + i);
  }

  GridBest<Block> best;
  StartLanes(lanes, best);
  TryCandidates(lanes, lists, best);
  RefitGroups(lanes, grid, lists, best);

  HWY_ALIGN float scales[kLanes], active[kLanes];
  hn::Store(best.scale, d, scales);
  hn::Store(hn::IfThenElseZero(best.active, SetAll(1.0f)), d, active);
  for (size_t lane = 0; lane < kLanes; ++lane) {
    GridBlock<Block>& block = blocks[(first + lane) / kSubBlocks];
    const size_t j = (first + lane) % kSubBlocks;
    if (active[lane] == 0) {
      MakeEmpty(static_cast<int>(j), block);
      continue;
    }
    block.empty[j] = false;
    block.scales[j] = scales[lane];
    for (size_t g = 0; g < kGroups; ++g) {
      const auto code = static_cast<uint32_t>(best.trial.codes[g * kLanes + lane]);
      block.points[j * kGroups + g] =
          static_cast<uint16_t>(grid.PointOf(DigitsOfCode<typename Block::Cube>(code)));
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#endif  // QUANTIZED_KERNELS_IQ_GRIDS_GRID_SEARCH_INL_H_
