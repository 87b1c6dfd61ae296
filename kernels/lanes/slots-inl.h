// The sums of kernels/lanes/slots.h in vectors: kSlots slots lie in as many vectors as they need.

#if defined(QUANTIZED_KERNELS_LANES_SLOTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef QUANTIZED_KERNELS_LANES_SLOTS_INL_H_
#undef QUANTIZED_KERNELS_LANES_SLOTS_INL_H_
#else
#define QUANTIZED_KERNELS_LANES_SLOTS_INL_H_
#endif

#include "hwy/highway.h"
#include "kernels/lanes/slots.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// kSlots sums of type T. D: a tag of at most kSlots lanes.
template <class D>
struct SlotSums {
  using T = hn::TFromD<D>;
  using V = hn::Vec<D>;
  static constexpr size_t kWidth = hn::MaxLanes(D());
  static constexpr size_t kVectors = kSlots / kWidth;

  HWY_INLINE SlotSums() {
    for (V& sum : sums) sum = hn::Zero(D());
  }
  // Adds to slots kWidth * vector and following.
  HWY_INLINE void Add(size_t vector, V value) { sums[vector] = hn::Add(sums[vector], value); }

  // The sum of all slots.
  HWY_INLINE T Fold() {
    for (size_t half = kVectors / 2; half > 0; half /= 2) {
      for (size_t i = 0; i < half; ++i) sums[i] = hn::Add(sums[i], sums[i + half]);
    }
    HWY_ALIGN T lanes[kWidth];
    hn::Store(sums[0], D(), lanes);
    return FoldSlots(lanes, kWidth);
  }

  V sums[kVectors];
};

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#endif  // QUANTIZED_KERNELS_LANES_SLOTS_INL_H_
