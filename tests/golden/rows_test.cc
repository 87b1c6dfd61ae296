// Single rows against the reference encoders, for every codec, every variant of it and every
// instruction set of this processor. Data: tests/golden/data/rows.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <map>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include "core/base/sha256.h"
#include "kernels/codecs/codec.h"
#include "kernels/testing/each_target.h"
#include "kernels/types/quant_type.h"
#include "tests/support/paths.h"

namespace quantized::kernels {
namespace {

constexpr size_t kCols = 1024;

struct GoldenRow {
  std::string variant;  // "none"; "im", "imz": with the first, second row of weights.f32
  size_t index;
  std::string name;
  bool valid;                    // the reference tool accepts the encoded bytes
  std::string encoded, decoded;  // hashes; "-" where the row holds NaN or infinity
};

std::vector<float> ReadFloats(const char* name) {
  std::ifstream file(quantized::testing::GoldenDir() / "rows" / name, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

const std::vector<float>& Values() {
  static const std::vector<float> values = ReadFloats("rows.f32");
  return values;
}

// Null for the variant without.
const float* ImportanceOf(const std::string& variant) {
  static const std::vector<float> weights = ReadFloats("weights.f32");
  EXPECT_EQ(weights.size(), 2 * kCols);
  return variant == "none" ? nullptr : weights.data() + (variant == "im" ? 0 : kCols);
}

// By type name.
const std::map<std::string, std::vector<GoldenRow>>& Rows() {
  static const auto* rows = [] {
    auto* loaded = new std::map<std::string, std::vector<GoldenRow>>;
    std::ifstream file(quantized::testing::GoldenDir() / "rows/rows.txt");
    for (std::string line; std::getline(file, line);) {
      if (line.starts_with('#')) continue;
      std::string type, status;
      GoldenRow row;
      std::istringstream fields(line);
      fields >> type >> row.variant >> row.index >> row.name >> status >> row.encoded >>
          row.decoded;
      row.valid = status == "ok";
      (*loaded)[type].push_back(row);
    }
    return loaded;
  }();
  return *rows;
}

std::string Hash(std::span<const std::byte> bytes) {
  Sha256 hash;
  hash.Update(bytes);
  return hash.HexDigest().substr(0, 32);
}

class GoldenRows : public ::testing::TestWithParam<Codec> {
 protected:
  const Codec& codec() const { return GetParam(); }
  std::string TypeName() const { return std::string(QuantTypeOf(codec().id).name); }
  const std::vector<GoldenRow>& rows() const { return Rows().at(TypeName()); }

  std::vector<std::byte> Encode(EncodeRows encode, const GoldenRow& row) const {
    std::vector<std::byte> out(RowBytes(QuantTypeOf(codec().id), kCols));
    encode(Values().data() + row.index * kCols, ImportanceOf(row.variant), 1, kCols, out.data());
    return out;
  }

  void ExpectGolden(EncodeRows encode) const {
    for (const GoldenRow& row : rows()) {
      SCOPED_TRACE(row.variant + " " + row.name);
      const std::vector<std::byte> got = Encode(encode, row);
      if (row.encoded != "-") {
        EXPECT_EQ(Hash(got), row.encoded);
      }
      if (!row.valid || row.encoded != "-") {
        EXPECT_EQ(codec().is_finite(got.data(), kCols), row.valid);
      }
    }
  }
};

TEST_P(GoldenRows, PlainFormGivesTheReferenceBytes) {
  // Every row without importance and, where they count, with both weights.
  const size_t variants[] = {1, 3, 2};  // by Importance
  ASSERT_EQ(rows().size() * kCols,
            variants[static_cast<size_t>(codec().importance)] * Values().size());
  ExpectGolden(codec().encode_ref);
}

TEST_P(GoldenRows, SimdFormGivesTheReferenceBytes) {
  if (codec().encode_simd == nullptr) GTEST_SKIP() << TypeName() << " has no SIMD form";
  testing::ForEachSimdTarget([&] { ExpectGolden(codec().encode_simd); });
}

TEST_P(GoldenRows, DecodesToTheReferenceValues) {
  testing::ForEachSimdTarget([&] {
    for (const GoldenRow& row : rows()) {
      if (row.decoded == "-") continue;
      SCOPED_TRACE(row.variant + " " + row.name);
      const std::vector<std::byte> bytes = Encode(codec().encode_ref, row);
      std::vector<float> got(kCols);
      codec().decode(bytes.data(), kCols, got.data());
      EXPECT_EQ(Hash(std::as_bytes(std::span(got))), row.decoded);
    }
  });
}

std::vector<Codec> CodecsWithRows() {
  std::vector<Codec> codecs;
  for (const Codec& codec : AllCodecs()) {
    if (codec.id != TypeId::kF32) codecs.push_back(codec);  // F32 is a copy: codec_test
  }
  return codecs;
}

INSTANTIATE_TEST_SUITE_P(All, GoldenRows, ::testing::ValuesIn(CodecsWithRows()),
                         [](const auto& instance) {
                           return std::string(QuantTypeOf(instance.param.id).name);
                         });

}  // namespace
}  // namespace quantized::kernels
