// The types that the CUDA module encodes. Adding one is a row here; a type without a row is encoded
// on the processor. F32, F16 and BF16 are not here: nothing is computed for them.
#pragma once

#include "kernels/cuda/encode_block.h"
#include "kernels/iq1_m/iq1_m.h"
#include "kernels/iq1_s/iq1_s.h"
#include "kernels/iq2_s/iq2_s.h"
#include "kernels/iq2_xs/iq2_xs.h"
#include "kernels/iq2_xxs/iq2_xxs.h"
#include "kernels/iq3_s/iq3_s.h"
#include "kernels/iq3_xxs/iq3_xxs.h"
#include "kernels/iq4_nl/iq4_nl.h"
#include "kernels/iq4_xs/iq4_xs.h"
#include "kernels/iq_grids/iq_grids.h"
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

// What all rows have. A row is a type that derives from this and has Encode(input, block).
template <TypeId kType, class BlockOfType>
struct DeviceType {
  using Block = BlockOfType;
  static constexpr TypeId kId = kType;
  static constexpr bool kNeedsMeanSquares = false;
  // Whether it rounds to a grid, and what gives that on the host. Two facts: under sanitizers g++
  // takes no comparison of a function with null for a constant.
  static constexpr bool kHasGrid = false;
  static constexpr const IqGrid& (*kGrid)() = nullptr;
};

// kEncode(x, block)
template <TypeId kType, class Block, auto kEncode>
struct Unweighed : DeviceType<kType, Block> {
  QUANTIZED_HOST_DEVICE static void Encode(const BlockInput& input, Block& block) {
    kEncode(input.x, block);
  }
};

// kEncodeWeighed(x, importance, block)
template <TypeId kType, class Block, auto kEncode, auto kEncodeWeighed>
struct WeighedByBlock : DeviceType<kType, Block> {
  QUANTIZED_HOST_DEVICE static void Encode(const BlockInput& input, Block& block) {
    if (input.importance == nullptr) {
      kEncode(input.x, block);
    } else {
      kEncodeWeighed(input.x, input.importance, block);
    }
  }
};

// kEncodeWeighed(x, weights, block) with weights by the mean square of the whole row
template <TypeId kType, class Block, auto kEncode, auto kEncodeWeighed>
struct WeighedByRow : DeviceType<kType, Block> {
  static constexpr bool kNeedsMeanSquares = true;
  QUANTIZED_HOST_DEVICE static void Encode(const BlockInput& input, Block& block) {
    if (input.importance == nullptr) {
      kEncode(input.x, block);
    } else {
      float weights[Block::kValues];
      WeighValues<Block::kValues>(input.x, input.importance, input.mean_square, weights);
      kEncodeWeighed(input.x, weights, block);
    }
  }
};

// kEncode(x, importance, grid, block), with importance or without
template <TypeId kType, class Block, auto kEncode, const IqGrid& (*kGridOfType)()>
struct OnGrid : DeviceType<kType, Block> {
  static constexpr bool kHasGrid = true;
  static constexpr const IqGrid& (*kGrid)() = kGridOfType;
  QUANTIZED_HOST_DEVICE static void Encode(const BlockInput& input, Block& block) {
    kEncode(input.x, input.importance, input.grid, block);
  }
};

// The IQ1 types as OnGrid wants them.
QUANTIZED_HOST_DEVICE inline void EncodeOnGridIQ1S(const float* x, const float* importance,
                                                   const IqGrid& grid, BlockIQ1S& block) {
  EncodeBlockIQ1S(grid, x, importance, block);
}
QUANTIZED_HOST_DEVICE inline void EncodeOnGridIQ1M(const float* x, const float* importance,
                                                   const IqGrid& grid, BlockIQ1M& block) {
  if (importance == nullptr) {
    EncodeBlockIQ1M(grid, x, block);
  } else {
    EncodeWeighedBlockIQ1M(grid, x, importance, block);
  }
}

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
    OnGrid<TypeId::kIQ2_XXS, BlockIQ2XXS, EncodeBlockIQ2XXS, IQ2XXSGrid>,
    OnGrid<TypeId::kIQ2_XS, BlockIQ2XS, EncodeBlockIQ2XS, IQ2XSGrid>,
    OnGrid<TypeId::kIQ3_XXS, BlockIQ3XXS, EncodeBlockIQ3XXS, IQ3XXSGrid>,
    OnGrid<TypeId::kIQ1_S, BlockIQ1S, EncodeOnGridIQ1S, IQ1Grid>,
    WeighedByBlock<TypeId::kIQ4_NL, BlockIQ4NL, EncodeBlockIQ4NL, EncodeWeighedBlockIQ4NL>,
    OnGrid<TypeId::kIQ3_S, BlockIQ3S, EncodeBlockIQ3S, IQ3SGrid>,
    OnGrid<TypeId::kIQ2_S, BlockIQ2S, EncodeBlockIQ2S, IQ2SGrid>,
    WeighedByBlock<TypeId::kIQ4_XS, BlockIQ4XS, EncodeBlockIQ4XS, EncodeWeighedBlockIQ4XS>,
    OnGrid<TypeId::kIQ1_M, BlockIQ1M, EncodeOnGridIQ1M, IQ1Grid>,
    Unweighed<TypeId::kTQ1_0, BlockTQ1_0, EncodeBlockTQ1_0>,
    Unweighed<TypeId::kTQ2_0, BlockTQ2_0, EncodeBlockTQ2_0>,
    Unweighed<TypeId::kMXFP4, BlockMXFP4, EncodeBlockMXFP4>,
    Unweighed<TypeId::kNVFP4, BlockNVFP4, EncodeBlockNVFP4>,
    Unweighed<TypeId::kQ1_0, BlockQ1_0, EncodeBlockQ1_0>,
    Unweighed<TypeId::kQ2_0, BlockQ2_0, EncodeBlockQ2_0>>;

}  // namespace quantized::kernels
