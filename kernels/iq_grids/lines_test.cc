// The best neighbour by lines and by distances against the plain form, once per instruction set.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/iq_grids/lines_test.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/iq_grids/lines-inl.h"
#include "kernels/iq_grids/nearest-inl.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

template <class Cube>
uint32_t ByDistances(const LaneLists& lists, uint32_t digits, const float* x, const float* roots,
                     float scale) {
  return Neighbourhood<Cube>(ScaledLevels<Cube>(scale), x, roots).Nearest(lists.of(digits));
}

// kFillsUp where the lines do not tell, or where there are none.
template <class Cube>
uint32_t ByLines(const LaneLists& lists, uint32_t digits, const float* x, const float* roots,
                 float scale) {
#if HWY_CAP_GE256
  const float lead = LeadOf<Cube>(x, roots, scale);
  return Lines<Cube>(lists.of(digits), x, roots).Lowest(scale, lead * (1 / scale));
#else
  (void)lists, (void)digits, (void)x, (void)roots, (void)scale;
  return kFillsUp;
#endif
}

uint32_t TernaryByDistances(const LaneLists& lists, uint32_t digits, const float* x,
                            const float* roots, float scale) {
  return ByDistances<TernaryCube>(lists, digits, x, roots, scale);
}
uint32_t TernaryByLines(const LaneLists& lists, uint32_t digits, const float* x, const float* roots,
                        float scale) {
  return ByLines<TernaryCube>(lists, digits, x, roots, scale);
}
uint32_t OctalByDistances(const LaneLists& lists, uint32_t digits, const float* x,
                          const float* roots, float scale) {
  return ByDistances<OctalCube>(lists, digits, x, roots, scale);
}
uint32_t OctalByLines(const LaneLists& lists, uint32_t digits, const float* x, const float* roots,
                      float scale) {
  return ByLines<OctalCube>(lists, digits, x, roots, scale);
}

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "kernels/iq_grids/grid_search.h"
#include "kernels/testing/each_target.h"

namespace quantized::kernels {
namespace {

HWY_EXPORT(TernaryByDistances);
HWY_EXPORT(TernaryByLines);
HWY_EXPORT(OctalByDistances);
HWY_EXPORT(OctalByLines);

template <class Cube>
uint32_t Find(bool by_lines, const LaneLists& lists, uint32_t digits, const float* x,
              const float* roots, float scale) {
  if constexpr (Cube::kLevels == 8) {
    return by_lines ? HWY_DYNAMIC_DISPATCH(OctalByLines)(lists, digits, x, roots, scale)
                    : HWY_DYNAMIC_DISPATCH(OctalByDistances)(lists, digits, x, roots, scale);
  } else {
    return by_lines ? HWY_DYNAMIC_DISPATCH(TernaryByLines)(lists, digits, x, roots, scale)
                    : HWY_DYNAMIC_DISPATCH(TernaryByDistances)(lists, digits, x, roots, scale);
  }
}

template <class Cube>
struct Group {
  float x[Cube::kDigits], roots[Cube::kDigits];
};

// The scale at which two points are equally far.
template <class Cube>
double CrossingOf(const Group<Cube>& group, uint32_t digits, uint32_t other) {
  double a = 0, b = 0;
  for (int i = 0; i < Cube::kDigits; ++i) {
    const double p = 2 * DigitOf<Cube>(digits, i) + 1, q = 2 * DigitOf<Cube>(other, i) + 1;
    a += group.roots[i] * (p * p - q * q);
    b += group.roots[i] * group.x[i] * (p - q);
  }
  return a == 0 ? 0 : 2 * b / a;
}

// Scales as a search tries them, and the ones at and beside which another neighbour becomes best.
template <class Cube>
std::vector<float> ScalesFor(const IqGrid& grid, uint32_t digits, const Group<Cube>& group) {
  std::vector<float> scales;
  for (int k = 0; k < 9; ++k) scales.push_back(0.1f + 0.02f * static_cast<float>(k));
  const IqNeighbours near = grid.NeighboursOf(digits);
  for (int n = 1; n < near.count; ++n) {
    const double at =
        CrossingOf<Cube>(group, grid.DigitsOf(near.points[n - 1]), grid.DigitsOf(near.points[n]));
    if (!(at > 1e-3 && at < 1e3)) continue;
    for (const double off : {0.0, 1e-7, 1e-6, 5e-6, 2e-5, 1e-4}) {
      scales.push_back(static_cast<float>(at * (1 + off)));
      scales.push_back(static_cast<float>(at * (1 - off)));
    }
  }
  return scales;
}

// Lines may leave a case open but never tell another neighbour than the plain form.
template <class Cube>
void ExpectThePlainFormsNeighbour(const IqGrid& grid) {
  const LaneLists lists = LaneLists::Of(grid, Cube());
  std::mt19937 random(grid.size);
  std::uniform_real_distribution<float> unit(0, 1);
  int usual = 0, told = 0;
  for (int round = 0; round < 1500; ++round) {
    Group<Cube> group;
    const float coarse = round % 4 == 0 ? 8 : 0;  // equal values and weights in every fourth group
    for (int i = 0; i < Cube::kDigits; ++i) {
      group.x[i] = 1.5f * unit(random);
      group.roots[i] = round % 3 == 0 ? group.x[i] : 0.1f + unit(random);
      if (round % 5 == 0 && i == 3) group.x[i] = -group.x[i];  // a sign that was turned
      if (coarse != 0) group.x[i] = std::round(group.x[i] * coarse) / coarse;
      if (coarse != 0) group.roots[i] = 0.5f;
    }
    const uint32_t digits = RoundToDigits<Cube>(group.x, 1 / (0.12f + 0.2f * unit(random)));
    if (grid.PointOf(digits) >= 0) continue;
    const std::vector<float> scales = ScalesFor<Cube>(grid, digits, group);
    for (size_t s = 0; s < scales.size(); ++s) {
      const int point = NearestPoint<Cube>(grid, digits, group.x, group.roots, scales[s]);
      const uint32_t want = CodeOf<Cube>(grid.DigitsOf(static_cast<uint32_t>(point)));
      const auto find = [&](bool by_lines) {
        return Find<Cube>(by_lines, lists, digits, group.x, group.roots, scales[s]);
      };
      ASSERT_EQ(find(false), want) << "digits " << digits << ", scale " << scales[s];
      const uint32_t by_lines = find(true);
      if (by_lines != kFillsUp) {
        ASSERT_EQ(by_lines, want) << "digits " << digits << ", scale " << scales[s];
      }
      if (s < 9 && coarse == 0) {
        ++usual;
        told += by_lines != kFillsUp ? 1 : 0;
      }
    }
  }
  // Where there are lines at all they tell nearly always.
  if (told > 0) {
    EXPECT_GE(told, usual * 95 / 100);
  }
}

TEST(Lines, TellThePlainFormsNeighbourOrNone) {
  testing::ForEachSimdTarget([] {
    ExpectThePlainFormsNeighbour<TernaryCube>(IQ2XXSGrid());
    ExpectThePlainFormsNeighbour<TernaryCube>(IQ2XSGrid());
    ExpectThePlainFormsNeighbour<TernaryCube>(IQ2SGrid());
    ExpectThePlainFormsNeighbour<OctalCube>(IQ3XXSGrid());
    ExpectThePlainFormsNeighbour<OctalCube>(IQ3SGrid());
  });
}

}  // namespace
}  // namespace quantized::kernels
#endif
