// On a machine with a CUDA device: each function of the module against the processor's form.
// Elsewhere skipped with the reason; where the build asks for CUDA, or who runs it (the variable
// QUANTIZED_NEEDS_DEVICE), a skip is a failure.
#include "kernels/forward_cuda/forward_cuda.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <span>
#include <vector>

#include "kernels/blas/blas.h"
#include "kernels/rms_norm/rms_norm.h"
#include "kernels/rotary/rotary.h"
#include "kernels/testing/rows.h"
#include "kernels/types/half.h"

namespace quantized::kernels {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;

#ifdef QUANTIZED_NEEDS_DEVICE
constexpr bool kNeedsDevice = true;
#else
constexpr bool kNeedsDevice = false;
#endif

std::vector<float> Values(size_t count, uint64_t seed) {
  std::vector<float> values(count);
  testing::RowKindNamed("normal").fill(values, seed);
  for (float& value : values) value *= 50;  // the kind's deviation is 1 / 50
  return values;
}

TEST(ForwardCudaModuleTest, SaysThatThereIsNoSuchModule) {
  std::string why_not;
  EXPECT_FALSE(ForwardCudaModule::OpenFile("/nowhere/libforward.so", why_not).has_value());
  EXPECT_THAT(why_not, HasSubstr("/nowhere/libforward.so"));
}

TEST(ForwardCudaModuleTest, SaysThatALibraryIsNotTheModule) {
  std::string why_not;
  EXPECT_FALSE(ForwardCudaModule::OpenFile("libm.so.6", why_not).has_value());
  EXPECT_THAT(why_not, HasSubstr("quantized_forward_cuda_api"));
}

TEST(ForwardCudaModuleTest, EndsWithDevicesOrAReason) {
  std::string why_not;
  const auto module = ForwardCudaModule::Open(why_not);
  if (module) {
    EXPECT_GE(module->device_count(), 1);
    CudaStatus status;
    EXPECT_EQ(module->OpenDevice(module->device_count(), status), nullptr);
    EXPECT_EQ(status.code, kCudaNoDevice) << status.text;
    CudaDeviceInfo info;
    EXPECT_EQ(module->Describe(module->device_count(), info).code, kCudaNoDevice);
    status = module->Describe(0, info);
    EXPECT_TRUE(status.ok()) << status.text;
    EXPECT_STRNE(info.name, "");
    EXPECT_LE(info.free_bytes, info.total_bytes);
  } else {
#ifdef QUANTIZED_HAS_CUDA
    EXPECT_THAT(why_not, AnyOf(HasSubstr("driver"), HasSubstr("device"), HasSubstr("cublas")));
#else
    EXPECT_THAT(why_not, HasSubstr("this build has no libquantized_forward_cuda.so"));
#endif
  }
}

class ForwardDeviceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string why_not;
    module_ = ForwardCudaModule::Open(why_not);
    if (!module_) {
      if (kNeedsDevice || std::getenv("QUANTIZED_NEEDS_DEVICE")) FAIL() << why_not;
      GTEST_SKIP() << why_not;
    }
    CudaStatus status;
    device_ = module_->OpenDevice(0, status);
    ASSERT_NE(device_, nullptr) << status.text;
  }

  // A copy on the device. T: what it holds.
  template <class T>
  T* OnDevice(const std::vector<T>& values) {
    CudaStatus status;
    memory_.push_back(device_->Allocate(values.size() * sizeof(T), status));
    EXPECT_TRUE(status.ok()) << status.text;
    T* at = static_cast<T*>(memory_.back().get());
    ExpectOk(device_->Upload(at, values.data(), values.size() * sizeof(T)));
    return at;
  }
  template <class T>
  std::vector<T> FromDevice(const T* at, size_t count) {
    std::vector<T> values(count);
    ExpectOk(device_->Download(values.data(), at, count * sizeof(T)));
    return values;
  }
  static void ExpectOk(const CudaStatus& status) { EXPECT_TRUE(status.ok()) << status.text; }

  std::optional<ForwardCudaModule> module_;
  std::unique_ptr<ForwardDevice> device_;
  std::vector<ForwardDevice::Memory> memory_;  // goes before the device
};

TEST_F(ForwardDeviceTest, CopiesAndClears) {
  const std::vector<float> x = Values(1000, 1);
  float *a = OnDevice(x), *b = OnDevice(std::vector<float>(1000, 5.0f));
  ExpectOk(device_->Copy(b, a, 600 * sizeof(float)));
  ExpectOk(device_->Zero(b, 100 * sizeof(float)));
  ExpectOk(device_->Wait());
  const std::vector<float> got = FromDevice(b, 1000);
  for (size_t i = 0; i < 1000; ++i) ASSERT_EQ(got[i], i < 100 ? 0 : i < 600 ? x[i] : 5) << i;
}

