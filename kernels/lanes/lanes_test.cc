// The vector conversions against the plain ones, once per instruction set.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/lanes/lanes_test.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/lanes/extremes-inl.h"
#include "kernels/lanes/half-inl.h"
#include "kernels/lanes/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

void F16OfFloats(const float* x, uint16_t* out) {  // kLanes of them
  hn::StoreU(F32ToF16(hn::LoadU(Lanes(), x)), HalfLanes(), out);
}
void BF16OfFloats(const float* x, uint16_t* out) {
  hn::StoreU(F32ToBF16(hn::LoadU(Lanes(), x)), HalfLanes(), out);
}
void FloatsOfF16(const uint16_t* x, float* out) {
  hn::StoreU(F16ToF32(hn::LoadU(HalfLanes(), x)), Lanes(), out);
}
void FloatsOfBF16(const uint16_t* x, float* out) {
  hn::StoreU(BF16ToF32(hn::LoadU(HalfLanes(), x)), Lanes(), out);
}
void NearestOfFloats(const float* x, int32_t* out) {
  hn::StoreU(NearestWrapped(hn::LoadU(Lanes(), x)), IntLanes(), out);
}
void Runs(const float* x, float* out) {  // runs of 32
  HWY_ALIGN float aligned[32 * kLanes];
  LoadRuns<32>(x, aligned);
  for (size_t i = 0; i < 32 * kLanes; ++i) out[i] = aligned[i];
}
void FirstLargestOf32(const float* x, float* out) {
  hn::StoreU(FirstLargestOfRuns<32>(x), Lanes(), out);
}
size_t LaneCount() { return kLanes; }

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <gtest/gtest.h>

#include <vector>

#include "kernels/testing/each_target.h"
#include "kernels/testing/rows.h"
#include "kernels/types/extremes.h"
#include "kernels/types/half.h"
#include "kernels/types/rounding.h"

namespace quantized::kernels {
namespace {

HWY_EXPORT(F16OfFloats);
HWY_EXPORT(BF16OfFloats);
HWY_EXPORT(FloatsOfF16);
HWY_EXPORT(FloatsOfBF16);
HWY_EXPORT(NearestOfFloats);
HWY_EXPORT(Runs);
HWY_EXPORT(FirstLargestOf32);
HWY_EXPORT(LaneCount);

TEST(Lanes, RunOnTheseInstructionSets) {
  size_t targets = 0;
  testing::ForEachSimdTarget([&] {
    ++targets;
    const char* name = hwy::TargetName(hwy::SupportedTargets());
    std::printf("%s: %zu lanes\n", name, HWY_DYNAMIC_DISPATCH(LaneCount)());
    ::testing::Test::RecordProperty(name, "ran");
  });
  EXPECT_GE(targets, 1u);
}

// All f16 boundaries and their neighbours, all exponents, NaN with every kind of payload.
std::vector<float> ManyFloats() {
  std::vector<float> x;
  for (uint64_t bits = 0; bits <= 0xFFFFFFFF; bits += 0x1000) {
    for (const int64_t near : {-1, 0, 1, 0x777}) {
      x.push_back(FloatOf(static_cast<uint32_t>(bits + static_cast<uint64_t>(near))));
    }
  }
  return x;  // a multiple of 16
}

TEST(Lanes, NarrowAndRoundAsThePlainConversions) {
  const std::vector<float> x = ManyFloats();
  testing::ForEachSimdTarget([&] {
    const size_t lanes = HWY_DYNAMIC_DISPATCH(LaneCount)();
    size_t wrong = 0;
    for (size_t i = 0; i < x.size(); i += lanes) {
      uint16_t f16[16], bf16[16];
      int32_t nearest[16];
      HWY_DYNAMIC_DISPATCH(F16OfFloats)(&x[i], f16);
      HWY_DYNAMIC_DISPATCH(BF16OfFloats)(&x[i], bf16);
      HWY_DYNAMIC_DISPATCH(NearestOfFloats)(&x[i], nearest);
      for (size_t j = 0; j < lanes; ++j) {
        wrong += f16[j] != F32ToF16(x[i + j]) || bf16[j] != F32ToBF16(x[i + j]) ||
                 nearest[j] != NearestInt(x[i + j]);
      }
    }
    EXPECT_EQ(wrong, 0u);
  });
}

TEST(Lanes, WidenAsThePlainConversions) {
  std::vector<uint16_t> x(0x10000);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<uint16_t>(i);
  testing::ForEachSimdTarget([&] {
    const size_t lanes = HWY_DYNAMIC_DISPATCH(LaneCount)();
    for (size_t i = 0; i < x.size(); i += lanes) {
      float f16[16], bf16[16];
      HWY_DYNAMIC_DISPATCH(FloatsOfF16)(&x[i], f16);
      HWY_DYNAMIC_DISPATCH(FloatsOfBF16)(&x[i], bf16);
      for (size_t j = 0; j < lanes; ++j) {
        ASSERT_EQ(BitsOf(f16[j]), BitsOf(F16ToF32(x[i + j]))) << i + j;
        ASSERT_EQ(BitsOf(bf16[j]), BitsOf(BF16ToF32(x[i + j]))) << i + j;
      }
    }
  });
}

TEST(Lanes, RunsBecomeLanes) {
  std::vector<float> x(32 * 16), out(32 * 16);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i);
  testing::ForEachSimdTarget([&] {
    const size_t lanes = HWY_DYNAMIC_DISPATCH(LaneCount)();
    HWY_DYNAMIC_DISPATCH(Runs)(x.data(), out.data());
    for (size_t run = 0; run < lanes; ++run) {
      for (size_t i = 0; i < 32; ++i) EXPECT_EQ(out[i * lanes + run], x[run * 32 + i]);
    }
  });
}

TEST(Lanes, FirstLargestKeepsSignAndOrder) {
  for (const testing::RowKind& kind : testing::AllRowKinds()) {
    SCOPED_TRACE(kind.name);
    std::vector<float> x(32 * 16);
    kind.fill(x, 7);
    testing::ForEachSimdTarget([&] {
      float got[16];
      HWY_DYNAMIC_DISPATCH(FirstLargestOf32)(x.data(), got);
      for (size_t run = 0; run < HWY_DYNAMIC_DISPATCH(LaneCount)(); ++run) {
        EXPECT_EQ(BitsOf(got[run]), BitsOf(FirstLargest(&x[run * 32], 32)));
      }
    });
  }
}

}  // namespace
}  // namespace quantized::kernels
#endif  // HWY_ONCE
