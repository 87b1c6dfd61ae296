#include "core/gguf/layout.h"

#include <string>

#include "core/base/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/gguf_bytes.h"

namespace quantized::gguf {
namespace {

using kernels::TypeId;
using testing::GgufBytes;
using ::testing::HasSubstr;

TEST(LayoutTest, WritesEachByteWhereTheFormatWantsIt) {
  const Metadata metadata({{"general.architecture", std::string("llama")},
                           {"a.flag", true},
                           {"a.tokens", Array(std::vector<std::string>{"", "ab"})},
                           {"a.flags", Array(std::vector<Bool>{{1}, {0}})}});
  const std::vector<PlannedTensor> tensors = {{"x.weight", TypeId::kF16, {3, 5}},
                                              {"y", TypeId::kQ4_0, {64}}};
  const auto layout = Plan(metadata, tensors);
  ASSERT_TRUE(layout.ok()) << layout.status();
  const std::string expected = GgufBytes(2, 4)
                                   .Key("general.architecture", 8)
                                   .String("llama")
                                   .Key("a.flag", 7)
                                   .Raw("\x01")
                                   .Key("a.tokens", 9)
                                   .Number(uint32_t{8})
                                   .Number(uint64_t{2})
                                   .String("")
                                   .String("ab")
                                   .Key("a.flags", 9)
                                   .Number(uint32_t{7})
                                   .Number(uint64_t{2})
                                   .Raw(std::string_view("\x01\x00", 2))
                                   .Tensor("x.weight", {3, 5}, 1, 0)
                                   .Tensor("y", {64}, 2, 32)
                                   .Data("");
  EXPECT_EQ(layout->header, expected);
  EXPECT_EQ(layout->data_start, expected.size());
  EXPECT_EQ(layout->tensors[0].offset, layout->data_start);
  EXPECT_EQ(layout->tensors[0].size_bytes, 30u);
  EXPECT_EQ(layout->tensors[1].offset, layout->data_start + 32);
  EXPECT_EQ(layout->tensors[1].size_bytes, 36u);
  EXPECT_EQ(layout->file_size_bytes, layout->data_start + 32 + 64);
}

TEST(LayoutTest, HonoursTheAlignmentKey) {
  const std::vector<PlannedTensor> tensors = {{"x", TypeId::kF32, {1}}, {"y", TypeId::kF32, {1}}};
  const auto layout = Plan(Metadata({{"general.alignment", uint32_t{128}}}), tensors);
  ASSERT_TRUE(layout.ok()) << layout.status();
  EXPECT_EQ(layout->data_start % 128, 0u);
  EXPECT_EQ(layout->tensors[1].offset - layout->data_start, 128u);
  EXPECT_EQ(layout->file_size_bytes - layout->data_start, 256u);
}

TEST(LayoutTest, RefusesWhatCannotBeWritten) {
  const auto refusal = [](const Metadata& metadata, const std::vector<PlannedTensor>& tensors) {
    const auto layout = Plan(metadata, tensors);
    EXPECT_EQ(ErrorOf(layout.status()), Error::kValidationFailed);
    return std::string(layout.status().message());
  };
  const auto of_tensors = [&](const std::vector<PlannedTensor>& tensors) {
    return refusal(Metadata(), tensors);
  };
  const uint64_t huge = uint64_t{1} << 60;
  EXPECT_EQ(of_tensors({{"x", TypeId::kF32, {1}}, {"x", TypeId::kF32, {1}}}),
            "tensor x: there twice");
  EXPECT_THAT(of_tensors({{std::string(64, 'n'), TypeId::kF32, {1}}}),
              HasSubstr("name has 64 bytes, at most 63"));
  EXPECT_EQ(of_tensors({{"x", TypeId::kQ4_K, {128}}}),
            "tensor x: row length 128 is not a multiple of 256, the block of Q4_K");
  EXPECT_EQ(of_tensors({{"x", TypeId::kF32, {}}}), "tensor x: has 0 dimensions, expected 1 to 4");
  EXPECT_EQ(of_tensors({{"x", TypeId::kF32, {huge, 16}}}),
            "tensor x: dimensions [1152921504606846976, 16] of F32 overflow 63 bits");
  EXPECT_EQ(of_tensors({{"x", TypeId::kF32, {huge / 2}}, {"y", TypeId::kF32, {huge / 2}}}),
            "tensor y: the file would overflow 62 bits");
  EXPECT_EQ(refusal(Metadata({{"general.alignment", uint32_t{24}}}), {}),
            "metadata key general.alignment is 24, expected a power of two up to 1048576");
}

TEST(LayoutTest, LongestNameIsAccepted) {
  EXPECT_TRUE(
      Plan(Metadata(), std::vector<PlannedTensor>{{std::string(63, 'n'), TypeId::kF32, {1}}}).ok());
}

}  // namespace
}  // namespace quantized::gguf
