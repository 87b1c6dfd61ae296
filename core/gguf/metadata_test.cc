#include "core/gguf/metadata.h"

#include <set>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace quantized::gguf {
namespace {

using ::testing::ElementsAre;

std::vector<std::string> Keys(const Metadata& metadata) {
  std::vector<std::string> keys;
  for (const Metadata::Entry& entry : metadata.entries()) keys.push_back(entry.key);
  return keys;
}

TEST(MetadataTest, SetKeepsThePlaceAndSetLastMovesToTheEnd) {
  Metadata metadata;
  metadata.Set("a", uint32_t{1});
  metadata.Set("b", std::string("x"));
  metadata.Set("c", 2.0f);
  metadata.Set("a", int32_t{-1});
  EXPECT_THAT(Keys(metadata), ElementsAre("a", "b", "c"));
  EXPECT_EQ(*metadata.Get<int32_t>("a"), -1);
  EXPECT_EQ(metadata.Get<uint32_t>("a"), nullptr);
  metadata.SetLast("b", std::string("y"));
  metadata.SetLast("d", true);
  EXPECT_THAT(Keys(metadata), ElementsAre("a", "c", "b", "d"));
  EXPECT_EQ(*metadata.Get<std::string>("b"), "y");
}

TEST(MetadataTest, RemoveSaysWhetherTheKeyWasThere) {
  Metadata metadata({{"a", uint8_t{1}}, {"b", uint8_t{2}}});
  EXPECT_TRUE(metadata.Remove("a"));
  EXPECT_FALSE(metadata.Remove("a"));
  EXPECT_EQ(metadata.Find("a"), nullptr);
  EXPECT_THAT(Keys(metadata), ElementsAre("b"));
}

TEST(MetadataTest, EqualityIncludesTheType) {
  EXPECT_EQ(Metadata({{"a", uint32_t{1}}}), Metadata({{"a", uint32_t{1}}}));
  EXPECT_NE(Metadata({{"a", uint32_t{1}}}), Metadata({{"a", int32_t{1}}}));
  EXPECT_NE(Metadata({{"a", Array(std::vector<Bool>{{1}})}}),
            Metadata({{"a", Array(std::vector<uint8_t>{1})}}));
}

TEST(MetadataTest, UnsignedTakesWholeNumbersOnly) {
  const Metadata metadata({{"u8", uint8_t{255}},
                           {"i64", int64_t{1} << 40},
                           {"negative", int32_t{-1}},
                           {"bool", true},
                           {"float", 2.0f},
                           {"text", std::string("2")}});
  EXPECT_EQ(metadata.GetUnsigned("u8"), 255u);
  EXPECT_EQ(metadata.GetUnsigned("i64"), uint64_t{1} << 40);
  for (const char* key : {"negative", "bool", "float", "text", "absent"}) {
    EXPECT_EQ(metadata.GetUnsigned(key), std::nullopt) << key;
  }
}

// One value of each type, in the order of the types' numbers in a file.
TEST(MetadataTest, TypesHaveTheirNumbersAndNames) {
  const std::vector<Value> values = {
      uint8_t{1},  int8_t{1},  uint16_t{1}, int16_t{1},       uint32_t{1},
      int32_t{1},  1.0f,       true,        std::string("x"), Array(std::vector<float>{1}),
      uint64_t{1}, int64_t{1}, 1.0};
  std::set<std::string_view> names;
  for (size_t i = 0; i < values.size(); ++i) {
    EXPECT_EQ(static_cast<size_t>(TypeOf(values[i])), i);
    EXPECT_TRUE(names.insert(NameOf(TypeOf(values[i]))).second);
  }
  EXPECT_EQ(ElementTypeOf(std::vector<std::string>{}), ValueType::kString);
  EXPECT_EQ(ElementTypeOf(std::vector<Bool>{}), ValueType::kBool);
  EXPECT_EQ(ElementTypeOf(std::vector<double>{}), ValueType::kFloat64);
}

}  // namespace
}  // namespace quantized::gguf
