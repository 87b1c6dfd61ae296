// quantize-worker: does the work of one job. The daemon starts it without arguments; the client
// starts it to look at a model.
#include <cstdio>
#include <span>
#include <string_view>

#include "core/base/version.h"
#include "daemon/worker/attempt.h"
#include "daemon/worker/conversions.h"
#include "daemon/worker/inspect.h"
#include "daemon/worker/job_kind.h"
#include "daemon/worker/levels.h"
#include "daemon/worker/plan.h"
#include "kernels/blas/core_type.h"

namespace {

constexpr int kBadArguments = 2;
constexpr std::string_view kHelp =
    "Usage: quantize-worker               work for the daemon that started it\n"
    "       quantize-worker inspect PATH [--tensors] [--verify] [--against PATH]\n"
    "                                     describe a model as a JSON object\n"
    "       quantize-worker plan          describe what the QuantizeSpec on standard input makes\n"
    "       quantize-worker conversions   list what can be converted as a JSON object\n"
    "       quantize-worker levels        list the levels of each format as a JSON object\n"
    "       quantize-worker --version     show the version and exit\n"
    "       quantize-worker --help        show this message and exit\n";

}  // namespace

int main(int argc, char** argv) {
  quantized::kernels::UseFittingBlasKernels(argv);
  if (argc == 1) return quantized::RunAttempt("quantize-worker", &quantized::RunJob);
  const std::string_view argument = argv[1];
  if (argument == "inspect") {
    if (const auto exit_code = quantized::RunInspect(std::span(argv, argc).subspan(2))) {
      return *exit_code;
    }
  }
  if (argc == 2 && argument == "conversions") return quantized::RunConversions();
  if (argc == 2 && argument == "levels") return quantized::RunLevels();
  if (argc == 2 && argument == "plan") return quantized::RunPlan(stdin);
  if (argc == 2 && argument == "--version") {
    std::printf("quantize-worker %s\n", quantized::kVersion.data());
    return 0;
  }
  if (argc == 2 && argument == "--help") {
    std::fputs(kHelp.data(), stdout);
    return 0;
  }
  std::fputs(kHelp.data(), stderr);
  return kBadArguments;
}
