#include "core/source/converted_tensor.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/source/widen.h"
#include "gtest/gtest.h"
#include "kernels/types/half.h"
#include "tests/support/safetensors_file.h"

namespace quantized {
namespace {

using kernels::TypeId;
using testing::SafetensorsFile;

template <typename T>
std::string BytesOf(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

// A tensor of `rows` rows of `cols` values, alone in its file.
class OneTensor {
 public:
  OneTensor(std::string_view dtype, uint64_t rows, uint64_t cols, std::string_view bytes) {
    file_ = SafetensorsFile().Add("t", dtype, {rows, cols}, bytes).Bytes();
    auto reader = safetensors::SafetensorsReader::Open(
        MemoryBytes("m.safetensors", std::as_bytes(std::span(file_))));
    EXPECT_TRUE(reader.ok()) << reader.status();
    reader_ = *std::move(reader);
    tensor.sources = {PlainTensor({reader_.get(), &reader_->tensors()[0]})};
    tensor.rows = rows;
    tensor.cols = cols;
  }

  template <typename T>
  std::vector<T> Read(uint64_t first, uint64_t count) const {
    std::vector<T> values(count * tensor.cols);
    const absl::Status status =
        tensor.Read(first, count, std::as_writable_bytes(std::span(values)));
    EXPECT_TRUE(status.ok()) << status;
    return values;
  }

  ConvertedTensor tensor;

 private:
  std::string file_;
  std::unique_ptr<safetensors::SafetensorsReader> reader_;
};

std::vector<float> Counting(size_t count) {
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i) values[i] = static_cast<float>(i);
  return values;
}

// The definition: [heads, 2, d/2, cols] with axes 1 and 2 swapped.
std::vector<float> Interleaved(const std::vector<float>& x, size_t heads, size_t cols) {
  const size_t half = x.size() / heads / 2 / cols;
  std::vector<float> y;
  for (size_t h = 0; h < heads; ++h) {
    for (size_t j = 0; j < half; ++j) {
      for (size_t s = 0; s < 2; ++s) {
        const auto row = x.begin() + static_cast<ptrdiff_t>(((h * 2 + s) * half + j) * cols);
        y.insert(y.end(), row, row + static_cast<ptrdiff_t>(cols));
      }
    }
  }
  return y;
}

TEST(ConvertedTensor, InterleavesAnyRangeOfRows) {
  constexpr uint64_t kHeads = 3, kRows = 24, kCols = 5;
  const std::vector<float> x = Counting(kRows * kCols);
  OneTensor one("F32", kRows, kCols, BytesOf(x));
  one.tensor.transform = Transform::kInterleaveQuery;
  one.tensor.heads = kHeads;
  const std::vector<float> whole = Interleaved(x, kHeads, kCols);
  for (uint64_t first = 0; first <= kRows; ++first) {
    for (uint64_t count = 0; first + count <= kRows; ++count) {
      const std::vector<float> want(
          whole.begin() + static_cast<ptrdiff_t>(first * kCols),
          whole.begin() + static_cast<ptrdiff_t>((first + count) * kCols));
      ASSERT_EQ(one.Read<float>(first, count), want) << first << " " << count;
    }
  }
}

TEST(ConvertedTensor, InterleavesRowsThatAreLargerThanAPiece) {
  constexpr uint64_t kRows = 8, kCols = 100'000;
  const std::vector<float> x = Counting(kRows * kCols);
  OneTensor one("F32", kRows, kCols, BytesOf(x));
  one.tensor.transform = Transform::kInterleaveKey;
  one.tensor.heads = 2;
  EXPECT_TRUE(one.Read<float>(0, kRows) == Interleaved(x, 2, kCols));
}

TEST(ConvertedTensor, AddsOneInTheCheckpointsOwnPrecision) {
  // 2^-12 is lost when the sum is F16 and kept when it is float.
  const uint16_t small = kernels::F32ToF16(0x1p-12f);
  OneTensor half("F16", 1, 1, BytesOf<uint16_t>({small}));
  half.tensor.transform = Transform::kAddOne;
  EXPECT_EQ(half.Read<float>(0, 1)[0], 1.0f);
  OneTensor brain("BF16", 1, 1, BytesOf<uint16_t>({kernels::F32ToBF16(0x1p-12f)}));
  brain.tensor.transform = Transform::kAddOne;
  EXPECT_EQ(brain.Read<float>(0, 1)[0], 1.0f + 0x1p-12f);
}

TEST(ConvertedTensor, NarrowsWithOneRounding) {
  const std::vector<float> x = {1.0f + 0x1p-11f, 65520.0f, -0.0f, 1e-8f};
  OneTensor one("F32", 1, 4, BytesOf(x));
  one.tensor.type = TypeId::kF16;
  const std::vector<uint16_t> want = {0x3C00, 0x7C00, 0x8000, 0x0000};
  EXPECT_EQ(one.Read<uint16_t>(0, 1), want);
  one.tensor.type = TypeId::kBF16;
  EXPECT_EQ(one.Read<uint16_t>(0, 1)[0], 0x3F80);
}

TEST(ConvertedTensor, HalfFloatsGoFromOneKindToTheOtherThroughFloat) {
  const std::vector<uint16_t> ones = {kernels::F32ToF16(1.5f), kernels::F32ToF16(-3.0f)};
  OneTensor one("F16", 2, 1, BytesOf(ones));
  one.tensor.type = TypeId::kBF16;
  const std::vector<uint16_t> want = {kernels::F32ToBF16(1.5f), kernels::F32ToBF16(-3.0f)};
  EXPECT_EQ(one.Read<uint16_t>(0, 2), want);
}

TEST(ConvertedTensor, ReadsPiecesOfLongTensors) {
  const std::vector<float> x = Counting(300'000);
  std::vector<double> doubles(x.begin(), x.end());
  OneTensor one("F64", 3, 100'000, BytesOf(doubles));
  EXPECT_TRUE(one.Read<float>(0, 3) == x);
}

TEST(ConvertedTensor, ReadsAnyRowsOfStackedMatrices) {
  constexpr uint64_t kRows = 4, kCols = 3;
  const std::vector<float> x = Counting(3 * kRows * kCols);
  const auto part = [&](size_t i) {
    const auto begin = x.begin() + static_cast<ptrdiff_t>(i * kRows * kCols);
    return std::vector<float>(begin, begin + kRows * kCols);
  };
  // The values fit every type: the parts need not have one.
  std::vector<uint16_t> halves;
  for (const float value : part(1)) halves.push_back(kernels::F32ToF16(value));
  const std::vector<float> third = part(2);
  const OneTensor first("F32", kRows, kCols, BytesOf(part(0))),
      second("F16", kRows, kCols, BytesOf(halves)),
      last("F64", kRows, kCols, BytesOf(std::vector<double>(third.begin(), third.end())));
  ConvertedTensor tensor;
  for (const OneTensor* one : {&first, &second, &last}) {
    tensor.sources.push_back(one->tensor.sources[0]);
  }
  tensor.rows = 3 * kRows;
  tensor.cols = kCols;
  for (uint64_t begin = 0; begin <= tensor.rows; ++begin) {
    for (uint64_t count = 0; begin + count <= tensor.rows; ++count) {
      std::vector<float> got(count * kCols);
      ASSERT_TRUE(tensor.Read(begin, count, std::as_writable_bytes(std::span(got))).ok());
      const auto at = x.begin() + static_cast<ptrdiff_t>(begin * kCols);
      ASSERT_EQ(got, std::vector<float>(at, at + static_cast<ptrdiff_t>(count * kCols)))
          << begin << " " << count;
    }
  }
}

TEST(ConvertedTensor, GivesGeneratedValues) {
  ConvertedTensor tensor;
  tensor.generated = {1, 2, 3};
  tensor.rows = 3;
  tensor.cols = 1;
  std::vector<float> values(2);
  ASSERT_TRUE(tensor.Read(1, 2, std::as_writable_bytes(std::span(values))).ok());
  EXPECT_EQ(values, (std::vector<float>{2, 3}));
}

template <typename T>
std::vector<float> Widened(DType dtype, const std::vector<T>& values) {
  std::vector<float> out(values.size());
  WidenToF32(dtype, std::as_bytes(std::span(values)).data(), values.size(), out.data());
  return out;
}

TEST(Widen, WholeNumbersAndDoubles) {
  using F = std::vector<float>;
  EXPECT_EQ(Widened<int64_t>(DType::kI64, {-5, 1ll << 40}), (F{-5, 0x1p40f}));
  EXPECT_EQ(Widened<int32_t>(DType::kI32, {-5, (1 << 24) + 1}), (F{-5, 0x1p24f}));
  EXPECT_EQ(Widened<int16_t>(DType::kI16, {-300}), F{-300});
  EXPECT_EQ(Widened<int8_t>(DType::kI8, {-128}), F{-128});
  EXPECT_EQ(Widened<uint8_t>(DType::kU8, {255}), F{255});
  EXPECT_EQ(Widened<uint8_t>(DType::kBool, {0, 1, 2}), (F{0, 1, 1}));
  EXPECT_EQ(Widened<double>(DType::kF64, {1.0 + 0x1p-25}), F{1});
}

// Codes and values of the OCP 8-bit floating point specification, revision 1.0, table 2.
TEST(Widen, EightBitFloats) {
  using F = std::vector<float>;
  EXPECT_EQ(Widened<uint8_t>(DType::kF8E4M3, {0x00, 0x01, 0x07, 0x08, 0x38, 0x7E, 0xFE}),
            (F{0, 0x1p-9f, 0.875f * 0x1p-6f, 0x1p-6f, 1, 448, -448}));
  EXPECT_EQ(Widened<uint8_t>(DType::kF8E5M2, {0x01, 0x03, 0x04, 0x3C, 0x7B, 0x7C, 0xFC}),
            (F{0x1p-16f, 0.75f * 0x1p-14f, 0x1p-14f, 1, 57344,
               std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()}));
  EXPECT_EQ(Widened<uint8_t>(DType::kF8E8M0, {0, 127, 254}), (F{0x1p-127f, 1, 0x1p127f}));
  EXPECT_TRUE(std::isnan(Widened<uint8_t>(DType::kF8E4M3, {0x7F})[0]));
  EXPECT_TRUE(std::isnan(Widened<uint8_t>(DType::kF8E5M2, {0x7D})[0]));
  EXPECT_TRUE(std::isnan(Widened<uint8_t>(DType::kF8E8M0, {0xFF})[0]));
}

}  // namespace
}  // namespace quantized
