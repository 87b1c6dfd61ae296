// The module's PTX has only operations that round as the processor's do: none that is fused,
// approximate, flushes subnormal numbers or leaves its rounding to whoever translates it (a driver
// does so for devices newer than this build), and no double precision, whose results would be
// rounded twice.
#include <gtest/gtest.h>

#include <fstream>
#include <regex>
#include <string>

namespace quantized::kernels {
namespace {

TEST(Ptx, IsExact) {
  std::ifstream file(QUANTIZED_PTX_FILE);
  ASSERT_TRUE(file.is_open()) << QUANTIZED_PTX_FILE;
  const std::regex inexact(
      R"(\b((fma|mad)\S*\.f(32|64)|\S+\.(ftz|approx|full)\S*|(add|sub|mul|div|sqrt|rcp)\.f32|\S+\.f64)\b)");
  const std::regex exact(R"(\b(add|mul|div|sqrt)\.rn\.f32\b)");
  size_t found_exact = 0;
  for (std::string line; std::getline(file, line);) {
    EXPECT_FALSE(std::regex_search(line, inexact)) << line;
    found_exact += std::regex_search(line, exact) ? 1 : 0;
  }
  EXPECT_GT(found_exact, 100u);
}

}  // namespace
}  // namespace quantized::kernels
