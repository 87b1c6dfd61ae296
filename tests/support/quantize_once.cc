// quantize-once MODEL LEVEL OUTPUT CHECKPOINT_DIR THREADS [retried]: one quantization by core,
// without service, for tests that disturb it. Prints how many tensors a checkpoint gave; the exit
// code is the error's.

#include <cstdio>
#include <cstdlib>
#include <string>

#include "core/base/error.h"
#include "tests/support/quantize_job.h"

int main(int argc, char** argv) {
  using namespace quantized;
  if (argc < 6) return 64;
  QuantizeRequest request;
  request.model_path = argv[1];
  request.model_name = argv[1];
  request.outputs = {{.level = argv[2], .path = argv[3]}};
  request.checkpoint.directory = argv[4];
  request.retried = argc > 6;
  const auto result = testing::RunQuantize(request, std::strtoul(argv[5], nullptr, 10));
  if (!result.ok()) {
    std::fprintf(stderr, "%s\n", std::string(result.status().message()).c_str());
    return RowOf(ErrorOf(result.status())).exit_code;
  }
  std::printf("%d\n", static_cast<int>(result->units_reused));
  return 0;
}
