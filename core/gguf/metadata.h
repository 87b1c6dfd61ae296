// The key-value part of a GGUF file: an ordered list of unique keys. Format: docs/formats/gguf.md.
// Values keep their GGUF type; equality includes it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace quantized::gguf {

// Numbers of the value types in a file.
enum class ValueType : uint32_t {
  kUint8 = 0,
  kInt8 = 1,
  kUint16 = 2,
  kInt16 = 3,
  kUint32 = 4,
  kInt32 = 5,
  kFloat32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kUint64 = 10,
  kInt64 = 11,
  kFloat64 = 12,
};

// A homogeneous array. Arrays of arrays are refused by the reader. Booleans are bytes 0 and 1 of
// their own type, so that std::vector<bool> is never met.
struct Bool {
  uint8_t value = 0;
  bool operator==(const Bool&) const = default;
};
using Array = std::variant<std::vector<uint8_t>, std::vector<int8_t>, std::vector<uint16_t>,
                           std::vector<int16_t>, std::vector<uint32_t>, std::vector<int32_t>,
                           std::vector<float>, std::vector<Bool>, std::vector<std::string>,
                           std::vector<uint64_t>, std::vector<int64_t>, std::vector<double>>;
using Value = std::variant<uint8_t, int8_t, uint16_t, int16_t, uint32_t, int32_t, float, bool,
                           std::string, Array, uint64_t, int64_t, double>;

ValueType TypeOf(const Value& value);
ValueType ElementTypeOf(const Array& array);

// The names in the format's own words: "uint32", "array".
std::string_view NameOf(ValueType type);

class Metadata {
 public:
  struct Entry {
    std::string key;
    Value value;
    bool operator==(const Entry&) const = default;
  };

  Metadata() = default;
  // The keys must be unique; the reader has checked that.
  explicit Metadata(std::vector<Entry> entries) : entries_(std::move(entries)) {}

  // In file order.
  std::span<const Entry> entries() const { return entries_; }

  // A key that is there keeps its place and takes the new value; else it is appended.
  void Set(std::string_view key, Value value);
  // Removes the key where it is there, then appends.
  void SetLast(std::string_view key, Value value);
  // Whether it was there.
  bool Remove(std::string_view key);

  // Null when absent; points into *this until the next change.
  const Value* Find(std::string_view key) const;
  // The value where it is there and has this type, else null.
  template <typename T>
  const T* Get(std::string_view key) const {
    const Value* value = Find(key);
    return value == nullptr ? nullptr : std::get_if<T>(value);
  }

  // The value where it is a whole number of any width that is not negative, else nothing.
  std::optional<uint64_t> GetUnsigned(std::string_view key) const;

  bool operator==(const Metadata&) const = default;

 private:
  std::vector<Entry> entries_;
};

}  // namespace quantized::gguf
