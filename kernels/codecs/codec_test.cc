#include "kernels/codecs/codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "kernels/testing/each_target.h"
#include "kernels/testing/rows.h"
#include "tests/support/paths.h"

namespace quantized::kernels {
namespace {

class CodecTest : public ::testing::TestWithParam<Codec> {
 protected:
  const Codec& codec() const { return GetParam(); }
  const QuantType& type() const { return QuantTypeOf(codec().id); }

  std::vector<std::byte> Encode(EncodeRows encode, std::span<const float> x, size_t rows,
                                const float* importance) const {
    const size_t cols = x.size() / rows;
    std::vector<std::byte> out(rows * RowBytes(type(), cols));
    encode(x.data(), importance, rows, cols, out.data());
    return out;
  }
  // Without importance, or with weights of 1 where there must be some.
  std::vector<std::byte> Encode(EncodeRows encode, std::span<const float> x, size_t rows) const {
    return Encode(encode, x, rows, PlainImportance(x.size() / rows));
  }
  const float* PlainImportance(size_t cols) const {
    static const std::vector<float> ones(1 << 16, 1.0f);
    EXPECT_LE(cols, ones.size());
    return codec().importance == Importance::kRequired ? ones.data() : nullptr;
  }
  std::vector<float> Decode(std::span<const std::byte> bytes, size_t count) const {
    std::vector<float> out(count);
    codec().decode(bytes.data(), count, out.data());
    return out;
  }
};

TEST_P(CodecTest, SimdFormGivesThePlainFormsBytes) {
  if (codec().encode_simd == nullptr) GTEST_SKIP() << type().name << " has no SIMD form";
  // Shapes around the batches of 1 to 16 blocks that the forms work in.
  struct Shape {
    size_t rows, blocks;
  };
  for (const Shape shape :
       {Shape{1, 1}, {1, 2}, {1, 3}, {3, 1}, {1, 16}, {5, 7}, {1, 33}, {3, 17}}) {
    for (const testing::RowKind& kind : testing::AllRowKinds()) {
      SCOPED_TRACE(::testing::Message()
                   << kind.name << " " << shape.rows << " x " << shape.blocks << " blocks");
      // Types without blocks: odd counts, so that the last vector is not full.
      const size_t cols =
          type().block_values > 1 ? shape.blocks * type().block_values : 13 * shape.blocks;
      std::vector<float> x(shape.rows * cols);
      kind.fill(x, /*seed=*/x.size());
      const std::vector<std::byte> want = Encode(codec().encode_ref, x, shape.rows);
      testing::ForEachSimdTarget(
          [&] { EXPECT_TRUE(Encode(codec().encode_simd, x, shape.rows) == want); });
      for (const testing::RowKind& weights : testing::AllImportanceKinds()) {
        SCOPED_TRACE(weights.name);
        std::vector<float> importance(cols);
        weights.fill(importance, /*seed=*/x.size() + 1);
        const auto weighed = Encode(codec().encode_ref, x, shape.rows, importance.data());
        testing::ForEachSimdTarget([&] {
          EXPECT_TRUE(Encode(codec().encode_simd, x, shape.rows, importance.data()) == weighed);
        });
      }
    }
  }
}

TEST_P(CodecTest, EncodesRowsIndependently) {
  const size_t cols = 3 * std::max<size_t>(type().block_values, 11);
  std::vector<float> x(5 * cols);
  testing::RowKindNamed("many-scales").fill(x, 1);
  std::vector<std::byte> apart;
  for (size_t row = 0; row < 5; ++row) {
    const auto bytes = Encode(BestEncoder(codec()), std::span(x).subspan(row * cols, cols), 1);
    apart.insert(apart.end(), bytes.begin(), bytes.end());
  }
  EXPECT_TRUE(Encode(BestEncoder(codec()), x, 5) == apart);
}

TEST_P(CodecTest, EncodesOnTwoThreadsAtOnce) {
  constexpr size_t kRows = 16;
  const size_t cols = 5 * std::max<size_t>(type().block_values, 32);
  std::vector<float> x(kRows * cols);
  testing::RowKindNamed("heavy-tails").fill(x, 6);
  const std::vector<std::byte> want = Encode(codec().encode_ref, x, kRows);
  std::vector<std::byte> got(want.size());
  const auto half = [&](size_t first) {
    BestEncoder(codec())(x.data() + first * cols, PlainImportance(cols), kRows / 2, cols,
                         got.data() + first * RowBytes(type(), cols));
  };
  std::thread other(half, kRows / 2);
  half(0);
  other.join();
  EXPECT_TRUE(got == want);
}

TEST_P(CodecTest, EncodedBytesNeedNoAlignment) {
  std::vector<float> x(std::max<size_t>(type().block_values, 32) * 17);
  testing::RowKindNamed("normal").fill(x, 2);
  const std::vector<std::byte> want = Encode(codec().encode_ref, x, 1);
  std::vector<std::byte> shifted(want.size() + 1);
  BestEncoder(codec())(x.data(), PlainImportance(x.size()), 1, x.size(), shifted.data() + 1);
  EXPECT_TRUE(std::ranges::equal(std::span(shifted).subspan(1), want));
  EXPECT_TRUE(codec().is_finite(shifted.data() + 1, x.size()));
  std::vector<float> decoded(x.size());
  codec().decode(shifted.data() + 1, x.size(), decoded.data());
  EXPECT_EQ(decoded, Decode(want, x.size()));
}

// A search that keeps its promise may not lose more than the type must, nor less than it can.
TEST_P(CodecTest, ErrorOnNormalValuesIsTheTypes) {
  struct Bounds {
    TypeId id;
    double low, high;  // of the root mean square error, in standard deviations
  };
  constexpr Bounds kBounds[] = {
      {TypeId::kF32, 0, 0},           {TypeId::kF16, 1e-5, 3e-4},    {TypeId::kQ4_0, 0.08, 0.10},
      {TypeId::kQ4_1, 0.07, 0.085},   {TypeId::kQ5_0, 0.04, 0.05},   {TypeId::kQ5_1, 0.033, 0.042},
      {TypeId::kQ8_0, 0.004, 0.006},  {TypeId::kQ2_K, 0.25, 0.35},   {TypeId::kQ3_K, 0.15, 0.2},
      {TypeId::kQ4_K, 0.06, 0.085},   {TypeId::kQ5_K, 0.03, 0.042},  {TypeId::kQ6_K, 0.015, 0.025},
      {TypeId::kIQ4_NL, 0.07, 0.08},  {TypeId::kIQ4_XS, 0.07, 0.08}, {TypeId::kBF16, 1e-3, 2e-3},
      {TypeId::kTQ1_0, 0.75, 0.9},    {TypeId::kTQ2_0, 0.75, 0.9},   {TypeId::kMXFP4, 0.1, 0.125},
      {TypeId::kNVFP4, 0.09, 0.11},   {TypeId::kQ1_0, 0.58, 0.62},   {TypeId::kQ2_0, 0.65, 0.8},
      {TypeId::kIQ2_XXS, 0.3, 0.4},   {TypeId::kIQ2_XS, 0.27, 0.33}, {TypeId::kIQ2_S, 0.24, 0.29},
      {TypeId::kIQ3_XXS, 0.19, 0.23}, {TypeId::kIQ3_S, 0.15, 0.18},
  };
  const auto* bounds = std::ranges::find(kBounds, codec().id, &Bounds::id);
  ASSERT_NE(bounds, std::end(kBounds));
  std::vector<float> x(256 * 64);
  testing::RowKindNamed("normal").fill(x, 3);
  const std::vector<float> decoded = Decode(Encode(codec().encode_ref, x, 1), x.size());
  double error = 0, energy = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    error += std::pow(static_cast<double>(x[i]) - decoded[i], 2);
    energy += std::pow(static_cast<double>(x[i]), 2);
  }
  EXPECT_GE(std::sqrt(error / energy), bounds->low);
  EXPECT_LE(std::sqrt(error / energy), bounds->high);
}

TEST_P(CodecTest, SeesEveryValueOrScaleThatIsNotFinite) {
  constexpr size_t kCount = 8192;
  std::vector<float> x(kCount);
  testing::RowKindNamed("normal").fill(x, 4);
  const std::vector<std::byte> good = Encode(codec().encode_ref, x, 1);
  ASSERT_TRUE(codec().is_finite(good.data(), kCount));
  const auto is_one_of = [this](std::initializer_list<TypeId> ids) {
    return std::ranges::find(ids, codec().id) != ids.end();
  };
  const bool fits = is_one_of({TypeId::kF32, TypeId::kBF16});
  // In a search that overflows to a scale of zero, or in scales that are never infinite.
  const bool drowns = is_one_of({TypeId::kQ3_K, TypeId::kQ6_K, TypeId::kIQ2_XXS, TypeId::kIQ4_XS,
                                 TypeId::kMXFP4, TypeId::kNVFP4});
  for (const float bad :
       {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(), 1e30f}) {
    if (drowns || (bad == 1e30f && fits)) continue;
    for (const size_t at : {size_t{0}, size_t{2047}, size_t{2048}, kCount - 1}) {
      std::vector<float> y = x;
      y[at] = bad;
      EXPECT_FALSE(codec().is_finite(Encode(codec().encode_ref, y, 1).data(), kCount))
          << bad << " at " << at;
    }
  }
}

TEST_P(CodecTest, ImportanceIsWeighedOrIgnored) {
  std::vector<float> x(4096), importance(x.size());
  testing::RowKindNamed("normal").fill(x, 5);
  testing::AllImportanceKinds()[0].fill(importance, 6);
  const bool same =
      Encode(codec().encode_ref, x, 1, importance.data()) == Encode(codec().encode_ref, x, 1);
  EXPECT_EQ(same, codec().importance == Importance::kIgnored);
  if (codec().importance == Importance::kRequired) {
    EXPECT_DEATH(Encode(codec().encode_ref, x, 1, nullptr), "importance");
  }
}

INSTANTIATE_TEST_SUITE_P(All, CodecTest,
                         ::testing::ValuesIn(AllCodecs().begin(), AllCodecs().end()),
                         [](const auto& instance) {
                           return std::string(QuantTypeOf(instance.param.id).name);
                         });

TEST(Codecs, AreFoundByIdAndHaveAPlainForm) {
  for (const Codec& codec : AllCodecs()) {
    EXPECT_EQ(FindCodec(codec.id), &codec);
    EXPECT_NE(codec.encode_ref, nullptr);
    EXPECT_NE(codec.decode, nullptr);
    EXPECT_NE(codec.is_finite, nullptr);
  }
  EXPECT_EQ(FindCodec(TypeId::kI8), nullptr);
  EXPECT_EQ(FindCodec(TypeId::kQ8_1), nullptr);
}

TEST(Codecs, F32IsACopy) {
  const Codec& codec = *FindCodec(TypeId::kF32);
  const std::vector<float> x = {1.5f, -0.0f, 1e-45f, 3e38f};
  std::vector<std::byte> bytes(16);
  BestEncoder(codec)(x.data(), nullptr, 2, 2, bytes.data());
  EXPECT_EQ(std::memcmp(bytes.data(), x.data(), 16), 0);
  std::vector<float> back(4);
  codec.decode(bytes.data(), 4, back.data());
  EXPECT_EQ(std::memcmp(back.data(), x.data(), 16), 0);
}

TEST(Codecs, TheDocumentedTableIsThisTable) {
  std::string want;
  for (const QuantType& type : AllQuantTypes()) {
    std::ostringstream line;
    line << "| " << static_cast<uint32_t>(type.id) << " | " << type.name << " | "
         << type.block_values << " | " << type.block_bytes << " | "
         << 8.0 * type.block_bytes / type.block_values << " | "
         << (FindCodec(type.id) != nullptr ? "yes" : "no") << " |\n";
    want += line.str();
  }
  std::ifstream file(quantized::testing::SourceDir() / "docs/formats/gguf-types.md");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  EXPECT_THAT(text, ::testing::HasSubstr("|---|\n" + want + "\n"));
}

// The scale fields, by name: what the reference tool looks at.
TEST(Codecs, LookAtEveryScaleOfABlock) {
  struct Field {
    TypeId id;
    size_t offset;
  };
  for (const Field field :
       {Field{TypeId::kQ4_0, 0}, {TypeId::kQ4_1, 0},    {TypeId::kQ4_1, 2},   {TypeId::kQ5_0, 0},
        {TypeId::kQ5_1, 0},      {TypeId::kQ5_1, 2},    {TypeId::kQ8_0, 0},   {TypeId::kQ2_K, 80},
        {TypeId::kQ2_K, 82},     {TypeId::kQ3_K, 108},  {TypeId::kQ4_K, 0},   {TypeId::kQ4_K, 2},
        {TypeId::kQ5_K, 0},      {TypeId::kQ5_K, 2},    {TypeId::kQ6_K, 208}, {TypeId::kIQ4_NL, 0},
        {TypeId::kIQ4_XS, 0},    {TypeId::kTQ1_0, 52},  {TypeId::kTQ2_0, 64}, {TypeId::kQ1_0, 0},
        {TypeId::kQ2_0, 0},      {TypeId::kIQ2_XXS, 0}, {TypeId::kIQ2_XS, 0}, {TypeId::kIQ2_S, 0},
        {TypeId::kIQ3_XXS, 0},   {TypeId::kIQ3_S, 0}}) {
    const QuantType& type = QuantTypeOf(field.id);
    SCOPED_TRACE(::testing::Message() << type.name << " at " << field.offset);
    std::vector<std::byte> blocks(3 * type.block_bytes, std::byte{0x11});
    const size_t count = 3 * type.block_values;
    EXPECT_TRUE(FindCodec(field.id)->is_finite(blocks.data(), count));
    for (const std::byte high : {std::byte{0x7C}, std::byte{0xFC}, std::byte{0x7E}}) {
      std::vector<std::byte> bad = blocks;
      bad[2 * type.block_bytes + field.offset + 1] = high;
      EXPECT_FALSE(FindCodec(field.id)->is_finite(bad.data(), count));
    }
  }
}

}  // namespace
}  // namespace quantized::kernels
