// The types that the CUDA module encodes. Adding one is a row here; a type without a row is encoded
// on the processor. F32, F16 and BF16 are not here: nothing is computed for them.
#pragma once

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
#include "kernels/search/affine_block.h"
#include "kernels/search/importance.h"
#include "kernels/tq1_0/tq1_0.h"
#include "kernels/tq2_0/tq2_0.h"
#include "kernels/types/host_device.h"
#include "kernels/types/quant_type.h"

namespace quantized::kernels {

// The kinds of rows. Encode has the values of a block, their importance (null for none) and the
// mean square of the block's row, which is meaningful only with importance and kNeedsMeanSquares.

// kEncode(x, block)
template <TypeId kType, class BlockOfType, auto kEncode>
struct Unweighed {
  using Block = BlockOfType;
  static constexpr TypeId kId = kType;
  static constexpr bool kNeedsMeanSquares = false;
  QUANTIZED_HOST_DEVICE static void Encode(const float* x, const float* /*importance*/,
                                           float /*mean_square*/, Block& block) {
    kEncode(x, block);
  }
};

// kEncodeWeighed(x, importance, block)
template <TypeId kType, class BlockOfType, auto kEncode, auto kEncodeWeighed>
struct WeighedByBlock {
  using Block = BlockOfType;
  static constexpr TypeId kId = kType;
  static constexpr bool kNeedsMeanSquares = false;
  QUANTIZED_HOST_DEVICE static void Encode(const float* x, const float* importance,
                                           float /*mean_square*/, Block& block) {
    if (importance == nullptr) {
      kEncode(x, block);
    } else {
      kEncodeWeighed(x, importance, block);
    }
  }
};

// kEncodeWeighed(x, weights, block) with weights by the mean square of the whole row
template <TypeId kType, class BlockOfType, auto kEncode, auto kEncodeWeighed>
struct WeighedByRow {
  using Block = BlockOfType;
  static constexpr TypeId kId = kType;
  static constexpr bool kNeedsMeanSquares = true;
  QUANTIZED_HOST_DEVICE static void Encode(const float* x, const float* importance,
                                           float mean_square, Block& block) {
    if (importance == nullptr) {
      kEncode(x, block);
    } else {
      float weights[Block::kValues];
      WeighValues<Block::kValues>(x, importance, mean_square, weights);
      kEncodeWeighed(x, weights, block);
    }
  }
};

template <class... Rows>
struct DeviceTypeList {};

// Ordered by id.
using DeviceTypes = DeviceTypeList<
    WeighedByRow<TypeId::kQ4_0, BlockQ4_0, EncodeBlockQ4_0, EncodeWeighedBlockQ4_0>,
    WeighedByRow<TypeId::kQ4_1, BlockQ4_1, EncodeBlockQ4_1, EncodeWeighedBlockQ4_1>,
    WeighedByRow<TypeId::kQ5_0, BlockQ5_0, EncodeBlockQ5_0, EncodeWeighedBlockQ5_0>,
    WeighedByRow<TypeId::kQ5_1, BlockQ5_1, EncodeBlockQ5_1, EncodeWeighedBlockQ5_1>,
    Unweighed<TypeId::kQ8_0, BlockQ8_0, EncodeBlockQ8_0>,
    WeighedByBlock<TypeId::kQ2_K, BlockQ2K, EncodeAffineBlock<BlockQ2K>,
                   EncodeWeighedAffineBlock<BlockQ2K>>,
    WeighedByBlock<TypeId::kQ3_K, BlockQ3K, EncodeBlockQ3K, EncodeWeighedBlockQ3K>,
    WeighedByBlock<TypeId::kQ4_K, BlockQ4K, EncodeAffineBlock<BlockQ4K>,
                   EncodeWeighedAffineBlock<BlockQ4K>>,
    WeighedByBlock<TypeId::kQ5_K, BlockQ5K, EncodeAffineBlock<BlockQ5K>,
                   EncodeWeighedAffineBlock<BlockQ5K>>,
    WeighedByBlock<TypeId::kQ6_K, BlockQ6K, EncodeBlockQ6K, EncodeWeighedBlockQ6K>,
    WeighedByBlock<TypeId::kIQ4_NL, BlockIQ4NL, EncodeBlockIQ4NL, EncodeWeighedBlockIQ4NL>,
    WeighedByBlock<TypeId::kIQ4_XS, BlockIQ4XS, EncodeBlockIQ4XS, EncodeWeighedBlockIQ4XS>,
    Unweighed<TypeId::kTQ1_0, BlockTQ1_0, EncodeBlockTQ1_0>,
    Unweighed<TypeId::kTQ2_0, BlockTQ2_0, EncodeBlockTQ2_0>,
    Unweighed<TypeId::kMXFP4, BlockMXFP4, EncodeBlockMXFP4>,
    Unweighed<TypeId::kNVFP4, BlockNVFP4, EncodeBlockNVFP4>,
    Unweighed<TypeId::kQ1_0, BlockQ1_0, EncodeBlockQ1_0>,
    Unweighed<TypeId::kQ2_0, BlockQ2_0, EncodeBlockQ2_0>>;

}  // namespace quantized::kernels
