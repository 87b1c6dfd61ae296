// make-synthetic-model OUT.gguf LAYERS HIDDEN FEED_FORWARD VOCABULARY [TYPE]: a Llama of random
// weights in F16 or TYPE (F32, BF16). 12 4096 11008 32000 gives about 5 GB.

#include <cstdint>
#include <cstdio>

#include "absl/strings/numbers.h"
#include "tests/support/synthetic_model.h"

int main(int argc, char** argv) {
  namespace kernels = quantized::kernels;
  quantized::testing::SyntheticModel model;
  const kernels::QuantType* type = kernels::FindQuantType(argc == 7 ? argv[6] : "F16");
  if (argc < 6 || argc > 7 || type == nullptr || type->block_values != 1 ||
      !absl::SimpleAtoi(argv[2], &model.layers) || !absl::SimpleAtoi(argv[3], &model.hidden) ||
      !absl::SimpleAtoi(argv[4], &model.feed_forward) ||
      !absl::SimpleAtoi(argv[5], &model.vocabulary)) {
    std::fprintf(stderr, "usage: %s OUT.gguf LAYERS HIDDEN FEED_FORWARD VOCABULARY [TYPE]\n",
                 argv[0]);
    return 2;
  }
  model.type = type->id;
  const absl::Status status = quantized::testing::WriteSyntheticModel(argv[1], model);
  if (!status.ok()) std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
  return status.ok() ? 0 : 1;
}
