// Which of its kernels OpenBLAS computes with.
#pragma once

#include <string_view>

namespace quantized::kernels {

// OpenBLAS chooses by the processor's model when it is loaded, and for a model that is newer than
// itself takes kernels of the oldest one: a fifth of the speed (OpenBLAS 0.3.21 on a Xeon of 2023).
// Where that happened, starts the running program again with the kernels that the processor's
// instructions allow (OPENBLAS_CORETYPE); else, or where the user set that variable, returns. To be
// called first in main, before any thread.
void UseFittingBlasKernels(char** argv);

// The kernels for a processor with these instructions where OpenBLAS chose those of `core`; empty
// where they fit.
std::string_view FittingCoreType(std::string_view core, bool has_avx2, bool has_avx512);

}  // namespace quantized::kernels