TEST_F(ForwardDeviceTest, FillsRows) {
  constexpr size_t kRows = 5, kCols = 130, kStride = 133;
  const std::vector<float> row = Values(kCols, 1), before = Values(kRows * kStride, 2);
  float* x = OnDevice(before);
  ExpectOk(device_->FillRows(kRows, kCols, OnDevice(row), x, kStride));
  const std::vector<float> got = FromDevice(x, before.size());
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_EQ(got[i], i % kStride < kCols ? row[i % kStride] : before[i]) << i;
  }
}

TEST_F(ForwardDeviceTest, MultipliesAsTheProcessorDoes) {
  constexpr size_t m = 37, n = 65, k = 130, padding = 6;
  const std::vector<float> a = Values(m * (k + padding), 1), b = Values(n * (k + padding), 2);
  const std::vector<float> before = Values(m * (n + padding), 3);
  for (const bool bf16 : {false, true}) {
    std::vector<float> rounded_a = a, rounded_b = b, want = before;
    std::vector<uint16_t> halves_a, halves_b;
    if (bf16) {
      for (float& x : rounded_a) halves_a.push_back(F32ToBF16(x)), x = BF16ToF32(halves_a.back());
      for (float& x : rounded_b) halves_b.push_back(F32ToBF16(x)), x = BF16ToF32(halves_b.back());
    }
    MatMul(m, n, k, rounded_a.data(), k + padding, rounded_b.data(), k + padding, want.data(),
           n + padding, {.transpose_b = true, .alpha = 0.5f, .beta = -1});
    float* c = OnDevice(before);
    ForwardProduct product = {.m = m,
                              .n = n,
                              .k = k,
                              .lda = k + padding,
                              .ldb = k + padding,
                              .c = c,
                              .ldc = n + padding,
                              .alpha = 0.5f,
                              .beta = -1};
    if (bf16) {
      uint16_t* device_a = OnDevice(std::vector<uint16_t>(a.size()));
      ExpectOk(device_->ToBf16(a.size(), OnDevice(a), device_a));
      EXPECT_EQ(FromDevice(device_a, a.size()), halves_a);
      product.a = device_a;
      product.b = OnDevice(halves_b);
      ExpectOk(device_->MatMulNtBf16(product));
    } else {
      product.a = OnDevice(a);
      product.b = OnDevice(b);
      ExpectOk(device_->MatMulNt(product));
    }
    const std::vector<float> got = FromDevice(c, want.size());
    for (size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(got[i], want[i], 5e-5) << i;
  }
}

TEST_F(ForwardDeviceTest, AddsGramAndColumnSums) {
  constexpr size_t rows = 90, n = 67, stride = 70;
  const std::vector<float> x = Values(rows * stride, 1);
  std::vector<float> want(n * n, 3);
  float *device_x = OnDevice(x), *gram = OnDevice(want);
  AddGram(rows, n, x.data(), stride, want.data(), n);
  ExpectOk(device_->AddGram(rows, n, device_x, stride, gram, n));
  const std::vector<float> got = FromDevice(gram, n * n);
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < n; ++j) ASSERT_NEAR(got[i * n + j], want[i * n + j], 1e-4) << i << j;
  }

  std::vector<double> squares(n, 1), magnitudes(n, 2);
  double *device_squares = OnDevice(squares), *device_magnitudes = OnDevice(magnitudes);
  ExpectOk(device_->AddColumnSums(rows, n, device_x, stride, device_squares, device_magnitudes));
  for (size_t row = 0; row < rows; ++row) {
    for (size_t c = 0; c < n; ++c) {
      const double value = x[row * stride + c];
      squares[c] += value * value;
      magnitudes[c] += std::fabs(value);
    }
  }
  EXPECT_EQ(FromDevice(device_squares, n), squares);
  EXPECT_EQ(FromDevice(device_magnitudes, n), magnitudes);
}

