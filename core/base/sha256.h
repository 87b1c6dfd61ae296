// SHA-256, the hash by which we name what we make.
#pragma once

#include <string>
#include <string_view>

#include "core/base/digest.h"

namespace quantized {

class Sha256 : public Digest {
 public:
  Sha256() : Digest(DigestKind::kSha256) {}
};

// 64 lower-case hexadecimal digits.
std::string Sha256Hex(std::string_view text);

}  // namespace quantized
