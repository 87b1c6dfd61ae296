#include "core/packed/bit_stream.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "core/base/check.h"

namespace quantized {
namespace {

static_assert(std::endian::native == std::endian::little, "words are copied as they stand");

constexpr size_t kCodesPerBlock = 32;  // they fill kBits words
constexpr size_t kLanes = 8;           // codes that are moved at a time
// Columns that are packed side by side: their words fill a cache line.
constexpr size_t kTile = 16;

constexpr uint64_t Low(int bits) { return bits == 64 ? ~uint64_t{0} : (uint64_t{1} << bits) - 1; }
constexpr uint64_t kBytes = 0x0101010101010101, kPairs = 0x0001000100010001,
                   kQuads = 0x0000000100000001;

// Moves eight codes, one a byte, together into 8 * kBits bits: neighbours first, then pairs, then
// fours.
template <int kBits>
uint64_t Gather(uint64_t codes) {
  if constexpr (kBits == 8) return codes;
  codes = (codes | codes >> (8 - kBits)) & (Low(2 * kBits) * kPairs);
  codes = (codes | codes >> (16 - 2 * kBits)) & (Low(4 * kBits) * kQuads);
  return (codes | codes >> (32 - 4 * kBits)) & Low(8 * kBits);
}

template <int kBits>
uint64_t Scatter(uint64_t stream) {
  if constexpr (kBits == 8) return stream;
  stream = (stream | stream << (32 - 4 * kBits)) & (Low(4 * kBits) * kQuads);
  stream = (stream | stream << (16 - 2 * kBits)) & (Low(2 * kBits) * kPairs);
  return (stream | stream << (8 - kBits)) & (Low(kBits) * kBytes);
}

// 32 codes into kBits words at `out`; returns the bits that any code has.
template <int kBits>
uint64_t PackBlock(const uint8_t* codes, std::byte* out) {
  uint64_t seen = 0;
  for (size_t i = 0; i < kCodesPerBlock; i += kLanes) {
    uint64_t lanes;
    std::memcpy(&lanes, codes + i, sizeof(lanes));
    seen |= lanes;
    const uint64_t stream = Gather<kBits>(lanes);
    std::memcpy(out + i / kLanes * kBits, &stream, kBits);
  }
  return seen;
}

template <int kBits>
void UnpackBlock(const std::byte* in, uint8_t* codes) {
  for (size_t i = 0; i < kCodesPerBlock; i += kLanes) {
    uint64_t stream = 0;
    std::memcpy(&stream, in + i / kLanes * kBits, kBits);
    const uint64_t lanes = Scatter<kBits>(stream);
    std::memcpy(codes + i, &lanes, sizeof(lanes));
  }
}

template <int kBits>
void CheckCodes(uint64_t seen) {
  CHECK((seen & ~(Low(kBits) * kBytes)) == 0);
}

template <int kBits>
void PackColumnsOf(const uint8_t* codes, size_t streams, size_t length, std::byte* out) {
  constexpr size_t kWord = sizeof(uint32_t);
  uint64_t seen = 0;
  for (size_t first = 0; first < streams; first += kTile) {
    const size_t width = std::min(kTile, streams - first);
    for (size_t block = 0; block < length / kCodesPerBlock; ++block) {
      std::byte words[kBits][kTile * kWord];
      for (size_t t = 0; t < width; ++t) {
        std::byte stream[kBits * kWord];
        seen |= PackBlock<kBits>(codes + (first + t) * length + block * kCodesPerBlock, stream);
        for (size_t w = 0; w < kBits; ++w) {
          std::memcpy(words[w] + t * kWord, stream + w * kWord, kWord);
        }
      }
      for (size_t w = 0; w < kBits; ++w) {
        std::memcpy(out + ((block * kBits + w) * streams + first) * kWord, words[w], width * kWord);
      }
    }
  }
  CheckCodes<kBits>(seen);
}

template <int kBits>
void UnpackColumnsOf(const std::byte* in, size_t streams, size_t length, uint8_t* codes) {
  constexpr size_t kWord = sizeof(uint32_t);
  for (size_t first = 0; first < streams; first += kTile) {
    const size_t width = std::min(kTile, streams - first);
    for (size_t block = 0; block < length / kCodesPerBlock; ++block) {
      for (size_t t = 0; t < width; ++t) {
        std::byte stream[kBits * kWord];
        for (size_t w = 0; w < kBits; ++w) {
          std::memcpy(stream + w * kWord, in + ((block * kBits + w) * streams + first + t) * kWord,
                      kWord);
        }
        UnpackBlock<kBits>(stream, codes + (first + t) * length + block * kCodesPerBlock);
      }
    }
  }
}

template <int kBits>
struct Width {
  static constexpr int value = kBits;
};

// Calls `function` with Width<bits>.
template <typename Function>
void WithWidth(int bits, const Function& function) {
  CHECK(IsStreamBits(bits));
  if (bits == 2) function(Width<2>());
  if (bits == 3) function(Width<3>());
  if (bits == 4) function(Width<4>());
  if (bits == 8) function(Width<8>());
}

}  // namespace

bool IsStreamBits(int bits) { return std::ranges::count(kStreamBits, bits) != 0; }

void PackStream(std::span<const uint8_t> codes, int bits, std::byte* out) {
  CHECK(codes.size() % kCodesPerBlock == 0);
  WithWidth(bits, [&]<int kBits>(Width<kBits>) {
    uint64_t seen = 0;
    for (size_t i = 0; i < codes.size(); i += kCodesPerBlock) {
      seen |= PackBlock<kBits>(codes.data() + i, out + i * kBits / 8);
    }
    CheckCodes<kBits>(seen);
  });
}

void UnpackStream(const std::byte* in, int bits, std::span<uint8_t> codes) {
  CHECK(codes.size() % kCodesPerBlock == 0);
  WithWidth(bits, [&]<int kBits>(Width<kBits>) {
    for (size_t i = 0; i < codes.size(); i += kCodesPerBlock) {
      UnpackBlock<kBits>(in + i * kBits / 8, codes.data() + i);
    }
  });
}

void PackColumns(const uint8_t* codes, size_t streams, size_t length, int bits, std::byte* out) {
  CHECK(length % kCodesPerBlock == 0);
  WithWidth(bits,
            [&]<int kBits>(Width<kBits>) { PackColumnsOf<kBits>(codes, streams, length, out); });
}

void UnpackColumns(const std::byte* in, size_t streams, size_t length, int bits, uint8_t* codes) {
  CHECK(length % kCodesPerBlock == 0);
  WithWidth(bits,
            [&]<int kBits>(Width<kBits>) { UnpackColumnsOf<kBits>(in, streams, length, codes); });
}

}  // namespace quantized
