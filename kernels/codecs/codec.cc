#include "kernels/codecs/codec.h"

#include <algorithm>

#include "kernels/bf16/bf16.h"
#include "kernels/f16/f16.h"
#include "kernels/f32/f32.h"
#include "kernels/iq1_m/iq1_m.h"
#include "kernels/iq1_s/iq1_s.h"
#include "kernels/iq2_s/iq2_s.h"
#include "kernels/iq2_xs/iq2_xs.h"
#include "kernels/iq2_xxs/iq2_xxs.h"
#include "kernels/iq3_s/iq3_s.h"
#include "kernels/iq3_xxs/iq3_xxs.h"
#include "kernels/iq4_nl/iq4_nl.h"
#include "kernels/iq4_xs/iq4_xs.h"
#include "kernels/mxfp4/mxfp4.h"
#include "kernels/nvfp4/nvfp4.h"
#include "kernels/q1_0/q1_0.h"
#include "kernels/q2_0/q2_0.h"
#include "kernels/q2_k/q2_k.h"
#include "kernels/q3_k/q3_k.h"
#include "kernels/q4_0/q4_0.h"
#include "kernels/q4_1/q4_1.h"
#include "kernels/q4_k/q4_k.h"
#include "kernels/q5_0/q5_0.h"
#include "kernels/q5_1/q5_1.h"
#include "kernels/q5_k/q5_k.h"
#include "kernels/q6_k/q6_k.h"
#include "kernels/q8_0/q8_0.h"
#include "kernels/tq1_0/tq1_0.h"
#include "kernels/tq2_0/tq2_0.h"

namespace quantized::kernels {
namespace {

// clang-format off
constexpr Codec kCodecs[] = {
    // type, importance, plain, Highway, decode, check
    {TypeId::kF32, Importance::kIgnored, EncodeF32, nullptr, DecodeF32, IsFiniteF32},
    {TypeId::kF16, Importance::kIgnored, EncodeF16Ref, EncodeF16Simd, DecodeF16Simd, IsFiniteF16},
    {TypeId::kQ4_0, Importance::kOptional, EncodeQ4_0Ref, EncodeQ4_0Simd, DecodeQ4_0, IsFiniteQ4_0},
    {TypeId::kQ4_1, Importance::kOptional, EncodeQ4_1Ref, EncodeQ4_1Simd, DecodeQ4_1, IsFiniteQ4_1},
    {TypeId::kQ5_0, Importance::kOptional, EncodeQ5_0Ref, EncodeQ5_0Simd, DecodeQ5_0, IsFiniteQ5_0},
    {TypeId::kQ5_1, Importance::kOptional, EncodeQ5_1Ref, EncodeQ5_1Simd, DecodeQ5_1, IsFiniteQ5_1},
    {TypeId::kQ8_0, Importance::kIgnored, EncodeQ8_0Ref, EncodeQ8_0Simd, DecodeQ8_0, IsFiniteQ8_0},
    {TypeId::kQ2_K, Importance::kOptional, EncodeQ2KRef, EncodeQ2KSimd, DecodeQ2K, IsFiniteQ2K},
    {TypeId::kQ3_K, Importance::kOptional, EncodeQ3KRef, EncodeQ3KSimd, DecodeQ3K, IsFiniteQ3K},
    {TypeId::kQ4_K, Importance::kOptional, EncodeQ4KRef, EncodeQ4KSimd, DecodeQ4K, IsFiniteQ4K},
    {TypeId::kQ5_K, Importance::kOptional, EncodeQ5KRef, EncodeQ5KSimd, DecodeQ5K, IsFiniteQ5K},
    {TypeId::kQ6_K, Importance::kOptional, EncodeQ6KRef, EncodeQ6KSimd, DecodeQ6K, IsFiniteQ6K},
    {TypeId::kIQ2_XXS, Importance::kRequired, EncodeIQ2XXSRef, EncodeIQ2XXSSimd, DecodeIQ2XXS, IsFiniteIQ2XXS},
    {TypeId::kIQ2_XS, Importance::kRequired, EncodeIQ2XSRef, EncodeIQ2XSSimd, DecodeIQ2XS, IsFiniteIQ2XS},
    {TypeId::kIQ3_XXS, Importance::kOptional, EncodeIQ3XXSRef, EncodeIQ3XXSSimd, DecodeIQ3XXS, IsFiniteIQ3XXS},
    {TypeId::kIQ1_S, Importance::kRequired, EncodeIQ1SRef, EncodeIQ1SSimd, DecodeIQ1S, IsFiniteIQ1S},
    {TypeId::kIQ4_NL, Importance::kOptional, EncodeIQ4NLRef, EncodeIQ4NLSimd, DecodeIQ4NL, IsFiniteIQ4NL},
    {TypeId::kIQ3_S, Importance::kOptional, EncodeIQ3SRef, EncodeIQ3SSimd, DecodeIQ3S, IsFiniteIQ3S},
    {TypeId::kIQ2_S, Importance::kOptional, EncodeIQ2SRef, EncodeIQ2SSimd, DecodeIQ2S, IsFiniteIQ2S},
    {TypeId::kIQ4_XS, Importance::kOptional, EncodeIQ4XSRef, EncodeIQ4XSSimd, DecodeIQ4XS, IsFiniteIQ4XS},
    {TypeId::kIQ1_M, Importance::kOptional, EncodeIQ1MRef, EncodeIQ1MSimd, DecodeIQ1M, IsFiniteIQ1M},
    {TypeId::kBF16, Importance::kIgnored, EncodeBF16Ref, EncodeBF16Simd, DecodeBF16Simd, IsFiniteBF16},
    {TypeId::kTQ1_0, Importance::kIgnored, EncodeTQ1_0Ref, EncodeTQ1_0Simd, DecodeTQ1_0, IsFiniteTQ1_0},
    {TypeId::kTQ2_0, Importance::kIgnored, EncodeTQ2_0Ref, EncodeTQ2_0Simd, DecodeTQ2_0, IsFiniteTQ2_0},
    {TypeId::kMXFP4, Importance::kIgnored, EncodeMXFP4Ref, EncodeMXFP4Simd, DecodeMXFP4, IsFiniteMXFP4},
    {TypeId::kNVFP4, Importance::kIgnored, EncodeNVFP4Ref, EncodeNVFP4Simd, DecodeNVFP4, IsFiniteNVFP4},
    {TypeId::kQ1_0, Importance::kIgnored, EncodeQ1_0Ref, EncodeQ1_0Simd, DecodeQ1_0, IsFiniteQ1_0},
    {TypeId::kQ2_0, Importance::kIgnored, EncodeQ2_0Ref, EncodeQ2_0Simd, DecodeQ2_0, IsFiniteQ2_0},
};
// clang-format on

constexpr bool StrictlyOrderedById() {
  for (size_t i = 1; i < std::size(kCodecs); ++i) {
    if (kCodecs[i - 1].id >= kCodecs[i].id) return false;
  }
  return true;
}
static_assert(StrictlyOrderedById());

}  // namespace

std::span<const Codec> AllCodecs() { return kCodecs; }

const Codec* FindCodec(TypeId id) {
  const auto* row = std::ranges::lower_bound(kCodecs, id, {}, &Codec::id);
  return row != std::end(kCodecs) && row->id == id ? row : nullptr;
}

EncodeRows BestEncoder(const Codec& codec) {
  return codec.encode_simd != nullptr ? codec.encode_simd : codec.encode_ref;
}

}  // namespace quantized::kernels
