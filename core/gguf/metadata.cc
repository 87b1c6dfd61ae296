#include "core/gguf/metadata.h"

#include <algorithm>
#include <array>
#include <type_traits>

#include "core/base/check.h"

namespace quantized::gguf {
namespace {

// The number of each alternative of Value, in the variant's order.
constexpr std::array kValueTypes = {
    ValueType::kUint8,   ValueType::kInt8,  ValueType::kUint16,  ValueType::kInt16,
    ValueType::kUint32,  ValueType::kInt32, ValueType::kFloat32, ValueType::kBool,
    ValueType::kString,  ValueType::kArray, ValueType::kUint64,  ValueType::kInt64,
    ValueType::kFloat64,
};
static_assert(kValueTypes.size() == std::variant_size_v<Value>);

// The same for Array, which has no arrays among its elements.
constexpr std::array kElementTypes = {
    ValueType::kUint8,  ValueType::kInt8,   ValueType::kUint16,  ValueType::kInt16,
    ValueType::kUint32, ValueType::kInt32,  ValueType::kFloat32, ValueType::kBool,
    ValueType::kString, ValueType::kUint64, ValueType::kInt64,   ValueType::kFloat64,
};
static_assert(kElementTypes.size() == std::variant_size_v<Array>);

constexpr std::array<std::string_view, kValueTypes.size()> kNames = {
    "uint8", "int8",   "uint16", "int16",  "uint32", "int32",  "float32",
    "bool",  "string", "array",  "uint64", "int64",  "float64"};

}  // namespace

ValueType TypeOf(const Value& value) { return kValueTypes[value.index()]; }

ValueType ElementTypeOf(const Array& array) { return kElementTypes[array.index()]; }

std::string_view NameOf(ValueType type) {
  const size_t number = static_cast<size_t>(type);
  CHECK(number < kNames.size());
  return kNames[number];
}

void Metadata::Set(std::string_view key, Value value) {
  for (Entry& entry : entries_) {
    if (entry.key == key) {
      entry.value = std::move(value);
      return;
    }
  }
  entries_.push_back({std::string(key), std::move(value)});
}

void Metadata::SetLast(std::string_view key, Value value) {
  Remove(key);
  entries_.push_back({std::string(key), std::move(value)});
}

bool Metadata::Remove(std::string_view key) {
  return std::erase_if(entries_, [&](const Entry& entry) { return entry.key == key; }) != 0;
}

const Value* Metadata::Find(std::string_view key) const {
  const auto entry = std::find_if(entries_.begin(), entries_.end(),
                                  [&](const Entry& candidate) { return candidate.key == key; });
  return entry == entries_.end() ? nullptr : &entry->value;
}

std::optional<uint64_t> Metadata::GetUnsigned(std::string_view key) const {
  const Value* value = Find(key);
  if (value == nullptr) return std::nullopt;
  return std::visit(
      []<typename T>(const T& number) -> std::optional<uint64_t> {
        if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
          if (number >= 0) return static_cast<uint64_t>(number);
        }
        return std::nullopt;
      },
      *value);
}

}  // namespace quantized::gguf
