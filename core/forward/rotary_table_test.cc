// Values are those of transformers' modeling_rope_utils.py (4.57), computed here in double.
#include "core/forward/rotary_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>
#include <numbers>
#include <string>
#include <vector>

#include "core/base/error.h"

namespace quantized {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr uint32_t kHeadDim = 16;
constexpr uint32_t kLength = 64;

absl::StatusOr<RotaryTable> Table(const json& fields, bool local = false, uint32_t length = kLength,
                                  uint32_t head_dim = kHeadDim) {
  const auto config = HfConfig::Parse(fields.dump());
  EXPECT_TRUE(config.ok()) << config.status();
  if (!config.ok()) return config.status();
  Geometry geometry;
  geometry.head_dim = head_dim;
  return MakeRotaryTable(*config, geometry, local, length);
}

json Rope(const json& block, uint32_t max_length = 64) {
  return {
      {"rope_theta", 10000.0}, {"max_position_embeddings", max_length}, {"rope_scaling", block}};
}

double Inverse(double base, uint32_t i, uint32_t dim = kHeadDim) {
  return 1 / std::pow(base, 2.0 * i / dim);
}

// `frequency` in double, of pair i; angles in float are off by a few millionths.
void ExpectTable(const absl::StatusOr<RotaryTable>& table,
                 const std::function<double(uint32_t)>& frequency, double magnitude = 1,
                 uint32_t dim = kHeadDim, uint32_t length = kLength) {
  ASSERT_TRUE(table.ok()) << table.status();
  ASSERT_EQ(table->dim, dim);
  ASSERT_EQ(table->cos.rows, length);
  ASSERT_EQ(table->sin.rows, length);
  ASSERT_EQ(table->cos.cols, dim / 2);
  double worst = 0;
  for (uint32_t position = 0; position < length; ++position) {
    for (uint32_t i = 0; i < dim / 2; ++i) {
      const double angle = position * frequency(i);
      worst = std::max({worst, std::fabs(table->cos.at(position, i) - magnitude * std::cos(angle)),
                        std::fabs(table->sin.at(position, i) - magnitude * std::sin(angle))});
    }
  }
  EXPECT_LT(worst, 2e-5);
}

TEST(RotaryTableTest, DefaultTurnsByPowersOfTheBase) {
  ExpectTable(Table({{"rope_theta", 500000.0}}), [](uint32_t i) { return Inverse(500000, i); });
  ExpectTable(Table(json::object()), [](uint32_t i) { return Inverse(10000, i); });
  ExpectTable(Table(Rope({{"rope_type", "Default"}})), [](uint32_t i) { return Inverse(1e4, i); });
}

TEST(RotaryTableTest, PartOfAHeadTurns) {
  ExpectTable(
      Table({{"partial_rotary_factor", 0.5}}), [](uint32_t i) { return Inverse(10000, i, 8); }, 1,
      8);
}

TEST(RotaryTableTest, LinearDividesFrequencies) {
  ExpectTable(Table(Rope({{"rope_type", "linear"}, {"factor", 4.0}})),
              [](uint32_t i) { return Inverse(1e4, i) / 4; });
}

TEST(RotaryTableTest, DynamicStretchesTheBaseOfLongSequencesOnly) {
  const json block = {{"rope_type", "dynamic"}, {"factor", 2.0}};
  ExpectTable(Table(Rope(block, 64)), [](uint32_t i) { return Inverse(1e4, i); });
  // A sequence four times the model's: factor * 4 - (factor - 1).
  const double base = 1e4 * std::pow(2.0 * 4 - 1, 16.0 / 14);
  ExpectTable(Table(Rope(block, 16)), [=](uint32_t i) { return Inverse(base, i); });
}

TEST(RotaryTableTest, Llama3StretchesSlowTurnsSmoothly) {
  const double factor = 8, low = 1, high = 4, original = 32;
  const auto frequency = [=](uint32_t i) {
    const double plain = Inverse(1e4, i), wavelength = 2 * std::numbers::pi / plain;
    if (wavelength > original / low) return plain / factor;
    if (wavelength < original / high) return plain;
    const double smooth = (original / wavelength - low) / (high - low);
    return (1 - smooth) * plain / factor + smooth * plain;
  };
  // All three cases are in these eight pairs.
  ASSERT_EQ(frequency(0), Inverse(1e4, 0));
  ASSERT_LT(frequency(1), Inverse(1e4, 1));
  ASSERT_GT(frequency(1), Inverse(1e4, 1) / factor);
  ASSERT_EQ(frequency(7), Inverse(1e4, 7) / factor);
  ExpectTable(Table(Rope({{"rope_type", "llama3"},
                          {"factor", factor},
                          {"low_freq_factor", low},
                          {"high_freq_factor", high},
                          {"original_max_position_embeddings", original}})),
              frequency);
}

json Yarn(const json& more = json::object()) {
  json block = {{"rope_type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 1024}};
  block.update(more);
  return Rope(block, 4096);
}

double YarnFrequency(uint32_t i, double fast = 32, double slow = 1) {
  const auto correction = [](double turns) {
    return kHeadDim * std::log(1024 / (turns * 2 * std::numbers::pi)) / (2 * std::log(1e4));
  };
  const double low = std::max(std::floor(correction(fast)), 0.0);
  const double high = std::min(std::ceil(correction(slow)), kHeadDim - 1.0);
  const double extrapolated = 1 - std::clamp((i - low) / (high - low), 0.0, 1.0);
  return Inverse(1e4, i) / 4 * (1 - extrapolated) + Inverse(1e4, i) * extrapolated;
}

TEST(RotaryTableTest, YarnRampsBetweenFastAndSlowTurns) {
  ASSERT_EQ(YarnFrequency(0), Inverse(1e4, 0));
  ASSERT_NEAR(YarnFrequency(7), Inverse(1e4, 7) / 4, 1e-12);
  ASSERT_GT(YarnFrequency(3), Inverse(1e4, 3) / 4);
  ExpectTable(
      Table(Yarn()), [](uint32_t i) { return YarnFrequency(i); }, 0.1 * std::log(4.0) + 1);
  ExpectTable(
      Table(Yarn({{"beta_fast", 64}, {"beta_slow", 4}})),
      [](uint32_t i) { return YarnFrequency(i, 64, 4); }, 0.1 * std::log(4.0) + 1);
}

TEST(RotaryTableTest, YarnsMagnitudeCanBeSaid) {
  const auto frequency = [](uint32_t i) { return YarnFrequency(i); };
  ExpectTable(Table(Yarn({{"attention_factor", 1.5}})), frequency, 1.5);
  ExpectTable(Table(Yarn({{"mscale", 0.7}, {"mscale_all_dim", 0.9}})), frequency,
              (0.07 * std::log(4.0) + 1) / (0.09 * std::log(4.0) + 1));
}

TEST(RotaryTableTest, LongRopeTakesTheFactorsOfTheLength) {
  const std::vector<double> small = {1, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7};
  const std::vector<double> large = {1, 2, 3, 4, 5, 6, 7, 8};
  json fields =
      Rope({{"rope_type", "longrope"}, {"short_factor", small}, {"long_factor", large}}, 256);
  fields["original_max_position_embeddings"] = 64;
  const double magnitude = std::sqrt(1 + std::log(256.0 / 64) / std::log(64.0));
  ExpectTable(
      Table(fields), [&](uint32_t i) { return Inverse(1e4, i) / small[i]; }, magnitude);
  ExpectTable(
      Table(fields, false, 65), [&](uint32_t i) { return Inverse(1e4, i) / large[i]; }, magnitude,
      kHeadDim, 65);
  fields["rope_scaling"]["attention_factor"] = 1.25;
  ExpectTable(
      Table(fields), [&](uint32_t i) { return Inverse(1e4, i) / small[i]; }, 1.25);
  fields["rope_scaling"].erase("attention_factor");
  fields["rope_scaling"]["rope_type"] = "su";
  ExpectTable(
      Table(fields), [&](uint32_t i) { return Inverse(1e4, i) / small[i]; }, magnitude);
}

TEST(RotaryTableTest, SlidingAttentionHasABlockOfItsOwn) {
  const json fields = {{"rope_theta", 1e6},
                       {"rope_local_base_freq", 1e4},
                       {"rope_scaling", {{"rope_type", "linear"}, {"factor", 8.0}}}};
  ExpectTable(Table(fields, false), [](uint32_t i) { return Inverse(1e6, i) / 8; });
  ExpectTable(Table(fields, true), [](uint32_t i) { return Inverse(1e4, i); });
}

TEST(RotaryTableTest, BadBlocksAreRefusedByName) {
  const std::vector<double> eight(8, 1.0);
  struct Case {
    json fields;
    std::string field, found;
  };
  const Case cases[] = {
      {{{"rope_theta", 0}}, "rope_theta", "found 0"},
      {{{"rope_theta", "ten"}}, "rope_theta", "ten"},
      {{{"rope_theta", -1e4}}, "rope_theta", "found -10000"},
      {{{"partial_rotary_factor", 0.2}}, "rotary part of a head", "found 3"},
      {{{"partial_rotary_factor", 2}}, "rotary part of a head", "found 32"},
      {{{"partial_rotary_factor", 0.01}}, "rotary part of a head", "found 0"},
      {{{"partial_rotary_factor", 1e30}}, "rotary part of a head", "found 1.6e+31"},
      {Rope({{"rope_type", "linear"}, {"factor", -2}}), "factor", "found -2"},
      {Rope({{"rope_type", "linear"}, {"factor", true}}), "factor", "true"},
      {Rope({{"rope_type", "llama3"}, {"factor", "x"}}), "factor", "x"},
      {Rope({{"rope_type", "yarn"}, {"factor", 4}, {"beta_fast", 0}}), "beta_fast", "found 0"},
      {Rope({{"rope_type", "longrope"}, {"short_factor", eight}}, 16), "long_factor", "nothing"},
      {Rope({{"rope_type", "longrope"}, {"long_factor", {1.0, 2.0}}}, 16), "long_factor",
       "expected 8 numbers"},
      {Rope({{"rope_type", "longrope"}, {"short_factor", std::vector<double>(8, 0)}}),
       "short_factor", "found 0"},
      {Rope({{"rope_type", "longrope"}, {"short_factor", std::vector<std::string>(8, "a")}}),
       "short_factor", "a"},
      {Rope({{"rope_type", "dynamic"}, {"factor", 2}}, 64)
           .patch({{{"op", "replace"}, {"path", "/max_position_embeddings"}, {"value", "long"}}}),
       "max_position_embeddings", "long"},
  };
  for (const Case& one : cases) {
    SCOPED_TRACE(one.fields.dump());
    const auto table = Table(one.fields);
    ASSERT_FALSE(table.ok());
    EXPECT_EQ(ErrorOf(table.status()), Error::kValidationFailed) << table.status();
    EXPECT_THAT(std::string(table.status().message()),
                AllOf(HasSubstr("config.json: "), HasSubstr(one.field), HasSubstr(one.found)));
  }
}

TEST(RotaryTableTest, BlocksWithoutAFiniteRotationAreRefused) {
  // log(1) is what yarn and longrope divide by.
  json yarn = Yarn();
  yarn["rope_theta"] = 1;
  json longrope = Rope({{"rope_type", "longrope"},
                        {"short_factor", std::vector<double>(8, 1)},
                        {"long_factor", std::vector<double>(8, 1)}});
  longrope["original_max_position_embeddings"] = 1;
  for (const json& fields : {yarn, longrope}) {
    SCOPED_TRACE(fields.dump());
    const auto table = Table(fields);
    ASSERT_FALSE(table.ok());
    EXPECT_EQ(ErrorOf(table.status()), Error::kValidationFailed) << table.status();
    EXPECT_THAT(std::string(table.status().message()), HasSubstr("rope_scaling"));
  }
}

TEST(RotaryTableTest, UnknownKindsAreNotInThisVersion) {
  const auto table = Table(Rope({{"rope_type", "mrope"}}));
  ASSERT_FALSE(table.ok());
  EXPECT_EQ(ErrorOf(table.status()), Error::kNotImplemented);
  EXPECT_THAT(std::string(table.status().message()),
              AllOf(HasSubstr("rope_type"), HasSubstr("mrope")));
}

}  // namespace
}  // namespace quantized
