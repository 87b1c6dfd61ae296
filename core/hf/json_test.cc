#include <limits>
#include <string>

#include "core/base/error.h"
#include "core/hf/json_file.h"
#include "core/hf/json_number.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace quantized {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

std::string Refusal(std::string_view text) {
  const auto value = ParseJsonObject(text, "config.json");
  if (value.ok()) return "accepted";
  EXPECT_EQ(ErrorOf(value.status()), Error::kValidationFailed);
  return std::string(value.status().message());
}

TEST(JsonFile, ReadsAnObject) {
  const auto value = ParseJsonObject(R"({"a": {"b": [1, 2.5, null]}, "c": {"b": 1}})", "x.json");
  ASSERT_TRUE(value.ok()) << value.status();
  EXPECT_EQ((*value)["a"]["b"][1], 2.5);
}

TEST(JsonFile, RefusesWhatIsNoSoundObject) {
  EXPECT_THAT(Refusal(""), HasSubstr("config.json: expected JSON"));
  EXPECT_THAT(Refusal("{\"a\": 1"), HasSubstr("bad syntax"));
  EXPECT_THAT(Refusal("{\"a\": NaN}"), HasSubstr("bad syntax"));
  EXPECT_THAT(Refusal("{\"a\": \"\xff\"}"), HasSubstr("bad syntax"));
  EXPECT_THAT(Refusal("[1]"), HasSubstr("expected a JSON object, found array"));
  EXPECT_THAT(Refusal("{\"a\": 1, \"b\": {\"a\": 2}, \"a\": 3}"), HasSubstr("\"a\" stands twice"));
  EXPECT_THAT(Refusal("{\"a\": [{\"b\": 1, \"b\": 2}]}"), HasSubstr("\"b\" stands twice"));
}

TEST(JsonFile, RefusesDeepNesting) {
  for (const int depth : {100, 100'000, 3'000'000}) {
    SCOPED_TRACE(depth);
    EXPECT_THAT(Refusal("{\"a\": " + std::string(depth, '[')), HasSubstr("deeper than 64"));
    std::string objects;
    for (int i = 0; i < depth; ++i) objects += "{\"a\":";
    EXPECT_THAT(Refusal(objects), HasSubstr("deeper than 64"));
  }
}

TEST(JsonNumber, TakesWholeNumbersInAnyNotation) {
  for (const char* text : {"10000", "10000.0", "1e4"}) {
    const auto number = JsonUint32(json::parse(text), "f");
    ASSERT_TRUE(number.ok()) << text;
    EXPECT_EQ(*number, 10000u);
  }
  EXPECT_EQ(*JsonUint32(json(4294967295u), "f"), 4294967295u);
  EXPECT_EQ(*JsonInt32(json(-2147483648ll), "f"), std::numeric_limits<int32_t>::min());
}

TEST(JsonNumber, RefusesWhatDoesNotFit) {
  for (const char* text : {"-1", "1.5", "4294967296", "1e300", "18446744073709551615", "true",
                           "\"7\"", "null", "[7]"}) {
    const auto number = JsonUint32(json::parse(text), "config.json: hidden_size");
    ASSERT_FALSE(number.ok()) << text;
    EXPECT_THAT(std::string(number.status().message()),
                HasSubstr("config.json: hidden_size: expected a whole number from 0 to 4294967295, "
                          "found "));
  }
  EXPECT_FALSE(JsonInt32(json(2147483648ll), "f").ok());
}

TEST(JsonNumber, RoundsToFloatOnce) {
  EXPECT_EQ(*JsonFloat(json::parse("1e-05"), "f"), 1e-5f);
  EXPECT_EQ(*JsonFloat(json(500000), "f"), 500000.0f);
  // The double next above halfway between two floats.
  EXPECT_EQ(*JsonFloat(json::parse("1.000000059604645"), "f"), 0x1.000002p0f);
  EXPECT_EQ(*JsonFloat(json(3.4028235e38), "f"), std::numeric_limits<float>::max());
  EXPECT_FALSE(JsonFloat(json(3.5e38), "f").ok());
  EXPECT_FALSE(JsonFloat(json(std::numeric_limits<double>::quiet_NaN()), "f").ok());
  EXPECT_FALSE(JsonFloat(json("1"), "f").ok());
}

TEST(JsonNumber, WritesTheFewestDigitsOfAFloat) {
  EXPECT_EQ(ShortestJson(1e-5f).dump(), "1e-05");
  EXPECT_EQ(ShortestJson(10000).dump(), "10000.0");
  for (const float value : {0.1f, 0x1.000002p0f, -7.2e-42f, std::numeric_limits<float>::max()}) {
    EXPECT_EQ(*JsonFloat(ShortestJson(value), "f"), value);
  }
}

}  // namespace
}  // namespace quantized
