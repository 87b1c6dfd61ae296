#include "tests/bench/peak_memory.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>

#include "core/base/machine.h"
#include "tests/support/paths.h"
#include "tests/support/quantize_job.h"

namespace quantized::testing {

uint64_t PeakResidentBytesOf(const std::function<bool()>& work) {
  int ends[2];
  EXPECT_EQ(pipe(ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    const uint64_t bytes = work() ? PeakResidentBytes() : 0;
    _exit(write(ends[1], &bytes, sizeof(bytes)) == sizeof(bytes) ? 0 : 1);
  }
  uint64_t bytes = 0;
  EXPECT_EQ(read(ends[0], &bytes, sizeof(bytes)), static_cast<ssize_t>(sizeof(bytes)));
  waitpid(child, nullptr, 0);
  close(ends[0]);
  close(ends[1]);
  EXPECT_GT(bytes, 0u) << "the work failed";
  return bytes;
}

PeakMemory PeakMemoryOfQuantizing(const SyntheticModel& model, const std::string& level) {
  TempDir dir;
  QuantizeRequest request;
  request.model_path = dir.path() / "model.gguf";
  request.model_name = "synthetic";
  request.outputs = {{.level = level, .path = dir.path() / "output.gguf"}};
  request.checkpoint.directory = dir.path() / "checkpoints";
  PeakMemory peak;
  EXPECT_TRUE(WriteSyntheticModel(request.model_path, model).ok());
  peak.model_bytes = std::filesystem::file_size(request.model_path);
  peak.resident_bytes = PeakResidentBytesOf([&] { return RunQuantize(request, 2).ok(); });
  std::printf("%s of a model of %.1f MB: at most %.1f MB resident\n", level.c_str(),
              static_cast<double>(peak.model_bytes) / 1e6,
              static_cast<double>(peak.resident_bytes) / 1e6);
  return peak;
}

}  // namespace quantized::testing
