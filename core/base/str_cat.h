// absl::StrCat and absl::StrAppend for std::string_view, too: Debian's abseil has a string_view
// type of its own, which std's does not convert to.
#pragma once

#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"

namespace quantized {
namespace internal {

template <typename T>
const T& StrCatPart(const T& part) {
  return part;
}
inline absl::string_view StrCatPart(std::string_view part) { return {part.data(), part.size()}; }

}  // namespace internal

template <typename... Parts>
std::string StrCat(const Parts&... parts) {
  return absl::StrCat(internal::StrCatPart(parts)...);
}

template <typename... Parts>
void StrAppend(std::string* text, const Parts&... parts) {
  absl::StrAppend(text, internal::StrCatPart(parts)...);
}

}  // namespace quantized
