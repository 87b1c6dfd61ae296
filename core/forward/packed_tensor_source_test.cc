#include "core/forward/packed_tensor_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/packed/awq.h"
#include "core/packed/gptq.h"
#include "tests/support/paths.h"
#include "tests/support/safetensors_file.h"

namespace quantized {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::SafetensorsFile;
using ::testing::SizeIs;

constexpr std::string_view kModule = "language_model.model.layers.0.mlp.up_proj";

QuantizedLinear SomeLinear(bool symmetric) {
  QuantizedLinear linear;
  linear.out = 32;
  linear.in = 64;
  linear.group_size = 32;
  linear.bits = 4;
  for (size_t i = 0; i < linear.out * linear.in; ++i) {
    linear.codes.push_back(static_cast<uint8_t>(i * 7 % 16));
  }
  linear.scales = Matrix(32, 2);
  for (size_t i = 0; i < 64; ++i) {
    linear.scales.values[i] = 0.125f * static_cast<float>(i % 9 + 1);
    linear.zeros.push_back(symmetric ? uint8_t{8} : static_cast<uint8_t>(i % 15 + 1));
  }
  return linear;
}

class PackedTensorSourceTest : public ::testing::TestWithParam<PackedMethod> {
 protected:
  bool is_awq() const { return GetParam() == PackedMethod::kAwq; }
  PackedScheme Scheme() const {
    return {.method = GetParam(), .bits = 4, .group_size = 32, .sym = !is_awq()};
  }

  void Write(const QuantizedLinear& linear, std::string_view left_out = "") const {
    const auto parts =
        is_awq() ? PackAwq(kModule, linear) : PackGptq(kModule, linear, GptqVersion::kV1);
    ASSERT_TRUE(parts.ok()) << parts.status();
    SafetensorsFile file;
    for (const PackedTensor& part : *parts) {
      if (part.shape.suffix == left_out) continue;
      file.Add(std::string(kModule) + "." + std::string(part.shape.suffix),
               part.shape.dtype == DType::kI32 ? "I32" : "F16", part.shape.dims,
               {reinterpret_cast<const char*>(part.bytes.data()), part.bytes.size()});
    }
    const float norm[] = {3, 4};
    file.Add("language_model.model.norm.weight", "F32", {2},
             {reinterpret_cast<const char*>(norm), sizeof(norm)});
    file.WriteTo(dir_.path() / "model.safetensors");
  }

  testing::TempDir dir_;
};

TEST_P(PackedTensorSourceTest, DecodesLinearsAndPassesTheRest) {
  const QuantizedLinear linear = SomeLinear(!is_awq());
  Write(linear);
  const auto source = PackedTensorSource::Open(dir_.path(), kGemma3, Scheme());
  ASSERT_TRUE(source.ok()) << source.status();
  ASSERT_THAT((*source)->modules(), SizeIs(1));
  EXPECT_EQ((*source)->modules()[0].name, kModule);
  const auto loaded = (*source)->Load((*source)->modules()[0]);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->codes, linear.codes);
  EXPECT_EQ(loaded->zeros, linear.zeros);

  const TensorSource::Tensor* weight = (*source)->Find("layers.0.mlp.up_proj.weight");
  ASSERT_NE(weight, nullptr);
  EXPECT_EQ(weight->name, std::string(kModule) + ".weight");
  EXPECT_THAT(weight->shape, ElementsAre(32, 64));
  std::vector<float> want(20 * 64), got(20 * 64);
  linear.Dequantize(5, 20, want.data());
  ASSERT_TRUE((*source)->ReadRows(*weight, 5, 20, got.data()).ok());
  EXPECT_EQ(got, want);
  // (code - zero) * scale, by hand: row 5 starts with code 5 * 64 * 7 % 16 = 0, group 10.
  const float zero = is_awq() ? 11.0f : 8.0f;
  EXPECT_EQ(got[0], (0 - zero) * 0.25f);

  const TensorSource::Tensor* norm = (*source)->Find("norm.weight");
  ASSERT_NE(norm, nullptr);
  std::vector<float> factors(2);
  ASSERT_TRUE((*source)->ReadRows(*norm, 0, 1, factors.data()).ok());
  EXPECT_THAT(factors, ElementsAre(3, 4));
  EXPECT_EQ((*source)->Find("layers.0.mlp.down_proj.weight"), nullptr);
}

TEST_P(PackedTensorSourceTest, AMissingPartIsRefused) {
  Write(SomeLinear(!is_awq()), "scales");
  const auto source = PackedTensorSource::Open(dir_.path(), kGemma3, Scheme());
  ASSERT_FALSE(source.ok());
  EXPECT_EQ(ErrorOf(source.status()), Error::kValidationFailed) << source.status();
  EXPECT_THAT(std::string(source.status().message()), HasSubstr("up_proj.scales"));
}

TEST_P(PackedTensorSourceTest, AnotherGroupSizeThanTheSchemesIsRefused) {
  Write(SomeLinear(!is_awq()));
  PackedScheme scheme = Scheme();
  scheme.group_size = 64;
  const auto source = PackedTensorSource::Open(dir_.path(), kGemma3, scheme);
  ASSERT_FALSE(source.ok());
  EXPECT_EQ(ErrorOf(source.status()), Error::kValidationFailed) << source.status();
}

INSTANTIATE_TEST_SUITE_P(, PackedTensorSourceTest,
                         ::testing::Values(PackedMethod::kGptq, PackedMethod::kAwq),
                         [](const auto& param) { return std::string(NameOf(param.param)); });

}  // namespace
}  // namespace quantized