TEST_F(ForwardDeviceTest, NormalizesAndRotatesToThePlainFormsBits) {
  for (const size_t cols : {1, 31, 64, 577}) {
    constexpr size_t kRows = 11;
    const std::vector<float> x = Values(kRows * cols, 1), weight = Values(cols, 2);
    std::vector<float> want(x.size());
    RmsNormRef(kRows, cols, x.data(), weight.data(), 1e-5f, want.data());
    float* device_x = OnDevice(x);
    ExpectOk(device_->RmsNorm(kRows, cols, device_x, OnDevice(weight), 1e-5f, device_x));
    EXPECT_EQ(FromDevice(device_x, x.size()), want) << cols;
  }
  constexpr size_t kTokens = 5, kHeads = 3, kHeadDim = 20, kRotaryDim = 14, kStride = 67;
  const std::vector<float> cos = Values(kTokens * kRotaryDim / 2, 3);
  const std::vector<float> sin = Values(kTokens * kRotaryDim / 2, 4);
  std::vector<float> x = Values(kTokens * kStride, 5);
  float* device_x = OnDevice(x);
  ExpectOk(device_->ApplyRotary(kTokens, kHeads, kHeadDim, kRotaryDim, OnDevice(cos), OnDevice(sin),
                                device_x, kStride));
  ApplyRotaryRef(kTokens, kHeads, kHeadDim, kRotaryDim, cos.data(), sin.data(), x.data(), kStride);
  EXPECT_EQ(FromDevice(device_x, x.size()), x);
}

TEST_F(ForwardDeviceTest, GatesAsThePlainFormDoes) {
  constexpr size_t kCount = 1001;
  std::vector<float> gate = Values(kCount, 1), want(kCount);
  const std::vector<float> up = Values(kCount, 2);
  for (float& value : gate) value *= 5;
  for (const Activation activation : {Activation::kSilu, Activation::kGeluTanh}) {
    GatedActivationRef(activation, kCount, gate.data(), up.data(), want.data());
    float* out = OnDevice(want);
    ExpectOk(device_->Zero(out, kCount * sizeof(float)));
    ExpectOk(device_->GatedActivation(activation, kCount, OnDevice(gate), OnDevice(up), out));
    const std::vector<float> got = FromDevice(out, kCount);
    for (size_t i = 0; i < kCount; ++i) {
      ASSERT_NEAR(got[i], want[i], 2e-5 * std::fabs(want[i]) + 1e-30) << gate[i];
    }
  }
}

TEST_F(ForwardDeviceTest, AttendsAsThePlainFormDoes) {
  constexpr AttentionShape kShapes[] = {
      {.tokens = 1, .heads = 1, .kv_heads = 1, .head_dim = 1, .scale = 1},
      {.tokens = 33, .heads = 6, .kv_heads = 2, .head_dim = 64, .scale = 0.125f},
      {.tokens = 100, .heads = 2, .kv_heads = 2, .head_dim = 80, .window = 37, .scale = 0.1f},
      {.tokens = 70, .heads = 4, .kv_heads = 1, .head_dim = 256, .scale = 0.06f, .softcap = 50},
      {.tokens = 40, .heads = 1, .kv_heads = 1, .head_dim = 512, .window = 1, .scale = 0.04f},
  };
  for (const AttentionShape& shape : kShapes) {
    const size_t q_stride = shape.heads * shape.head_dim + 1;
    const size_t kv_stride = shape.kv_heads * shape.head_dim + 2;
    const std::vector<float> q = Values(shape.tokens * q_stride, 1);
    const std::vector<float> k = Values(shape.tokens * kv_stride, 2);
    const std::vector<float> v = Values(shape.tokens * kv_stride, 3);
    std::vector<float> want(q.size(), 7.0f);
    float* out = OnDevice(want);
    AttentionRef(shape, q.data(), q_stride, k.data(), v.data(), kv_stride, want.data(), q_stride);
    ExpectOk(device_->Attention(shape, OnDevice(q), q_stride, OnDevice(k), OnDevice(v), kv_stride,
                                out, q_stride));
    const std::vector<float> got = FromDevice(out, want.size());
    for (size_t i = 0; i < want.size(); ++i) {
      ASSERT_NEAR(got[i], want[i], 2e-5) << shape.tokens << " tokens, at " << i;
    }
  }
}

TEST_F(ForwardDeviceTest, SaysThatMemoryIsShort) {
  CudaStatus status;
  EXPECT_EQ(device_->Allocate(1ull << 50, status), nullptr);
  EXPECT_EQ(status.code, kCudaOutOfMemory) << status.text;
  EXPECT_FALSE(
      device_
          ->Attention({.tokens = 1, .heads = 1, .kv_heads = 1, .head_dim = 513, .scale = 1},
                      nullptr, 1, nullptr, nullptr, 1, nullptr, 1)
          .ok());
}

}  // namespace
}  // namespace quantized::kernels
