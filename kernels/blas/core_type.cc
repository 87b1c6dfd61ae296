#include "kernels/blas/core_type.h"

#include <cblas.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

namespace quantized::kernels {
namespace {

constexpr const char* kVariable = "OPENBLAS_CORETYPE";
constexpr const char* kSelf = "/proc/self/exe";
// Those of the names of its x86-64 kernels that use AVX2 or more.
constexpr std::string_view kModernCores[] = {"Haswell", "Zen", "SkylakeX", "Cooperlake",
                                             "Sapphirerapids"};

bool EqualIgnoringCase(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : int{c}; };
  return std::ranges::equal(a, b, [&](char x, char y) { return lower(x) == lower(y); });
}

}  // namespace

std::string_view FittingCoreType(std::string_view core, bool has_avx2, bool has_avx512) {
  const bool is_modern = std::ranges::any_of(
      kModernCores, [core](std::string_view name) { return EqualIgnoringCase(name, core); });
  if (is_modern || !has_avx2) return "";
  return has_avx512 ? "SkylakeX" : "Haswell";
}

void UseFittingBlasKernels(char** argv) {
#if defined(__x86_64__)
  if (std::getenv(kVariable) != nullptr) return;
  const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool has_avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                          __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
  const std::string type(FittingCoreType(openblas_get_corename(), has_avx2, has_avx512));
  if (type.empty() || setenv(kVariable, type.c_str(), /*overwrite=*/1) != 0) return;
  // By its path where that still leads to it: processes are listed by the last part of it.
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink(kSelf, error);
  if (!error) execv(self.c_str(), argv);
  // What could not be started again goes on as it is, only slower.
  execv(kSelf, argv);
#else
  (void)argv;
#endif
}

}  // namespace quantized::kernels
