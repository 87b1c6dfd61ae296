// JSON files of the tests of this folder.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "core/base/file.h"
#include "nlohmann/json.hpp"

namespace quantized::tokenizer {

inline nlohmann::json ReadTestJson(const std::filesystem::path& path) {
  const auto text = ReadFile(path, uint64_t{1} << 28);
  EXPECT_TRUE(text.ok()) << text.status();
  return nlohmann::json::parse(text.value_or("null"));
}

inline void WriteTestFile(const std::filesystem::path& path, std::string_view text) {
  std::ofstream out(path, std::ios::binary);
  out.write(text.data(), static_cast<std::streamsize>(text.size()));
  EXPECT_TRUE(out.good()) << path;
}

inline void WriteTestJson(const std::filesystem::path& path, const nlohmann::json& json) {
  WriteTestFile(path, json.dump());
}

}  // namespace quantized::tokenizer
