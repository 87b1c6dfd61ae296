// On a machine with a CUDA device: each type that the module encodes, against the plain form, on
// all kinds of rows and importance. Elsewhere skipped with the reason; where the build asks for
// CUDA (QUANTIZED_CUDA=ON, the preset "cuda"), or who runs it (the variable
// QUANTIZED_NEEDS_DEVICE), a skip is a failure.
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "kernels/codecs/codec.h"
#include "kernels/cuda/cuda_module.h"
#include "kernels/testing/rows.h"

namespace quantized::kernels {
namespace {

#ifdef QUANTIZED_NEEDS_DEVICE
constexpr bool kNeedsDevice = true;
#else
constexpr bool kNeedsDevice = false;
#endif

#define SKIP_WITHOUT_DEVICE(why)                                              \
  if (kNeedsDevice || std::getenv("QUANTIZED_NEEDS_DEVICE")) FAIL() << (why); \
  GTEST_SKIP() << (why)

constexpr TypeId kSourceTypes[] = {TypeId::kF32, TypeId::kF16, TypeId::kBF16};
constexpr size_t kMaxRows = 64, kMaxCols = 33 * 256;

class CudaCodecTest : public ::testing::TestWithParam<Codec> {
 protected:
  void SetUp() override {
    std::string why_not;
    module_ = CudaModule::Open(why_not);
    if (!module_) {
      SKIP_WITHOUT_DEVICE(why_not);
    }
    if (!module_->Encodes(codec().id)) {
      ASSERT_EQ(type().block_values, 1u) << type().name << " has no row in device_types.h";
      GTEST_SKIP() << type().name << " needs no device";
    }
    CudaDeviceInfo info;
    const CudaStatus described = module_->Describe(0, info);
    ASSERT_TRUE(described.ok()) << described.text;
    encoder_ = Open();
    ASSERT_NE(encoder_, nullptr);
  }

  std::unique_ptr<CudaEncoder> Open() const {
    CudaStatus status;
    auto encoder = module_->OpenEncoder(0,
                                        {.source_bytes = kMaxRows * kMaxCols * sizeof(float),
                                         .encoded_bytes = kMaxRows * kMaxCols * sizeof(float),
                                         .rows = kMaxRows,
                                         .cols = kMaxCols},
                                        status);
    EXPECT_TRUE(status.ok()) << status.text;
    return encoder;
  }

  const Codec& codec() const { return GetParam(); }
  const QuantType& type() const { return QuantTypeOf(codec().id); }

  std::vector<std::byte> EncodePlainly(std::span<const float> x, size_t rows,
                                       const float* importance) const {
    const size_t cols = x.size() / rows;
    std::vector<std::byte> out(rows * RowBytes(type(), cols));
    codec().encode_ref(x.data(), importance, rows, cols, out.data());
    return out;
  }

  std::vector<std::byte> EncodeOnDevice(CudaEncoder& encoder, size_t rows, size_t cols,
                                        const float* importance, size_t first_row = 0) const {
    std::vector<std::byte> out(rows * RowBytes(type(), cols));
    const CudaStatus status = encoder.Encode({.type = static_cast<uint32_t>(codec().id),
                                              .first_row = first_row,
                                              .rows = rows,
                                              .cols = cols,
                                              .importance = importance,
                                              .encoded = out.data()});
    EXPECT_TRUE(status.ok()) << status.text;
    return out;
  }

  // The same blocks; where the type's check refuses one, it refuses the other's, too: the sign of
  // a NaN is not the same on a device.
  void ExpectSame(std::span<const std::byte> got, std::span<const std::byte> want) const {
    ASSERT_EQ(got.size(), want.size());
    for (size_t at = 0; at < want.size(); at += type().block_bytes) {
      const std::byte *g = got.data() + at, *w = want.data() + at;
      if (std::memcmp(g, w, type().block_bytes) == 0) continue;
      ASSERT_FALSE(codec().is_finite(w, type().block_values))
          << "block " << at / type().block_bytes;
      ASSERT_FALSE(codec().is_finite(g, type().block_values))
          << "block " << at / type().block_bytes;
    }
  }

  // With all sources and kinds of importance.
  void ExpectPlainFormsBytes(std::span<const float> x, size_t rows) {
    for (const TypeId source_type : kSourceTypes) {
      SCOPED_TRACE(QuantTypeOf(source_type).name);
      std::vector<std::byte> source(RowBytes(QuantTypeOf(source_type), x.size()));
      std::vector<float> values(x.size());
      FindCodec(source_type)->encode_ref(x.data(), nullptr, 1, x.size(), source.data());
      FindCodec(source_type)->decode(source.data(), x.size(), values.data());
      const CudaStatus loaded = encoder_->Load(source.data(), source_type, source.size());
      ASSERT_TRUE(loaded.ok()) << loaded.text;
      const size_t cols = x.size() / rows;
      if (codec().importance != Importance::kRequired) {
        ExpectSame(EncodeOnDevice(*encoder_, rows, cols, nullptr),
                   EncodePlainly(values, rows, nullptr));
      }
      for (const testing::RowKind& weights : testing::AllImportanceKinds()) {
        SCOPED_TRACE(weights.name);
        std::vector<float> importance(cols);
        weights.fill(importance, /*seed=*/x.size() + 1);
        ExpectSame(EncodeOnDevice(*encoder_, rows, cols, importance.data()),
                   EncodePlainly(values, rows, importance.data()));
      }
    }
  }

