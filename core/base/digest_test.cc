#include "core/base/digest.h"

#include "core/base/sha256.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace quantized {
namespace {

std::string HexOf(DigestKind kind, std::string_view first, std::string_view second) {
  Digest digest(kind);
  digest.Update(first);
  digest.Update(second);
  return digest.HexDigest();
}

// "abc" of FIPS 180-4's examples.
TEST(DigestTest, KnownAnswers) {
  EXPECT_EQ(HexOf(DigestKind::kSha1, "a", "bc"), "a9993e364706816aba3e25717850c26c9cd0d89d");
  EXPECT_EQ(HexOf(DigestKind::kSha256, "a", "bc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Sha256Hex("abc"), HexOf(DigestKind::kSha256, "abc", ""));
}

// git hash-object of a file that holds "hello\n".
TEST(DigestTest, AGitBlob) {
  EXPECT_EQ(HexOf(DigestKind::kSha1, std::string_view("blob 6\0", 7), "hello\n"),
            "ce013625030ba8dba906f756967f9e9ca394464a");
}

}  // namespace
}  // namespace quantized
