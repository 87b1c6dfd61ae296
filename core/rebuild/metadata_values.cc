#include "core/rebuild/metadata_values.h"

#include <cmath>
#include <limits>
#include <type_traits>
#include <variant>

#include "core/tensor/text.h"

namespace quantized {
namespace {

absl::Status WrongType(const gguf::Metadata& metadata, std::string_view key,
                       std::string_view expected) {
  return KeyError(key, FoundText(metadata.Find(key)), expected);
}

// Null where the key is not there.
template <typename T>
absl::StatusOr<const T*> Typed(const gguf::Metadata& metadata, std::string_view key,
                               std::string_view expected) {
  const T* value = metadata.Get<T>(key);
  if (value == nullptr && metadata.Find(key) != nullptr) return WrongType(metadata, key, expected);
  return value;
}

template <typename T>
absl::StatusOr<const std::vector<T>*> List(const gguf::Metadata& metadata, std::string_view key,
                                           std::string_view expected) {
  const auto* array = metadata.Get<gguf::Array>(key);
  const auto* list = array == nullptr ? nullptr : std::get_if<std::vector<T>>(array);
  if (list == nullptr && metadata.Find(key) != nullptr) return WrongType(metadata, key, expected);
  return list;
}

}  // namespace

std::string FoundText(const gguf::Value* value) {
  if (value == nullptr) return "nothing";
  return std::visit(
      []<typename T>(const T& item) -> std::string {
        if constexpr (std::is_same_v<T, gguf::Array>) {
          const size_t size = std::visit([](const auto& list) { return list.size(); }, item);
          return StrCat("an array of ", size, " ", gguf::NameOf(gguf::ElementTypeOf(item)));
        } else if constexpr (std::is_same_v<T, std::string>) {
          return StrCat("\"", PrintableName(item), "\"");
        } else if constexpr (std::is_same_v<T, bool>) {
          return item ? "true" : "false";
        } else if constexpr (std::is_same_v<T, uint8_t> || std::is_same_v<T, int8_t>) {
          return StrCat(static_cast<int>(item));
        } else {
          return StrCat(item);
        }
      },
      *value);
}

absl::StatusOr<std::optional<uint32_t>> FindUint32(const gguf::Metadata& metadata,
                                                   std::string_view key) {
  if (metadata.Find(key) == nullptr) return std::nullopt;
  const std::optional<uint64_t> value = metadata.GetUnsigned(key);
  if (!value || *value > std::numeric_limits<uint32_t>::max()) {
    return WrongType(metadata, key, "a whole number from 0 to 4294967295");
  }
  return static_cast<uint32_t>(*value);
}

absl::StatusOr<std::optional<float>> FindFinite(const gguf::Metadata& metadata,
                                                std::string_view key) {
  if (metadata.Find(key) == nullptr) return std::nullopt;
  const auto* value = metadata.Get<float>(key);
  if (value == nullptr || !std::isfinite(*value)) {
    return WrongType(metadata, key, "a finite float32");
  }
  return *value;
}

absl::StatusOr<std::optional<bool>> FindBool(const gguf::Metadata& metadata, std::string_view key) {
  const auto value = Typed<bool>(metadata, key, "true or false");
  if (!value.ok()) return value.status();
  return *value == nullptr ? std::nullopt : std::optional<bool>(**value);
}

absl::StatusOr<const std::string*> FindText(const gguf::Metadata& metadata, std::string_view key) {
  return Typed<std::string>(metadata, key, "a string");
}

absl::StatusOr<const std::vector<std::string>*> FindTexts(const gguf::Metadata& metadata,
                                                          std::string_view key) {
  return List<std::string>(metadata, key, "an array of strings");
}

absl::StatusOr<const std::vector<float>*> FindFloats(const gguf::Metadata& metadata,
                                                     std::string_view key) {
  return List<float>(metadata, key, "an array of float32");
}

absl::StatusOr<const std::vector<int32_t>*> FindInts(const gguf::Metadata& metadata,
                                                     std::string_view key) {
  return List<int32_t>(metadata, key, "an array of int32");
}

}  // namespace quantized
