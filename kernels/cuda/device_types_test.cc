// The code of the device, run on the processor: for each type of the device table and each block of
// a few rows, what one thread does, against the plain form. What a device may make of the same
// arithmetic is cuda_codec_test.cc's affair, and ptx_test.cc's.
#include "kernels/cuda/device_types.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string_view>
#include <vector>

#include "kernels/codecs/codec.h"
#include "kernels/cuda/encode_block.h"
#include "kernels/testing/rows.h"

namespace quantized::kernels {
namespace {

constexpr TypeId kSourceTypes[] = {TypeId::kF32, TypeId::kF16, TypeId::kBF16};

struct Input {
  TypeId source_type;
  size_t rows, cols;
  const float* importance;
  std::vector<std::byte> source;  // in source_type
  std::vector<float> values;      // the same
};

Input MakeInput(std::span<const float> x, TypeId source_type, size_t rows,
                const float* importance) {
  Input input{source_type, rows, x.size() / rows, importance, {}, std::vector<float>(x.size())};
  input.source.resize(RowBytes(QuantTypeOf(source_type), x.size()));
  const Codec& codec = *FindCodec(source_type);
  codec.encode_ref(x.data(), nullptr, 1, x.size(), input.source.data());
  codec.decode(input.source.data(), x.size(), input.values.data());
  return input;
}

std::vector<std::byte> EncodePlainly(TypeId type, const Input& input) {
  std::vector<std::byte> out(input.rows * RowBytes(QuantTypeOf(type), input.cols));
  FindCodec(type)->encode_ref(input.values.data(), input.importance, input.rows, input.cols,
                              out.data());
  return out;
}

// One call per thread that the kernel would have.
template <class Row>
std::vector<std::byte> EncodeAsTheDeviceDoes(const Input& input) {
  std::vector<std::byte> out(input.rows * RowBytes(QuantTypeOf(Row::kId), input.cols));
  std::vector<float> mean_squares(input.rows);
  DeviceRows rows = {.source = input.source.data(),
                     .source_type = input.source_type,
                     .cols = input.cols,
                     .importance = input.importance,
                     .mean_squares = mean_squares.data(),
                     .grid = {},
                     .out = out.data()};
  if constexpr (Row::kHasGrid) rows.grid = Row::kGrid();
  for (size_t row = 0; row < input.rows; ++row) mean_squares[row] = MeanSquareOfRow(rows, row);
  const size_t blocks = input.rows * (input.cols / Row::Block::kValues);
  // Any order will do.
  for (size_t block = blocks; block-- > 0;) EncodeOneBlock<Row>(rows, block);
  return out;
}

template <class Row>
class DeviceTypesTest : public ::testing::Test {};

template <class>
struct TestTypes;
template <class... Rows>
struct TestTypes<DeviceTypeList<Rows...>> {
  using Types = ::testing::Types<Rows...>;
};

struct TypeNames {
  template <class Row>
  static std::string GetName(int) {
    return std::string(QuantTypeOf(Row::kId).name);
  }
};
TYPED_TEST_SUITE(DeviceTypesTest, TestTypes<DeviceTypes>::Types, TypeNames);

TYPED_TEST(DeviceTypesTest, EachThreadGivesThePlainFormsBlock) {
  const Importance weighing = FindCodec(TypeParam::kId)->importance;
  const size_t rows = 3, cols = 2 * std::max<size_t>(TypeParam::Block::kValues, 32);
  for (const testing::RowKind& kind : testing::AllRowKinds()) {
    std::vector<float> x(rows * cols);
    kind.fill(x, /*seed=*/x.size());
    for (const TypeId source_type : kSourceTypes) {
      SCOPED_TRACE(::testing::Message() << kind.name << " as " << QuantTypeOf(source_type).name);
      if (weighing != Importance::kRequired) {
        const Input input = MakeInput(x, source_type, rows, nullptr);
        EXPECT_TRUE(EncodeAsTheDeviceDoes<TypeParam>(input) ==
                    EncodePlainly(TypeParam::kId, input));
      }
      for (const testing::RowKind& weights : testing::AllImportanceKinds()) {
        SCOPED_TRACE(weights.name);
        std::vector<float> importance(cols);
        weights.fill(importance, /*seed=*/x.size() + 1);
        const Input input = MakeInput(x, source_type, rows, importance.data());
        EXPECT_TRUE(EncodeAsTheDeviceDoes<TypeParam>(input) ==
                    EncodePlainly(TypeParam::kId, input));
      }
    }
  }
}

TYPED_TEST(DeviceTypesTest, BlocksAreThoseOfTheTypeTable) {
  EXPECT_EQ(TypeParam::Block::kValues, QuantTypeOf(TypeParam::kId).block_values);
  EXPECT_EQ(sizeof(typename TypeParam::Block), QuantTypeOf(TypeParam::kId).block_bytes);
}

template <class... Rows>
std::vector<TypeId> IdsOf(DeviceTypeList<Rows...>) {
  return {Rows::kId...};
}

TEST(DeviceTypes, AreAllTypesOfTheCodecsThatComputeSomething) {
  std::vector<TypeId> computed;
  for (const Codec& codec : AllCodecs()) {
    if (QuantTypeOf(codec.id).block_values > 1) computed.push_back(codec.id);
  }
  EXPECT_EQ(IdsOf(DeviceTypes()), computed);
}

}  // namespace
}  // namespace quantized::kernels
