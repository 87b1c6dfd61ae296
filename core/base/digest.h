// The hashes by which others name bytes, computed by OpenSSL: SHA-256 (FIPS 180-4), and SHA-1,
// which names a git blob and is good for nothing else.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace quantized {

enum class DigestKind { kSha1, kSha256 };

// Feed bytes with Update, then call HexDigest once. Move-only.
class Digest {
 public:
  explicit Digest(DigestKind kind);
  ~Digest();
  Digest(Digest&&) noexcept;
  Digest& operator=(Digest&&) noexcept;

  void Update(std::span<const std::byte> bytes);
  void Update(std::string_view text) { Update(std::as_bytes(std::span(text))); }
  // Lower-case hexadecimal digits: 40 or 64.
  std::string HexDigest();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace quantized
