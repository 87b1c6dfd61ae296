// device_bench MODEL FOLDER DEVICE THREADS LEVEL…: quantizes MODEL to each level on the processor
// and on DEVICE, into FOLDER, prints the seconds, and fails where the files differ. The second of
// two runs counts, so that the model is in the page cache and the device is awake.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "absl/status/statusor.h"
#include "core/base/file.h"
#include "core/base/thread_pool.h"
#include "core/pipeline/quantize.h"
#include "tests/support/recording_sink.h"

namespace quantized::testing {
namespace {

namespace fs = std::filesystem;

struct Made {
  fs::path path;
  double seconds = 0;
  std::string device;
  uint64_t device_memory_bytes = 0;
};

absl::StatusOr<Made> Make(const fs::path& model, const fs::path& folder, const std::string& device,
                          size_t threads, const std::string& level) {
  Made made{.path = folder / device / (level + ".gguf")};
  for (int run = 0; run < 2; ++run) {
    QuantizeRequest request;
    request.model_path = model;
    request.model_name = model.string();
    request.outputs.push_back({.level = level, .path = made.path, .previous = {}});
    request.overwrite = true;
    request.checkpoint.enabled = false;
    request.device = device;
    RecordingSink sink;
    ThreadPool pool(threads);
    JobContext context{{}, sink, pool};
    const auto begin = std::chrono::steady_clock::now();
    const QuantizeOutcome outcome = Quantize(request, context);
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
    if (!outcome.status.ok()) return outcome.status;
    made.seconds = elapsed.count();
    made.device = outcome.finished[0].device;
    made.device_memory_bytes = outcome.finished[0].device_memory_bytes;
  }
  return made;
}

// False where they differ; ends the program where one cannot be made.
bool Compare(const fs::path& model, const fs::path& folder, const std::string& device,
             size_t threads, const std::string& level) {
  Made made[2];
  for (int i = 0; i < 2; ++i) {
    const auto result = Make(model, folder, i == 0 ? "cpu" : device, threads, level);
    if (!result.ok()) {
      std::fprintf(stderr, "%s\n", std::string(result.status().message()).c_str());
      std::exit(2);
    }
    made[i] = *result;
  }
  constexpr uint64_t kLimit = uint64_t{1} << 40;
  const bool same = *ReadFile(made[0].path, kLimit) == *ReadFile(made[1].path, kLimit);
  std::printf("%-8s cpu %8.2f s   %s %8.2f s   %6.2f times   %llu MB on it   %s\n", level.c_str(),
              made[0].seconds, made[1].device.c_str(), made[1].seconds,
              made[0].seconds / made[1].seconds,
              static_cast<unsigned long long>(made[1].device_memory_bytes / 1'000'000),
              same ? "same bytes" : "DIFFERENT BYTES");
  for (const Made& one : made) fs::remove(one.path);
  return same;
}

}  // namespace
}  // namespace quantized::testing

int main(int argc, char** argv) {
  if (argc < 6) {
    std::fprintf(stderr, "usage: %s MODEL FOLDER DEVICE THREADS LEVEL…\n", argv[0]);
    return 2;
  }
  bool same = true;
  for (int i = 5; i < argc; ++i) {
    same &= quantized::testing::Compare(argv[1], argv[2], argv[3],
                                        std::strtoul(argv[4], nullptr, 10), argv[i]);
  }
  return same ? 0 : 1;
}
