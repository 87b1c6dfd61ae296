// Writes the bytes of a GGUF file piece by piece, right or wrong, for tests of its readers.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace quantized::testing {

class GgufBytes {
 public:
  // Magic, version and counts.
  GgufBytes(uint64_t tensor_count, uint64_t pair_count, uint32_t version = 3) {
    Raw("GGUF").Number(version).Number(tensor_count).Number(pair_count);
  }

  GgufBytes& Raw(std::string_view bytes) {
    bytes_ += bytes;
    return *this;
  }
  template <typename T>
  GgufBytes& Number(T number) {
    bytes_.append(reinterpret_cast<const char*>(&number), sizeof(number));
    return *this;
  }
  GgufBytes& String(std::string_view text) { return Number(uint64_t{text.size()}).Raw(text); }
  // A key and the number of its value's type.
  GgufBytes& Key(std::string_view key, uint32_t type) { return String(key).Number(type); }
  GgufBytes& Tensor(std::string_view name, const std::vector<uint64_t>& dims, uint32_t type,
                    uint64_t offset) {
    String(name).Number(static_cast<uint32_t>(dims.size()));
    for (const uint64_t dim : dims) Number(dim);
    return Number(type).Number(offset);
  }
  // Zeros up to the next multiple of `alignment`, then `data`.
  GgufBytes& Data(std::string_view data, size_t alignment = 32) {
    bytes_.resize((bytes_.size() + alignment - 1) / alignment * alignment, '\0');
    return Raw(data);
  }

  operator std::string() const { return bytes_; }  // NOLINT(google-explicit-constructor)

 private:
  std::string bytes_;
};

}  // namespace quantized::testing
