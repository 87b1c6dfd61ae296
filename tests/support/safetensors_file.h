// Writes the bytes of a safetensors file, tensor by tensor, for tests of what reads one.
#pragma once

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

namespace quantized::testing {

class SafetensorsFile {
 public:
  // `bytes` are the elements' bytes; whether they fit `dtype` and `shape` is the test's business.
  SafetensorsFile& Add(std::string_view name, std::string_view dtype,
                       const std::vector<uint64_t>& shape, std::string_view bytes) {
    if (!header_.empty()) header_ += ",";
    std::string dims;
    for (const uint64_t dim : shape) dims += (dims.empty() ? "" : ",") + std::to_string(dim);
    header_ += "\"" + std::string(name) + "\":{\"dtype\":\"" + std::string(dtype) +
               "\",\"shape\":[" + dims + "],\"data_offsets\":[" + std::to_string(data_.size()) +
               "," + std::to_string(data_.size() + bytes.size()) + "]}";
    data_ += bytes;
    return *this;
  }

  std::string Bytes() const {
    const std::string header = "{" + header_ + "}";
    const uint64_t size = header.size();
    return std::string(reinterpret_cast<const char*>(&size), sizeof(size)) + header + data_;
  }

  void WriteTo(const std::filesystem::path& path) const {
    std::ofstream(path, std::ios::binary) << Bytes();
  }

 private:
  std::string header_, data_;
};

}  // namespace quantized::testing
