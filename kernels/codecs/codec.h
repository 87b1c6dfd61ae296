// The one function table of the encoders and decoders: a row per type, a column per variant.
// All variants of an encoder give the same bytes (docs/design/exactness.md); a null entry means
// that the variant does not exist in this build or for this type. The CUDA form is no column: it
// needs a stream and memory, and a module that may not be there (kernels/cuda/cuda_module.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/types/quant_type.h"

namespace quantized::kernels {

// Encodes `rows` rows of `cols` f32 values (row-major, no padding) at `x` into
// rows * RowBytes(type, cols) bytes at `out`. `importance` has `cols` finite weights >= 0 that hold
// for each row, or is null (never where the codec's importance is kRequired).
// `cols` is a multiple of the type's block_values. Rows are independent. Values beyond the type's
// range give blocks that `is_finite` refuses; NaN and infinity give unspecified bytes.
// Thread-safe; allocates nothing.
using EncodeRows = void (*)(const float* x, const float* importance, size_t rows, size_t cols,
                            std::byte* out);

// Decodes `count` values (a multiple of block_values) at `in` to f32.
using DecodeValues = void (*)(const std::byte* in, size_t count, float* out);

// Whether `count` values at `in` hold no NaN or infinity where the reference tool looks for them:
// the values of F32, F16 and BF16, the scales of quantized blocks.
using CheckFinite = bool (*)(const std::byte* in, size_t count);

// What an encoder makes of importance weights.
enum class Importance : uint8_t {
  kIgnored,   // its bytes do not depend on them
  kOptional,  // they decide what is worth keeping; without them the values themselves do
  kRequired,  // there is no encoding without them
};

struct Codec {
  TypeId id;
  Importance importance;
  EncodeRows encode_ref;   // plain scalar, the specification
  EncodeRows encode_simd;  // Highway; picks the best target of this processor
  DecodeValues decode;
  CheckFinite is_finite;
};

// All rows, ordered by id.
std::span<const Codec> AllCodecs();
// Null for a type without codec (I8, Q8_1, …).
const Codec* FindCodec(TypeId id);

// The fastest variant on this processor: encode_simd where there is one, else encode_ref.
EncodeRows BestEncoder(const Codec& codec);

}  // namespace quantized::kernels
