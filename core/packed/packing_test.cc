// Packing and unpacking, against words that other tools made (tests/golden/data/packed) and against
// a bit by bit reference.
#include <cstring>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/packed/awq.h"
#include "core/packed/bit_stream.h"
#include "core/packed/gptq.h"
#include "core/packed/packed_tensor.h"
#include "core/packed/quantized_linear.h"
#include "core/safetensors/reader.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernels/types/half.h"
#include "tests/support/paths.h"

namespace quantized {
namespace {

using safetensors::SafetensorsReader;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr std::string_view kSuffixes[] = {"qweight", "qzeros", "scales", "g_idx"};

template <typename T>
std::vector<T> Values(const std::vector<std::byte>& bytes) {
  std::vector<T> values(bytes.size() / sizeof(T));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

// A file of tests/golden/data/packed.
class Golden {
 public:
  explicit Golden(const std::string& name) {
    auto reader =
        SafetensorsReader::Open(testing::GoldenDir() / "packed" / (name + ".safetensors"));
    EXPECT_TRUE(reader.ok()) << reader.status();
    reader_ = *std::move(reader);
  }

  bool Has(const std::string& name) const { return reader_->Find(name) != nullptr; }

  std::vector<std::byte> Bytes(const std::string& name) const {
    const safetensors::TensorInfo* info = reader_->Find(name);
    EXPECT_NE(info, nullptr) << name;
    std::vector<std::byte> bytes(info->size_bytes);
    EXPECT_TRUE(reader_->Read(*info, 0, bytes).ok());
    return bytes;
  }

  // Those that lie there under `prefix`, with what is missing taken from `or_prefix`.
  std::vector<PackedTensor> Tensors(const std::string& prefix, const std::string& or_prefix) const {
    std::vector<PackedTensor> tensors;
    for (const std::string_view suffix : kSuffixes) {
      std::string name = prefix + std::string(suffix);
      if (!Has(name)) name = or_prefix + std::string(suffix);
      if (!Has(name)) continue;
      const safetensors::TensorInfo* info = reader_->Find(name);
      tensors.push_back({{suffix, info->dtype, info->shape}, Bytes(name)});
    }
    return tensors;
  }

  QuantizedLinear Linear(int bits) const {
    QuantizedLinear linear = {.out = 64, .in = 96, .group_size = 32, .bits = bits};
    linear.codes = Values<uint8_t>(Bytes("codes"));
    linear.zeros = Values<uint8_t>(Bytes("zeros"));
    linear.scales = Matrix(64, 3);
    const std::vector<uint16_t> scales = Values<uint16_t>(Bytes("scales"));
    for (size_t i = 0; i < scales.size(); ++i) {
      linear.scales.values[i] = kernels::F16ToF32(scales[i]);
    }
    return linear;
  }

 private:
  std::unique_ptr<SafetensorsReader> reader_;
};

void ExpectEqual(const std::vector<PackedTensor>& got, const std::vector<PackedTensor>& want) {
  ASSERT_THAT(got, SizeIs(want.size()));
  for (size_t i = 0; i < want.size(); ++i) {
    SCOPED_TRACE(want[i].shape.suffix);
    EXPECT_EQ(got[i].shape.suffix, want[i].shape.suffix);
    EXPECT_EQ(got[i].shape.dtype, want[i].shape.dtype);
    EXPECT_EQ(got[i].shape.dims, want[i].shape.dims);
    EXPECT_TRUE(got[i].bytes == want[i].bytes);
  }
}

void ExpectEqual(const QuantizedLinear& got, const QuantizedLinear& want) {
  EXPECT_EQ(got.out, want.out);
  EXPECT_EQ(got.in, want.in);
  EXPECT_EQ(got.group_size, want.group_size);
  EXPECT_EQ(got.bits, want.bits);
  EXPECT_TRUE(got.codes == want.codes);
  EXPECT_TRUE(got.zeros == want.zeros);
  EXPECT_TRUE(got.scales.values == want.scales.values);
  EXPECT_EQ(got.group_of, want.group_of);
}

// A layer of random codes and zero points from `least_zero` on.
QuantizedLinear RandomLinear(size_t out, size_t in, size_t group_size, int bits, int least_zero) {
  std::mt19937 random(static_cast<uint32_t>(out + in + group_size) + static_cast<uint32_t>(bits));
  QuantizedLinear linear = {.out = out, .in = in, .group_size = group_size, .bits = bits};
  std::uniform_int_distribution<int> code(0, linear.max_code());
  std::uniform_int_distribution<int> zero(least_zero, linear.max_code());
  linear.codes.resize(out * in);
  for (uint8_t& c : linear.codes) c = static_cast<uint8_t>(code(random));
  linear.zeros.resize(out * linear.groups());
  for (uint8_t& z : linear.zeros) z = static_cast<uint8_t>(zero(random));
  linear.scales = Matrix(out, linear.groups());
  for (float& s : linear.scales.values) s = static_cast<float>(1 + random() % 2000) / 4096;
  return linear;
}

TEST(BitStreamTest, EqualsTheDefinitionBitByBit) {
  for (const int bits : kStreamBits) {
    SCOPED_TRACE(bits);
    // A tile of columns, and one that is not full.
    for (const size_t streams : {1, 16, 21}) {
      const size_t length = 96, width = static_cast<size_t>(bits);
      const QuantizedLinear linear = RandomLinear(streams, length, length, bits, 0);
      std::vector<uint32_t> want(length * width / 32 * streams), got(want.size());
      for (size_t s = 0; s < streams; ++s) {
        for (size_t k = 0; k < length * width; ++k) {
          const uint32_t bit = linear.codes[s * length + k / width] >> k % width & 1;
          want[k / 32 * streams + s] |= bit << k % 32;
        }
      }
      PackColumns(linear.codes.data(), streams, length, bits,
                  reinterpret_cast<std::byte*>(got.data()));
      EXPECT_EQ(got, want);
      std::vector<uint8_t> codes(streams * length);
      UnpackColumns(reinterpret_cast<const std::byte*>(want.data()), streams, length, bits,
                    codes.data());
      EXPECT_EQ(codes, linear.codes);
      if (streams != 1) continue;
      std::vector<uint32_t> stream(want.size());
      PackStream(linear.codes, bits, reinterpret_cast<std::byte*>(stream.data()));
      EXPECT_EQ(stream, want);
    }
  }
}

TEST(BitStreamDeathTest, ACodeThatIsTooLargeIsAFaultOfOurs) {
  std::vector<uint8_t> codes(32, 7);
  std::byte out[16];
  PackStream(codes, 3, out);
  codes[17] = 8;
  EXPECT_DEATH(PackStream(codes, 3, out), "CHECK failed");
  EXPECT_DEATH(PackColumns(codes.data(), 1, 32, 3, out), "CHECK failed");
}

struct GptqCase {
  std::string name;
  int bits;
};

class GptqGoldenTest : public ::testing::TestWithParam<GptqCase> {};

TEST_P(GptqGoldenTest, PacksAndUnpacksTheSameWords) {
  const Golden golden(GetParam().name);
  const QuantizedLinear linear = golden.Linear(GetParam().bits);
  const bool has_zero = std::ranges::count(linear.zeros, 0) != 0;
  for (const GptqVersion version : {GptqVersion::kV1, GptqVersion::kV2}) {
    SCOPED_TRACE(version == GptqVersion::kV1 ? "v1" : "v2");
    const std::vector<PackedTensor> want =
        golden.Tensors(version == GptqVersion::kV1 ? "v1." : "v2.", "v1.");
    const GptqForm form = {.bits = GetParam().bits, .group_size = 32, .version = version};
    const auto packed = PackGptq("layer", linear, version);
    const auto unpacked = UnpackGptq("layer", want, form);
    if (version == GptqVersion::kV1 && has_zero) {
      EXPECT_EQ(ErrorOf(packed.status()), Error::kInvalidArgument);
      EXPECT_EQ(ErrorOf(unpacked.status()), Error::kUnsupportedConversion);
      continue;
    }
    ASSERT_TRUE(packed.ok()) << packed.status();
    ExpectEqual(*packed, want);
    ASSERT_TRUE(unpacked.ok()) << unpacked.status();
    ExpectEqual(*unpacked, linear);
  }
}

std::string GptqCaseName(const ::testing::TestParamInfo<GptqCase>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(All, GptqGoldenTest,
                         ::testing::Values(GptqCase{"gptq_b2_sym", 2}, GptqCase{"gptq_b2_asym", 2},
                                           GptqCase{"gptq_b3_sym", 3}, GptqCase{"gptq_b3_asym", 3},
                                           GptqCase{"gptq_b4_sym", 4}, GptqCase{"gptq_b4_asym", 4},
                                           GptqCase{"gptq_b8_sym", 8}, GptqCase{"gptq_b8_asym", 8}),
                         GptqCaseName);

TEST(GptqTest, ActOrderKeepsTheGroupOfEachChannel) {
  const Golden golden("gptq_b4_actorder");
  const std::vector<PackedTensor> want = golden.Tensors("v1.", "v1.");
  QuantizedLinear linear = golden.Linear(4);
  linear.group_of = Values<uint32_t>(golden.Bytes("v1.g_idx"));
  const auto packed = PackGptq("layer", linear, GptqVersion::kV1);
  ASSERT_TRUE(packed.ok()) << packed.status();
  ExpectEqual(*packed, want);
  const auto unpacked = UnpackGptq("layer", want, {.bits = 4, .group_size = 32});
  ASSERT_TRUE(unpacked.ok()) << unpacked.status();
  ExpectEqual(*unpacked, linear);
  std::vector<float> weights(64 * 96);
  unpacked->Dequantize(0, 64, weights.data());
  EXPECT_EQ(weights, Values<float>(golden.Bytes("dequant")));
  EXPECT_EQ(ErrorOf(PackAwq("layer", linear).status()), Error::kInvalidArgument);
}

TEST(AwqTest, PacksAndUnpacksTheSameWords) {
  const Golden golden("awq_b4_g32");
  const std::vector<PackedTensor> want = golden.Tensors("gemm.", "gemm.");
  const QuantizedLinear linear = golden.Linear(4);
  const auto packed = PackAwq("layer", linear);
  ASSERT_TRUE(packed.ok()) << packed.status();
  ExpectEqual(*packed, want);
  const auto unpacked = UnpackAwq("layer", want, 32);
  ASSERT_TRUE(unpacked.ok()) << unpacked.status();
  ExpectEqual(*unpacked, linear);
}

TEST(QuantizedLinearTest, DequantizesRows) {
  for (const char* name : {"awq_b4_g32", "gptq_b3_asym"}) {
    SCOPED_TRACE(name);
    const Golden golden(name);
    const QuantizedLinear linear = golden.Linear(std::string(name)[0] == 'a' ? 4 : 3);
    const std::vector<float> want = Values<float>(golden.Bytes("dequant"));
    std::vector<float> rows(5 * 96);
    linear.Dequantize(7, 5, rows.data());
    EXPECT_EQ(rows, std::vector<float>(want.begin() + 7 * 96, want.begin() + 12 * 96));
  }
}

TEST(PackingTest, LargerLayersSurviveTheWayThere) {
  // Edges of the tiles: outputs beyond a tile, inputs that are no multiple of 64, one group a row.
  for (const int bits : kStreamBits) {
    for (const auto& [out, in, group_size] :
         std::vector<std::array<size_t, 3>>{{288, 160, 32}, {32, 192, 192}, {160, 64, 64}}) {
      SCOPED_TRACE(::testing::Message() << bits << " bits, " << out << " x " << in);
      QuantizedLinear linear = RandomLinear(out, in, group_size, bits, 1);
      const GptqForm form = {
          .bits = bits, .group_size = in == group_size ? -1 : static_cast<int64_t>(group_size)};
      const auto gptq = PackGptq("layer", linear, GptqVersion::kV1);
      ASSERT_TRUE(gptq.ok()) << gptq.status();
      const auto back = UnpackGptq("layer", *gptq, form);
      ASSERT_TRUE(back.ok()) << back.status();
      ExpectEqual(*back, linear);
      if (bits != 4) continue;
      const auto awq = PackAwq("layer", linear);
      ASSERT_TRUE(awq.ok()) << awq.status();
      const auto awq_back = UnpackAwq("layer", *awq, form.group_size);
      ASSERT_TRUE(awq_back.ok()) << awq_back.status();
      ExpectEqual(*awq_back, linear);
    }
  }
}

TEST(GptqTest, VersionOfSymmetricLayersComesFromTheZeros) {
  for (const char* name : {"gptq_b2_sym", "gptq_b3_sym", "gptq_b4_sym", "gptq_b8_sym"}) {
    SCOPED_TRACE(name);
    const Golden golden(name);
    const int bits = name[6] - '0';
    EXPECT_EQ(SymmetricVersion(golden.Tensors("v1.", "v1.")[1], bits), GptqVersion::kV1);
    EXPECT_EQ(SymmetricVersion(golden.Tensors("v2.", "v1.")[1], bits), GptqVersion::kV2);
    const Golden other("gptq_b" + std::to_string(bits) + "_asym");
    EXPECT_EQ(SymmetricVersion(other.Tensors("v2.", "v1.")[1], bits), std::nullopt);
  }
}

TEST(PackingTest, LayersThatNoCheckpointHoldsAreRefused) {
  const QuantizedLinear good = RandomLinear(32, 64, 32, 4, 1);
  struct Case {
    const char* message;
    void (*spoil)(QuantizedLinear&);
  };
  for (const auto& [message, spoil] : {
           Case{"found codes of 5 bits", [](QuantizedLinear& l) { l.bits = 5; }},
           Case{"output size: found 40", [](QuantizedLinear& l) { l.out = 40; }},
           Case{"input size: found 48", [](QuantizedLinear& l) { l.in = 48; }},
           Case{"input size: found 64, expected a multiple of 48",
                [](QuantizedLinear& l) { l.group_size = 48; }},
           Case{"expected a multiple of 0", [](QuantizedLinear& l) { l.group_size = 0; }},
           Case{"found 2047 codes", [](QuantizedLinear& l) { l.codes.pop_back(); }},
           Case{"found 63 zeros", [](QuantizedLinear& l) { l.zeros.pop_back(); }},
           Case{"found 64 rows of scales", [](QuantizedLinear& l) { l.scales = Matrix(64, 1); }},
           Case{"found 1 groups of channels", [](QuantizedLinear& l) { l.group_of = {0}; }},
           Case{"channel 63 is in group 2",
                [](QuantizedLinear& l) {
                  l.group_of.assign(64, 1);
                  l.group_of[63] = 2;
                }},
       }) {
    SCOPED_TRACE(message);
    QuantizedLinear linear = good;
    spoil(linear);
    const absl::Status status = PackGptq("model.layer", linear, GptqVersion::kV2).status();
    EXPECT_EQ(ErrorOf(status), Error::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr(message));
  }
}

TEST(PackingTest, ScalesThatFloat16DoesNotHoldAreRefused) {
  for (const float scale : {0.1f, 1e6f, -1e9f, std::numeric_limits<float>::quiet_NaN()}) {
    QuantizedLinear linear = RandomLinear(32, 64, 32, 4, 1);
    linear.scales.at(3, 1) = scale;
    for (const absl::Status& status : {PackGptq("layer", linear, GptqVersion::kV1).status(),
                                       PackAwq("layer", linear).status()}) {
      EXPECT_EQ(ErrorOf(status), Error::kValidationFailed);
      EXPECT_THAT(std::string(status.message()),
                  HasSubstr("tensor layer.scales: group 1 of output 3: found"));
    }
  }
}

// A file's tensors, spoilt.
struct HostileCase {
  const char* message;
  void (*spoil)(std::vector<PackedTensor>&);
};

void SetWord(PackedTensor& tensor, size_t at, uint32_t word) {
  std::memcpy(&tensor.bytes[4 * at], &word, 4);
}

TEST(GptqTest, TensorsThatDoNotFitAreRefused) {
  const auto good = PackGptq("m", RandomLinear(32, 64, 32, 4, 1), GptqVersion::kV1);
  ASSERT_TRUE(good.ok());
  for (const auto& [message, spoil] : {
           HostileCase{"m.qweight: missing", [](auto& t) { t.erase(t.begin()); }},
           HostileCase{"m.scales: missing", [](auto& t) { t.erase(t.begin() + 2); }},
           HostileCase{"m.qzeros: missing", [](auto& t) { t.erase(t.begin() + 1); }},
           HostileCase{"m.qweight: found F16 [8, 32], expected I32 [8, 32]",
                       [](auto& t) { t[0].shape.dtype = DType::kF16; }},
           HostileCase{"m.qweight: found shape [8]", [](auto& t) { t[0].shape.dims = {8}; }},
           HostileCase{"m.qweight: found shape [0, 32]", [](auto& t) { t[0].shape.dims[0] = 0; }},
           HostileCase{"expected two sizes from 1 to 2147483647",
                       [](auto& t) { t[0].shape.dims[1] = uint64_t{1} << 40; }},
           HostileCase{"m.qweight: found 7 rows of words, expected a multiple of 4",
                       [](auto& t) { t[0].shape.dims[0] = 7; }},
           HostileCase{"m.qweight: found 33 columns, expected a multiple of 32",
                       [](auto& t) { t[0].shape.dims[1] = 33; }},
           HostileCase{"m.qweight: found 1016 bytes, expected 1024",
                       [](auto& t) { t[0].bytes.resize(1016); }},
           HostileCase{"m.qzeros: found I32 [2, 5], expected I32 [2, 4]",
                       [](auto& t) { t[1].shape.dims[1] = 5; }},
           HostileCase{"m.scales: found F32 [2, 32], expected F16 [2, 32]",
                       [](auto& t) { t[2].shape.dtype = DType::kF32; }},
           HostileCase{"m.scales: found F16 [3, 32], expected F16 [2, 32]",
                       [](auto& t) { t[2].shape.dims[0] = 3; }},
           HostileCase{"m.scales: group 0 of output 1 is not a finite number",
                       [](auto& t) { SetWord(t[2], 0, 0x7C000000); }},
           HostileCase{"m.g_idx: channel 5: found group 2, expected one from 0 to 1",
                       [](auto& t) { SetWord(t[3], 5, 2); }},
           HostileCase{"m.g_idx: channel 5: found group -1, expected one from 0 to 1",
                       [](auto& t) { SetWord(t[3], 5, ~0u); }},
           HostileCase{"m.g_idx: found I64 [64], expected I32 [64]",
                       [](auto& t) { t[3].shape.dtype = DType::kI64; }},
       }) {
    SCOPED_TRACE(message);
    std::vector<PackedTensor> tensors = *good;
    spoil(tensors);
    const absl::Status status = UnpackGptq("m", tensors, {.bits = 4, .group_size = 32}).status();
    EXPECT_EQ(ErrorOf(status), Error::kValidationFailed) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(message));
  }
  for (const int64_t group_size : {0, 48, -2, 128}) {
    EXPECT_EQ(ErrorOf(UnpackGptq("m", *good, {.bits = 4, .group_size = group_size}).status()),
              Error::kValidationFailed);
  }
  EXPECT_EQ(ErrorOf(UnpackGptq("m", *good, {.bits = 5, .group_size = 32}).status()),
            Error::kValidationFailed);
}

TEST(GptqTest, NaturalGroupsNeedNoIndex) {
  const QuantizedLinear linear = RandomLinear(32, 64, 32, 8, 1);
  auto tensors = PackGptq("m", linear, GptqVersion::kV1);
  ASSERT_TRUE(tensors.ok());
  tensors->pop_back();
  const auto back = UnpackGptq("m", *tensors, {.bits = 8, .group_size = 32});
  ASSERT_TRUE(back.ok()) << back.status();
  ExpectEqual(*back, linear);
}

TEST(GptqTest, BFloat16ScalesAreRead) {
  auto tensors = PackGptq("m", RandomLinear(32, 64, 32, 4, 1), GptqVersion::kV1);
  ASSERT_TRUE(tensors.ok());
  (*tensors)[2].shape.dtype = DType::kBF16;
  SetWord((*tensors)[2], 0, 0x3F803F00);  // 0.5 and 1 of outputs 0 and 1
  const auto back = UnpackGptq("m", *tensors, {.bits = 4, .group_size = 32});
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->scales.at(0, 0), 0.5f);
  EXPECT_EQ(back->scales.at(1, 0), 1.0f);
}

TEST(AwqTest, TensorsThatDoNotFitAreRefused) {
  const auto good = PackAwq("m", RandomLinear(32, 64, 32, 4, 0));
  ASSERT_TRUE(good.ok());
  for (const auto& [message, spoil] : {
           HostileCase{"m.qweight: missing", [](auto& t) { t.erase(t.begin()); }},
           HostileCase{"m.scales: missing", [](auto& t) { t.pop_back(); }},
           HostileCase{"m.qweight: found shape [64, 4, 1]",
                       [](auto& t) { t[0].shape.dims.push_back(1); }},
           HostileCase{"m.qweight: found shape [64, 2305843009213693952]",
                       [](auto& t) { t[0].shape.dims[1] = uint64_t{1} << 61; }},
           HostileCase{"m.qweight: found 8 bytes, expected 1024",
                       [](auto& t) { t[0].bytes.resize(8); }},
           HostileCase{"m.qzeros: found I32 [1, 4], expected I32 [2, 4]",
                       [](auto& t) { t[1].shape.dims[0] = 1; }},
           HostileCase{"m.scales: group 1 of output 31 is not a finite number",
                       [](auto& t) { SetWord(t[2], 31, 0xFE000000); }},
       }) {
    SCOPED_TRACE(message);
    std::vector<PackedTensor> tensors = *good;
    spoil(tensors);
    const absl::Status status = UnpackAwq("m", tensors, 32).status();
    EXPECT_EQ(ErrorOf(status), Error::kValidationFailed) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(message));
  }
  for (const int64_t group_size : {0, 48, -2, 128}) {
    EXPECT_EQ(ErrorOf(UnpackAwq("m", *good, group_size).status()), Error::kValidationFailed);
  }
}

}  // namespace
}  // namespace quantized
