#include "core/forward/half_tensor_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "kernels/types/half.h"

namespace quantized {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// One matrix of two rows.
class OneTensor : public TensorSource {
 public:
  explicit OneTensor(std::vector<float> values) : values_(std::move(values)) {
    tensor_.name = "model.a.weight";
    tensor_.shape = {2, values_.size() / 2};
  }
  const Tensor* Find(std::string_view name) const override {
    return name == "a.weight" ? &tensor_ : nullptr;
  }
  absl::Status ReadRows(const Tensor& tensor, uint64_t first, uint64_t count,
                        float* out) const override {
    const uint64_t cols = tensor.shape[1];
    std::copy_n(values_.begin() + static_cast<ptrdiff_t>(first * cols), count * cols, out);
    return absl::OkStatus();
  }

 private:
  Tensor tensor_;
  const std::vector<float> values_;
};

TEST(HalfTensorSourceTest, RoundsEachValue) {
  const std::vector<float> values = {1.0f / 3, -65504, 65519, 1e-9f, 0.1f, 2049};
  const OneTensor source(values);
  const HalfTensorSource half(source);
  EXPECT_EQ(half.Find("b.weight"), nullptr);
  const TensorSource::Tensor* tensor = half.Find("a.weight");
  ASSERT_NE(tensor, nullptr);
  std::vector<float> got(6);
  ASSERT_TRUE(half.ReadRows(*tensor, 0, 2, got.data()).ok());
  for (size_t i = 0; i < values.size(); ++i) {
    EXPECT_EQ(got[i], kernels::F16ToF32(kernels::F32ToF16(values[i])));
  }
  EXPECT_EQ(got[2], 65504.0f);
  EXPECT_EQ(got[3], 0.0f);
  EXPECT_EQ(got[5], 2048.0f);
}

TEST(HalfTensorSourceTest, WhatFloat16CannotHoldIsRefused) {
  for (const float bad : {65520.0f, -1e6f, INFINITY, NAN}) {
    SCOPED_TRACE(bad);
    const OneTensor source({1, 2, 3, bad});
    const HalfTensorSource half(source);
    const TensorSource::Tensor& tensor = *half.Find("a.weight");
    std::vector<float> got(2);
    EXPECT_TRUE(half.ReadRows(tensor, 0, 1, got.data()).ok());
    const absl::Status status = half.ReadRows(tensor, 1, 1, got.data());
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(ErrorOf(status), Error::kValidationFailed);
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr("tensor model.a.weight"), HasSubstr("float16")));
  }
}

}  // namespace
}  // namespace quantized
