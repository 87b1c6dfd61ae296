#include "absl/strings/str_cat.h"
#include "tests/support/fault_shim.h"
#include "tests/support/paths.h"

namespace quantized::testing {

std::map<std::string, std::string> FaultEnvironment(const FaultRule& rule) {
  return {{"FAULT_SHIM", absl::StrCat("exe=", rule.exe, ";call=", rule.call, ";path=", rule.path,
                                      ";n=", rule.n, rule.and_later ? "+" : "", ";do=", rule.action,
                                      ";mark=", rule.mark.string())},
          {"LD_PRELOAD", BinDir() / "libfault_shim.so"},
          // AddressSanitizer wants to be the first library.
          {"ASAN_OPTIONS", "verify_asan_link_order=0"}};
}

}  // namespace quantized::testing
