// What marks the files of a split model: names, PREFIX-00001-of-00003.gguf, and metadata keys.
// Format: docs/formats/gguf.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace quantized::gguf {

inline constexpr std::string_view kSplitNumberKey = "split.no";  // from 0
inline constexpr std::string_view kSplitCountKey = "split.count";
inline constexpr std::string_view kSplitTensorsKey = "split.tensors.count";  // of all files

struct SplitName {
  std::string prefix;
  uint32_t number = 1;  // 1 … count
  uint32_t count = 1;
};

// Nothing when the name is not of that form.
std::optional<SplitName> ParseSplitName(std::string_view file_name);
std::string FormatSplitName(const SplitName& name);

}  // namespace quantized::gguf
