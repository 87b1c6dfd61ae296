#include "daemon/worker/visible_devices.h"

#include <cstdlib>

#include "gtest/gtest.h"

namespace quantized {
namespace {

TEST(VisibleDevicesTest, AreTheClientsWhereItHasSome) {
  setenv("CUDA_VISIBLE_DEVICES", "7", 1);
  v1::JobSpec spec;
  UseDevicesOfClient(spec);
  EXPECT_STREQ(getenv("CUDA_VISIBLE_DEVICES"), "7");
  spec.mutable_quantize();
  UseDevicesOfClient(spec);
  EXPECT_STREQ(getenv("CUDA_VISIBLE_DEVICES"), "7");
  for (const char* devices : {"0,2", ""}) {
    spec.mutable_quantize()->set_cuda_visible_devices(devices);
    UseDevicesOfClient(spec);
    EXPECT_STREQ(getenv("CUDA_VISIBLE_DEVICES"), devices);
  }
  unsetenv("CUDA_VISIBLE_DEVICES");
}

}  // namespace
}  // namespace quantized
