// Where a test finds what it needs. Works for a test run by ctest or by hand.
#pragma once

#include <filesystem>
#include <optional>

namespace quantized::testing {

// The top of the source tree.
std::filesystem::path SourceDir();

// build/PRESET/bin, which holds the programs of the build that this test belongs to.
std::filesystem::path BinDir();

// Committed golden data: tests/golden/data.
std::filesystem::path GoldenDir();

// The large golden set that `tests/run.sh --golden DIR` names (environment QUANTIZED_GOLDEN), if
// any.
std::optional<std::filesystem::path> LargeGoldenDir();

// SmolLM2-135M-Instruct in float16 as tests/support/make_smollm2.sh makes it (tests/run.sh does), if
// it was made.
std::optional<std::filesystem::path> SmolLm2Dir();

// A fresh folder, removed when the object dies.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace quantized::testing