  std::optional<CudaModule> module_;
  std::unique_ptr<CudaEncoder> encoder_;
};

TEST_P(CudaCodecTest, GivesThePlainFormsBytes) {
  struct Shape {
    size_t rows, blocks;
  };
  for (const Shape shape : {Shape{1, 1}, {3, 11}}) {  // one thread, and one more than a warp
    for (const testing::RowKind& kind : testing::AllRowKinds()) {
      SCOPED_TRACE(::testing::Message()
                   << kind.name << " " << shape.rows << " x " << shape.blocks << " blocks");
      std::vector<float> x(shape.rows * shape.blocks * type().block_values);
      kind.fill(x, /*seed=*/x.size());
      ExpectPlainFormsBytes(x, shape.rows);
    }
  }
}

TEST_P(CudaCodecTest, EncodesRowsOfALoadedSlice) {
  const size_t rows = 7, cols = 2 * type().block_values;
  std::vector<float> x(rows * cols), importance(cols, 1.0f);
  testing::RowKindNamed("heavy-tails").fill(x, 8);
  ASSERT_TRUE(encoder_->Load(x.data(), TypeId::kF32, x.size() * sizeof(float)).ok());
  ExpectSame(EncodeOnDevice(*encoder_, 2, cols, importance.data(), /*first_row=*/3),
             EncodePlainly(std::span(x).subspan(3 * cols, 2 * cols), 2, importance.data()));
}

TEST_P(CudaCodecTest, SeveralEncodersWorkAtOnce) {
  const size_t rows = 16, cols = 4 * type().block_values;
  constexpr int kThreads = 8;
  std::vector<std::vector<std::byte>> got(kThreads), want(kThreads);
  const std::vector<float> importance(cols, 1.0f);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      std::vector<float> x(rows * cols);
      testing::RowKindNamed("normal").fill(x, t);
      want[t] = EncodePlainly(x, rows, importance.data());
      const auto encoder = Open();
      for (int round = 0; round < 20; ++round) {
        ASSERT_TRUE(encoder->Load(x.data(), TypeId::kF32, x.size() * sizeof(float)).ok());
        got[t] = EncodeOnDevice(*encoder, rows, cols, importance.data());
        ASSERT_TRUE(got[t] == want[t]);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

INSTANTIATE_TEST_SUITE_P(All, CudaCodecTest,
                         ::testing::ValuesIn(AllCodecs().begin(), AllCodecs().end()),
                         [](const auto& instance) {
                           return std::string(QuantTypeOf(instance.param.id).name);
                         });

TEST(CudaEncoderTest, RefusesWhatDoesNotFit) {
  std::string why_not;
  const auto module = CudaModule::Open(why_not);
  if (!module) {
    SKIP_WITHOUT_DEVICE(why_not);
  }
  CudaStatus status;
  EXPECT_EQ(module->OpenEncoder(0, {1ull << 50, 64, 1, 64}, status), nullptr);
  EXPECT_EQ(status.code, kCudaOutOfMemory) << status.text;
  EXPECT_EQ(module->OpenEncoder(module->device_count(), {1024, 1024, 4, 64}, status), nullptr);
  EXPECT_EQ(status.code, kCudaNoDevice) << status.text;

  const auto encoder = module->OpenEncoder(0, {1024, 1024, 4, 64}, status);
  ASSERT_NE(encoder, nullptr) << status.text;
  const std::vector<float> x(1024, 1.0f);
  EXPECT_FALSE(encoder->Load(x.data(), TypeId::kF32, 4096).ok());
  ASSERT_TRUE(encoder->Load(x.data(), TypeId::kF32, 1024).ok());
  std::vector<std::byte> out(1024);
  CudaEncodeArguments arguments = {
      static_cast<uint32_t>(TypeId::kQ8_0), 0, 4, 64, nullptr, out.data()};
  EXPECT_TRUE(encoder->Encode(arguments).ok());
  arguments.first_row = 1;
  EXPECT_FALSE(encoder->Encode(arguments).ok());
  arguments = {static_cast<uint32_t>(TypeId::kF16), 0, 4, 64, nullptr, out.data()};
  EXPECT_FALSE(encoder->Encode(arguments).ok());
}

}  // namespace
}  // namespace quantized::kernels
