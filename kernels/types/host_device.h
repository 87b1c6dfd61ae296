// Marks a function that compiles for the processor and for a CUDA device from the same source.
// Such functions take plain pointers, allocate nothing and use no exceptions.
#pragma once

#ifdef __CUDACC__
#define QUANTIZED_HOST_DEVICE __host__ __device__
#else
#define QUANTIZED_HOST_DEVICE
#endif
