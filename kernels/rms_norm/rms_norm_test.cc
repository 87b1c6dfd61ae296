#include "kernels/rms_norm/rms_norm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/testing/each_target.h"
#include "kernels/testing/rows.h"

namespace quantized::kernels {
namespace {

constexpr size_t kRows = 3;
constexpr size_t kManyCols[] = {1, 7, 31, 32, 33, 64, 65, 576, 1001, 4096};

std::vector<float> Row(std::string_view kind, size_t count, uint64_t seed) {
  std::vector<float> values(count);
  testing::RowKindNamed(kind).fill(values, seed);
  return values;
}

bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

TEST(RmsNormTest, IsWithinItsBoundOfDoublePrecision) {
  for (const size_t cols : kManyCols) {
    const std::vector<float> weight = Row("ties", cols, 2);
    for (const testing::RowKind& kind : testing::AllRowKinds()) {
      SCOPED_TRACE(::testing::Message() << kind.name << ", " << cols);
      std::vector<float> x(kRows * cols), out(kRows * cols);
      kind.fill(x, cols);
      RmsNormRef(kRows, cols, x.data(), weight.data(), 1e-6f, out.data());
      for (size_t i = 0; i < x.size(); ++i) {
        const size_t row = i / cols, c = i % cols;
        double sum = 0;
        for (size_t j = 0; j < cols; ++j) {
          sum += static_cast<double>(x[row * cols + j]) * x[row * cols + j];
        }
        const double want = static_cast<double>(x[i]) * weight[c] /
                            std::sqrt(sum / static_cast<double>(cols) + 1e-6f);
        ASSERT_NEAR(out[i], want, 0x1p-22 * std::fabs(want) + 0x1p-149 * (1 + std::fabs(weight[c])))
            << i;
      }
    }
  }
}

TEST(RmsNormTest, SimdHasThePlainFormsBits) {
  for (const size_t cols : kManyCols) {
    const std::vector<float> weight = Row("heavy-tails", cols, 2);
    for (const testing::RowKind& kind : testing::AllRowKinds()) {
      std::vector<float> x(kRows * cols), want(kRows * cols), got(kRows * cols);
      kind.fill(x, cols);
      RmsNormRef(kRows, cols, x.data(), weight.data(), 1e-5f, want.data());
      testing::ForEachSimdTarget([&] {
        SCOPED_TRACE(::testing::Message() << kind.name << ", " << cols);
        RmsNormSimd(kRows, cols, x.data(), weight.data(), 1e-5f, got.data());
        EXPECT_TRUE(SameBits(got, want));
        got = x;
        RmsNormSimd(kRows, cols, got.data(), weight.data(), 1e-5f, got.data());
        EXPECT_TRUE(SameBits(got, want)) << "in place";
      });
    }
  }
}

TEST(RmsNormTest, GivesAKnownRow) {
  const std::vector<float> x = {3, 4}, weight = {1, 2};
  std::vector<float> out(2);
  RmsNormSimd(1, 2, x.data(), weight.data(), 0.0f, out.data());  // the root is sqrt(12.5)
  EXPECT_FLOAT_EQ(out[0], 0.84852814f);
  EXPECT_FLOAT_EQ(out[1], 2.2627417f);
}

}  // namespace
}  // namespace quantized::kernels
