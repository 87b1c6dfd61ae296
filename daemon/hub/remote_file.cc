#include "daemon/hub/remote_file.h"

#include <algorithm>

#include "core/base/text.h"

namespace quantized {
namespace {

constexpr size_t kMaxPathBytes = 1024;
constexpr size_t kMaxNameBytes = 255;  // NAME_MAX

bool IsSafeName(std::string_view name) {
  return !name.empty() && name != "." && name != ".." && name.size() <= kMaxNameBytes;
}

}  // namespace

bool IsSafeRemotePath(std::string_view path) {
  if (path.empty() || path.size() > kMaxPathBytes || PrintableText(path) != path ||
      path.find_first_of("\n\t\\") != std::string_view::npos) {
    return false;
  }
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    if (!IsSafeName(path.substr(begin, end - begin))) return false;
    begin = end + 1;
  }
  return true;
}

bool IsHex(std::string_view text, size_t digits) {
  return text.size() == digits && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

}  // namespace quantized
