#include "kernels/gated_activation/gated_activation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>
#include <vector>

#include "kernels/testing/each_target.h"
#include "kernels/testing/rows.h"

namespace quantized::kernels {
namespace {

constexpr Activation kActivations[] = {Activation::kSilu, Activation::kGeluTanh};

// From -200 to 200 in odd steps, and what hurts.
std::vector<float> ManyGates() {
  std::vector<float> x = {0.0f,  -0.0f,  0x1p-149f, -0x1p-149f, 87.5f,   -87.5f,
                          88.8f, -88.8f, 103.99f,   104.0f,     -104.0f, 105.0f,
                          1e12f, -1e12f, 1e15f,     -1e15f,     1e30f,   -1e30f};
  for (float value = -200; value < 200; value += 0.0317f) x.push_back(value);
  for (const testing::RowKind& kind : testing::AllRowKinds()) {
    std::vector<float> row(77);
    kind.fill(row, 1);
    x.insert(x.end(), row.begin(), row.end());
  }
  return x;
}

// The header's bound for act(x) * up, and what it is a bound of.
struct Exact {
  Exact(Activation activation, double x, double up) {
    const double u = std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x);
    const double z = activation == Activation::kSilu ? -x : -2 * u;
    value = activation == Activation::kSilu ? x / (1 + std::exp(-x)) * up
                                            : x / 2 * (1 + std::tanh(u)) * up;
    if (activation == Activation::kGeluTanh && u < -1) value = x / (1 + std::exp(z)) * up;
    bound = std::fabs(value) == 0 ? 0 : (8 + 4 * std::fabs(z)) * 0x1p-24 * std::fabs(value);
    bound += 0x1p-149;
    if (std::fabs(z) > 87) bound += 0x1p-120 * (1 + std::fabs(x)) * std::fabs(up);
  }
  double value, bound;
};

TEST(GatedActivationTest, IsWithinItsBoundOfDoublePrecision) {
  const std::vector<float> gate = ManyGates();
  std::vector<float> up(gate.size());
  testing::RowKindNamed("ties").fill(up, 5);
  for (const Activation activation : kActivations) {
    std::vector<float> plain(gate.size()), got(gate.size());
    GatedActivationRef(activation, gate.size(), gate.data(), up.data(), plain.data());
    testing::ForEachSimdTarget([&] {
      GatedActivationSimd(activation, gate.size(), gate.data(), up.data(), got.data());
      for (size_t i = 0; i < gate.size(); ++i) {
        const Exact exact(activation, gate[i], up[i]);
        ASSERT_NEAR(got[i], exact.value, exact.bound) << gate[i] << " * " << up[i];
        ASSERT_NEAR(plain[i], exact.value, exact.bound) << gate[i] << " * " << up[i];
        const double single = Activate(activation, gate[i]) * up[i];  // as on a device
        ASSERT_NEAR(single, exact.value, exact.bound) << gate[i] << " * " << up[i];
      }
    });
  }
}

TEST(GatedActivationTest, KnowsSomeValues) {
  const std::vector<float> gate = {1, -1, 3}, up = {1, 1, 2};
  std::vector<float> out(3);
  GatedActivationSimd(Activation::kSilu, 3, gate.data(), up.data(), out.data());
  EXPECT_NEAR(out[0], 0.7310586, 1e-6);
  EXPECT_NEAR(out[1], -0.2689414, 1e-6);
  EXPECT_NEAR(out[2], 5.7154448, 1e-6);
  GatedActivationSimd(Activation::kGeluTanh, 3, gate.data(), up.data(), out.data());
  EXPECT_NEAR(out[0], 0.8411920, 1e-6);
  EXPECT_NEAR(out[1], -0.1588080, 1e-6);
  EXPECT_NEAR(out[2], 5.9927254, 1e-5);
}

// So the split of a tensor among threads does not show.
TEST(GatedActivationTest, AnElementsResultDoesNotDependOnItsPlace) {
  const std::vector<float> gate = ManyGates();
  const std::vector<float> up(gate.size(), 1.25f);
  for (const Activation activation : kActivations) {
    testing::ForEachSimdTarget([&] {
      std::vector<float> whole(gate.size()), parts(gate.size());
      GatedActivationSimd(activation, gate.size(), gate.data(), up.data(), whole.data());
      for (size_t begin = 0, step = 1; begin < gate.size(); begin += step, step = step % 37 + 1) {
        const size_t count = std::min(step, gate.size() - begin);
        GatedActivationSimd(activation, count, &gate[begin], &up[begin], &parts[begin]);
      }
      EXPECT_EQ(std::memcmp(whole.data(), parts.data(), whole.size() * sizeof(float)), 0);
    });
  }
}

TEST(GatedActivationTest, WorksInPlace) {
  const std::vector<float> gate = ManyGates();
  const std::vector<float> up(gate.size(), -0.75f);
  std::vector<float> want(gate.size()), in_gate = gate, in_up = up;
  const size_t n = gate.size();
  GatedActivationSimd(Activation::kSilu, n, gate.data(), up.data(), want.data());
  GatedActivationSimd(Activation::kSilu, n, in_gate.data(), up.data(), in_gate.data());
  GatedActivationSimd(Activation::kSilu, n, gate.data(), in_up.data(), in_up.data());
  EXPECT_EQ(in_gate, want);
  EXPECT_EQ(in_up, want);
}

}  // namespace
}  // namespace quantized::kernels
