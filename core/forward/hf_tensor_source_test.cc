#include "core/forward/hf_tensor_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/base/error.h"
#include "kernels/types/half.h"
#include "tests/support/paths.h"
#include "tests/support/safetensors_file.h"

namespace quantized {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::SafetensorsFile;

template <class T>
std::string Bytes(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

class HfTensorSourceTest : public ::testing::Test {
 protected:
  void Write(const SafetensorsFile& file) { file.WriteTo(dir_.path() / "model.safetensors"); }
  testing::TempDir dir_;
};

TEST_F(HfTensorSourceTest, WidensEachFloatType) {
  const uint16_t half = kernels::F32ToF16(1.5f), negative = kernels::F32ToF16(-0.25f);
  Write(SafetensorsFile()
            .Add("model.a.weight", "F32", {2, 2}, Bytes<float>({1, 2, 3, 4.25f}))
            .Add("model.b.weight", "F16", {2, 1}, Bytes<uint16_t>({half, negative}))
            .Add("model.c.weight", "BF16", {3}, Bytes<uint16_t>({0x3f80, 0xc000, 0x4049}))
            .Add("model.d.weight", "I64", {1}, Bytes<int64_t>({7})));
  const auto source = HfTensorSource::Open(dir_.path(), kLlama);
  ASSERT_TRUE(source.ok()) << source.status();
  const auto read = [&](std::string_view name, uint64_t first, uint64_t count) {
    const TensorSource::Tensor* tensor = (*source)->Find(name);
    EXPECT_NE(tensor, nullptr);
    std::vector<float> values(count * tensor->shape.back());
    EXPECT_TRUE((*source)->ReadRows(*tensor, first, count, values.data()).ok());
    return values;
  };
  EXPECT_THAT(read("a.weight", 0, 2), ElementsAre(1, 2, 3, 4.25f));
  EXPECT_THAT(read("a.weight", 1, 1), ElementsAre(3, 4.25f));
  EXPECT_THAT(read("b.weight", 1, 1), ElementsAre(-0.25f));
  EXPECT_THAT(read("c.weight", 0, 1), ElementsAre(1, -2, 3.140625f));
  EXPECT_EQ((*source)->Find("d.weight"), nullptr) << "no float";
  EXPECT_EQ((*source)->Find("e.weight"), nullptr);
  EXPECT_EQ((*source)->Find("model.a.weight"), nullptr) << "not the plain name";
}

TEST_F(HfTensorSourceTest, FindsBehindAWrapper) {
  Write(SafetensorsFile().Add("language_model.model.norm.weight", "F32", {1}, Bytes<float>({5})));
  const auto source = HfTensorSource::Open(dir_.path(), kGemma3);
  ASSERT_TRUE(source.ok()) << source.status();
  const TensorSource::Tensor* norm = (*source)->Find("norm.weight");
  ASSERT_NE(norm, nullptr);
  EXPECT_EQ(norm->name, "language_model.model.norm.weight");
  EXPECT_THAT(norm->shape, ElementsAre(1));
}

TEST_F(HfTensorSourceTest, TwoTensorsOfAPlainNameAreRefused) {
  Write(SafetensorsFile()
            .Add("model.norm.weight", "F32", {1}, Bytes<float>({5}))
            .Add("norm.weight", "F32", {1}, Bytes<float>({6})));
  const auto source = HfTensorSource::Open(dir_.path(), kLlama);
  ASSERT_FALSE(source.ok());
  EXPECT_EQ(ErrorOf(source.status()), Error::kValidationFailed) << source.status();
  EXPECT_THAT(std::string(source.status().message()), HasSubstr("norm.weight"));
}

TEST_F(HfTensorSourceTest, AFolderWithoutWeightsIsNoModel) {
  const auto source = HfTensorSource::Open(dir_.path(), kLlama);
  ASSERT_FALSE(source.ok());
  EXPECT_EQ(ErrorOf(source.status()), Error::kModelNotFound) << source.status();
}

TEST_F(HfTensorSourceTest, AFileThatShrankIsAnError) {
  Write(SafetensorsFile().Add("model.norm.weight", "F32", {2}, Bytes<float>({5, 6})));
  const auto source = HfTensorSource::Open(dir_.path(), kLlama);
  ASSERT_TRUE(source.ok()) << source.status();
  const std::filesystem::path file = dir_.path() / "model.safetensors";
  std::filesystem::resize_file(file, std::filesystem::file_size(file) - 4);
  float values[2];
  const absl::Status status = (*source)->ReadRows(*(*source)->Find("norm.weight"), 0, 1, values);
  EXPECT_FALSE(status.ok());
}

}  // namespace
}  // namespace quantized
