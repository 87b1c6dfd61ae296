#include "kernels/cuda/cuda_module.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "kernels/cuda/device_api.h"

namespace quantized::kernels {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;

TEST(CudaModuleTest, SaysThatThereIsNoSuchModule) {
  std::string why_not;
  EXPECT_FALSE(CudaModule::OpenFile("/nowhere/libquantized_cuda.so", why_not).has_value());
  EXPECT_THAT(why_not, HasSubstr("/nowhere/libquantized_cuda.so"));
}

TEST(CudaModuleTest, SaysThatALibraryIsNotTheModule) {
  std::string why_not;
  EXPECT_FALSE(CudaModule::OpenFile("libm.so.6", why_not).has_value());
  EXPECT_THAT(why_not, HasSubstr("quantized_cuda_api"));
}

// Whatever this machine has, opening ends with devices or with a reason, and does so again.
TEST(CudaModuleTest, EndsWithDevicesOrAReason) {
  for (int i = 0; i < 2; ++i) {
    std::string why_not;
    const auto module = CudaModule::Open(why_not);
    if (module) {
      EXPECT_GE(module->device_count(), 1);
      EXPECT_TRUE(module->Encodes(TypeId::kQ4_K));
      EXPECT_FALSE(module->Encodes(TypeId::kF32));
      CudaDeviceInfo info;
      EXPECT_EQ(module->Describe(module->device_count(), info).code, kCudaNoDevice);
    } else {
#ifdef QUANTIZED_HAS_CUDA
      EXPECT_THAT(why_not, AnyOf(HasSubstr("driver"), HasSubstr("device")));
#else
      EXPECT_THAT(why_not, HasSubstr("this build has no libquantized_cuda.so"));
#endif
    }
  }
}

}  // namespace
}  // namespace quantized::kernels
