#include "tests/support/paths.h"

#include <cstdlib>

#include "core/base/check.h"
#include "core/base/ids.h"

namespace quantized::testing {

std::filesystem::path BinDir() {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path();
}

std::filesystem::path SourceDir() {
  for (std::filesystem::path dir = BinDir(); dir != dir.root_path(); dir = dir.parent_path()) {
    if (std::filesystem::exists(dir / "CMakePresets.json")) return dir;
  }
  CHECK(!"the test's program does not lie below the source tree");
}

std::filesystem::path GoldenDir() { return SourceDir() / "tests/golden/data"; }

std::optional<std::filesystem::path> LargeGoldenDir() {
  const char* path = std::getenv("QUANTIZED_GOLDEN");
  if (path == nullptr || *path == '\0') return std::nullopt;
  return path;
}

std::optional<std::filesystem::path> SmolLm2Dir() {
  const std::filesystem::path model = SourceDir() / "build/models/SmolLM2-135M-Instruct";
  if (!std::filesystem::exists(model)) return std::nullopt;
  return model;
}

TempDir::TempDir()
    : path_(std::filesystem::temp_directory_path() / ("quantized-test-" + NewUlid())) {
  CHECK(std::filesystem::create_directories(path_));
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace quantized::testing
