#include "kernels/rotary/rotary.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/testing/each_target.h"
#include "kernels/testing/rows.h"

namespace quantized::kernels {
namespace {

struct Shape {
  size_t tokens, heads, head_dim, rotary_dim, padding;
  size_t stride() const { return heads * head_dim + padding; }
};
constexpr Shape kShapes[] = {{1, 1, 2, 2, 0},     {5, 3, 64, 64, 0}, {4, 2, 80, 32, 7},
                             {3, 2, 128, 128, 1}, {2, 5, 34, 34, 3}, {3, 1, 7, 6, 2}};

struct Angles {
  explicit Angles(const Shape& shape) {
    for (size_t token = 0; token < shape.tokens; ++token) {
      for (size_t i = 0; i < shape.rotary_dim / 2; ++i) {
        const double angle = static_cast<double>(token + 1) / static_cast<double>(i + 1);
        cos.push_back(static_cast<float>(std::cos(angle)));
        sin.push_back(static_cast<float>(std::sin(angle)));
      }
    }
  }
  std::vector<float> cos, sin;
};

TEST(RotaryTest, RotatesPairsAndLeavesTheRest) {
  for (const Shape& shape : kShapes) {
    const Angles angles(shape);
    std::vector<float> x(shape.tokens * shape.stride());
    testing::RowKindNamed("heavy-tails").fill(x, 1);
    std::vector<float> got = x;
    ApplyRotaryRef(shape.tokens, shape.heads, shape.head_dim, shape.rotary_dim, angles.cos.data(),
                   angles.sin.data(), got.data(), shape.stride());
    for (size_t i = 0; i < x.size(); ++i) {
      const size_t token = i / shape.stride(), at = i % shape.stride();
      const size_t within = at % shape.head_dim, half = shape.rotary_dim / 2;
      if (at >= shape.heads * shape.head_dim || within >= shape.rotary_dim) {
        ASSERT_EQ(got[i], x[i]) << i;
        continue;
      }
      const size_t pair = token * half + within % half;
      const double cos = angles.cos[pair], sin = angles.sin[pair];
      const double own = x[i], other = within < half ? -x[i + half] : x[i - half];
      // Three roundings, of values no larger than the products' magnitudes together.
      ASSERT_NEAR(got[i], own * cos + other * sin,
                  0x1p-23 * (std::fabs(own * cos) + std::fabs(other * sin)))
          << i;
    }
  }
}

TEST(RotaryTest, SimdHasThePlainFormsBits) {
  for (const Shape& shape : kShapes) {
    const Angles angles(shape);
    for (const testing::RowKind& kind : testing::AllRowKinds()) {
      std::vector<float> x(shape.tokens * shape.stride());
      kind.fill(x, 3);
      std::vector<float> want = x;
      ApplyRotaryRef(shape.tokens, shape.heads, shape.head_dim, shape.rotary_dim, angles.cos.data(),
                     angles.sin.data(), want.data(), shape.stride());
      testing::ForEachSimdTarget([&] {
        SCOPED_TRACE(::testing::Message() << kind.name << ", head of " << shape.head_dim);
        std::vector<float> got = x;
        ApplyRotarySimd(shape.tokens, shape.heads, shape.head_dim, shape.rotary_dim,
                        angles.cos.data(), angles.sin.data(), got.data(), shape.stride());
        EXPECT_EQ(std::memcmp(got.data(), want.data(), got.size() * sizeof(float)), 0);
      });
    }
  }
}

}  // namespace
}  // namespace quantized::kernels
