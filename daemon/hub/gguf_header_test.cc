#include "daemon/hub/gguf_header.h"

#include <limits>
#include <string>

#include "gtest/gtest.h"
#include "tests/support/gguf_bytes.h"

namespace quantized {
namespace {

using testing::GgufBytes;

constexpr uint64_t kHuge = std::numeric_limits<uint64_t>::max();

// Values of every type, and two tensors.
std::string Header(uint32_t version) {
  GgufBytes bytes(/*tensor_count=*/2, /*pair_count=*/15, version);
  const size_t sizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  for (uint32_t type = 0; type < std::size(sizes); ++type) {
    bytes.Key("key", type);
    if (type == 8) {
      bytes.String("a text");
    } else if (type == 9) {
      bytes.Number(uint32_t{8}).Number(uint64_t{3}).String("a").String("").String("bc");
    } else {
      bytes.Raw(std::string(sizes[type], 'x'));
    }
  }
  bytes.Key("numbers", 9).Number(uint32_t{6}).Number(uint64_t{5}).Raw(std::string(20, 'x'));
  bytes.Key("nothing", 9).Number(uint32_t{8}).Number(uint64_t{0});
  bytes.Tensor("a", {4, 2}, 0, 0).Tensor("b", {4, 2, 3, 1}, 0, 32);
  return bytes;
}

TEST(GgufHeaderTest, EndsAfterTheLastTensorWhateverFollows) {
  for (const uint32_t version : {2u, 3u}) {
    const std::string header = Header(version);
    EXPECT_EQ(LeastGgufHeaderBytes(header), header.size());
    EXPECT_EQ(LeastGgufHeaderBytes(header + std::string(1000, '\xff')), header.size());
  }
}

TEST(GgufHeaderTest, ABeginningNeedsMoreAndNeverTooMuch) {
  const std::string header = Header(3);
  for (size_t size = 0; size < header.size(); ++size) {
    const uint64_t least = LeastGgufHeaderBytes(std::string_view(header).substr(0, size));
    EXPECT_GT(least, size);
    EXPECT_LE(least, header.size()) << size;
  }
}

TEST(GgufHeaderTest, WhatIsNoHeader) {
  const std::string unknown_type = GgufBytes(0, 1).Key("a", 13).Raw(std::string(64, 'x'));
  const std::string nested = GgufBytes(0, 1).Key("a", 9).Number(uint32_t{9}).Number(uint64_t{1});
  const std::string many_dims = GgufBytes(1, 0).String("a").Number(uint32_t{5});
  for (const std::string& bytes : {std::string("GGUX"), std::string("x"), Header(1), Header(4),
                                   unknown_type, nested, many_dims}) {
    EXPECT_EQ(LeastGgufHeaderBytes(bytes), 0u);
  }
}

TEST(GgufHeaderTest, LengthsThatCannotBe) {
  const std::string key = GgufBytes(0, 1).Number(kHuge).Raw("abc");
  const std::string numbers = GgufBytes(0, 1).Key("a", 9).Number(uint32_t{10}).Number(kHuge);
  const std::string strings = GgufBytes(0, 1).Key("a", 9).Number(uint32_t{8}).Number(kHuge);
  const std::string pairs = GgufBytes(kHuge, kHuge);
  for (const std::string& bytes : {key, numbers, strings, pairs}) {
    EXPECT_GT(LeastGgufHeaderBytes(bytes), bytes.size());
  }
  EXPECT_EQ(LeastGgufHeaderBytes(key), kHuge);
  EXPECT_EQ(LeastGgufHeaderBytes(numbers), kHuge);
}

}  // namespace
}  // namespace quantized
