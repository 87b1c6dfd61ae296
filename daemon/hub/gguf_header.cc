#include "daemon/hub/gguf_header.h"

#include <algorithm>
#include <array>
#include <limits>

namespace quantized {
namespace {

constexpr uint32_t kString = 8;
constexpr uint32_t kArray = 9;
// Of a value of each type; 0 for strings and arrays.
constexpr std::array<uint64_t, 13> kValueBytes = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
constexpr uint32_t kMostDims = 4;

// Goes over the bytes. Once it is beyond their end it stays there, and numbers read as 0.
class Walk {
 public:
  explicit Walk(std::string_view bytes) : bytes_(bytes) {}

  uint64_t at() const { return at_; }
  bool inside() const { return at_ <= bytes_.size(); }

  void Skip(uint64_t count) {
    if (inside()) at_ += std::min(count, std::numeric_limits<uint64_t>::max() - at_);
  }
  void SkipAll(uint64_t count, uint64_t size_bytes) {
    const uint64_t most = std::numeric_limits<uint64_t>::max() / size_bytes;
    Skip(std::min(count, most) * size_bytes);
  }
  uint64_t Number(uint64_t size_bytes) {
    const uint64_t begin = at_;
    Skip(size_bytes);
    uint64_t value = 0;
    if (!inside()) return value;
    for (uint64_t i = size_bytes; i-- > 0;) {
      value = value << 8 | static_cast<uint8_t>(bytes_[begin + i]);
    }
    return value;
  }
  void SkipString() { Skip(Number(8)); }

  // False for a type that there is not.
  bool SkipValue(uint32_t type) {
    if (type == kString) {
      SkipString();
      return true;
    }
    if (type != kArray) {
      if (type >= kValueBytes.size()) return false;
      Skip(kValueBytes[type]);
      return true;
    }
    const auto element = static_cast<uint32_t>(Number(4));
    const uint64_t count = Number(8);
    if (element >= kValueBytes.size() || element == kArray) return false;
    if (element != kString) {
      SkipAll(count, kValueBytes[element]);
    } else {
      for (uint64_t i = 0; i < count && inside(); ++i) SkipString();
    }
    return true;
  }

 private:
  const std::string_view bytes_;
  uint64_t at_ = 0;
};

}  // namespace

uint64_t LeastGgufHeaderBytes(std::string_view beginning) {
  constexpr std::string_view kMagic = "GGUF";
  if (!kMagic.starts_with(beginning.substr(0, kMagic.size()))) return 0;
  Walk walk(beginning);
  walk.Skip(kMagic.size());
  const uint64_t version = walk.Number(4);
  if (walk.inside() && version != 2 && version != 3) return 0;
  const uint64_t tensors = walk.Number(8);
  const uint64_t pairs = walk.Number(8);
  for (uint64_t i = 0; i < pairs && walk.inside(); ++i) {
    walk.SkipString();
    const auto type = static_cast<uint32_t>(walk.Number(4));
    if (walk.inside() && !walk.SkipValue(type)) return 0;
  }
  for (uint64_t i = 0; i < tensors && walk.inside(); ++i) {
    walk.SkipString();
    const uint64_t dims = walk.Number(4);
    if (dims > kMostDims) return 0;
    walk.Skip(dims * 8 + 4 + 8);  // with the type and the offset
  }
  return walk.at();
}

}  // namespace quantized
