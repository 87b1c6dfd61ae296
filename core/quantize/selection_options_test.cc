#include "core/quantize/selection_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "core/base/error.h"

namespace quantized {
namespace {

using kernels::TypeId;
using ::testing::HasSubstr;

template <class T>
void ExpectRefused(const absl::StatusOr<T>& result, const std::string& what) {
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(ErrorOf(result.status()), Error::kInvalidArgument);
  EXPECT_THAT(std::string(result.status().message()), HasSubstr(what));
}

TEST(NamePatternTest, IsSearchedForInTheName) {
  const auto pattern = NamePattern::Compile("BLK\\.[0-3]\\.ffn_(up|down)");
  ASSERT_TRUE(pattern.ok()) << pattern.status();
  EXPECT_TRUE(*pattern->IsFoundIn("blk.2.ffn_down.weight"));
  EXPECT_TRUE(*pattern->IsFoundIn("enc.blk.0.ffn_up.weight"));
  EXPECT_FALSE(*pattern->IsFoundIn("blk.4.ffn_down.weight"));
  EXPECT_FALSE(*pattern->IsFoundIn(""));
}

TEST(NamePatternTest, HostilePatternsAreRefused) {
  ExpectRefused(NamePattern::Compile(""), "0 bytes");
  ExpectRefused(NamePattern::Compile(std::string(5000, 'a')), "5000 bytes");
  ExpectRefused(NamePattern::Compile("blk.(0|1"), "'blk.(0|1': missing closing parenthesis");
  ExpectRefused(NamePattern::Compile("[z-a]"), "at byte");
  // Matching would take 2^50 steps.
  const auto slow = NamePattern::Compile("^(a+)+$");
  ASSERT_TRUE(slow.ok()) << slow.status();
  ExpectRefused(slow->IsFoundIn(std::string(50, 'a') + "!"), "match limit");
}

TEST(TensorTypeTest, NamesEncodableTypes) {
  EXPECT_EQ(*ParseTensorType("--output-tensor-type", "q6_k"), TypeId::kQ6_K);
  EXPECT_EQ(*ParseTensorType("--output-tensor-type", "BF16"), TypeId::kBF16);
  ExpectRefused(ParseTensorType("--output-tensor-type", "Q6"), "--output-tensor-type: 'Q6'");
  ExpectRefused(ParseTensorType("--output-tensor-type", "q8_1"), "no type that tensors can be");
}

TEST(TensorTypeTest, OverridesAreAPatternAndAType) {
  const auto one = ParseTensorTypeOverride("attn_(k|v)=q8_0");
  ASSERT_TRUE(one.ok()) << one.status();
  EXPECT_EQ(one->type, TypeId::kQ8_0);
  EXPECT_TRUE(*one->pattern.IsFoundIn("blk.0.attn_v.weight"));
  for (const char* bad : {"attn_v", "=q8_0", "attn_v=", ""}) {
    ExpectRefused(ParseTensorTypeOverride(bad), "expected REGEX=TYPE");
  }
  ExpectRefused(ParseTensorTypeOverride("attn_v=q9"), "'q9'");
}

TEST(MetadataOverrideTest, KindsBecomeTypes) {
  EXPECT_EQ(ParseMetadataOverride("a.b=int:7")->value, gguf::Value(uint32_t{7}));
  EXPECT_EQ(ParseMetadataOverride("a.b=int:-7")->value, gguf::Value(uint32_t{7}));
  EXPECT_EQ(ParseMetadataOverride("a.b=float:0.5")->value, gguf::Value(0.5f));
  EXPECT_EQ(ParseMetadataOverride("a.b=bool:true")->value, gguf::Value(true));
  EXPECT_EQ(ParseMetadataOverride("a.b=bool:false")->value, gguf::Value(false));
  EXPECT_EQ(ParseMetadataOverride("a.b=str:x:y=z")->value, gguf::Value(std::string("x:y=z")));
  EXPECT_EQ(ParseMetadataOverride("a.b=str:x")->key, "a.b");
}

TEST(MetadataOverrideTest, WhatIsNotThatIsRefused) {
  for (const char* bad : {"a.b", "=int:1", "a.b=7", "a.b=long:7", "a.b=int:x", "a.b=int:5000000000",
                          "a.b=bool:yes", "a.b=float:x", "a.b=float:1e99", ""}) {
    ExpectRefused(ParseMetadataOverride(bad), "--override-kv");
  }
  ExpectRefused(ParseMetadataOverride(std::string(128, 'k') + "=int:1"), "127 bytes");
  ExpectRefused(ParseMetadataOverride("k=str:" + std::string(128, 'v')), "127 bytes");
}

}  // namespace
}  // namespace quantized
