#include "kernels/blas/blas.h"

#include <cblas.h>
#include <lapacke.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace quantized::kernels {
namespace {

// OpenBLAS splits a call among threads of its own unless told not to.
void UseCallingThread() {
  static const bool told = [] {
    openblas_set_num_threads(1);
    return true;
  }();
  (void)told;
}

lapack_int Factorize(lapack_int n, float* a) {
  return LAPACKE_spotrf_work(LAPACK_COL_MAJOR, 'U', n, a, n);
}
lapack_int Factorize(lapack_int n, double* a) {
  return LAPACKE_dpotrf_work(LAPACK_COL_MAJOR, 'U', n, a, n);
}
lapack_int Invert(lapack_int n, float* a) {
  return LAPACKE_strtri_work(LAPACK_COL_MAJOR, 'U', 'N', n, a, n);
}
lapack_int Invert(lapack_int n, double* a) {
  return LAPACKE_dtrtri_work(LAPACK_COL_MAJOR, 'U', 'N', n, a, n);
}

// With J the matrix that turns the order of rows around, J·a·J = Rᵀ·R by Cholesky, R upper, gives
// a = (J·Rᵀ·J)·(J·R·J) = V·Vᵀ, and inverse(V) = J·inverse(R)ᵀ·J.
// Memory that is row-major here is the transpose in LAPACK's column-major eyes.
template <class T>
bool InverseCholeskyOf(size_t n, T* a, size_t lda) {
  UseCallingThread();
  if (n == 0) return true;
  std::vector<T> turned(n * n);
  // Element (row, col) of J·a·J for LAPACK lies at [col * n + row]; its upper triangle is filled.
  for (size_t row = 0; row < n; ++row) {
    for (size_t col = row; col < n; ++col) {
      turned[col * n + row] = a[(n - 1 - col) * lda + (n - 1 - row)];
    }
  }
  const auto size = static_cast<lapack_int>(n);
  if (Factorize(size, turned.data()) != 0 || Invert(size, turned.data()) != 0) return false;
  // OpenBLAS does not stop at a pivot that is not a number; the diagonal shows it.
  for (size_t i = 0; i < n; ++i) {
    if (!std::isfinite(turned[i * n + i])) return false;
  }
  for (size_t row = 0; row < n; ++row) {
    std::fill(a + row * lda, a + row * lda + row, T{0});
    for (size_t col = row; col < n; ++col) {
      a[row * lda + col] = turned[(n - 1 - row) * n + (n - 1 - col)];
    }
  }
  return true;
}

}  // namespace

void MatMul(size_t m, size_t n, size_t k, const float* a, size_t lda, const float* b, size_t ldb,
            float* c, size_t ldc, const MatMulOptions& options) {
  UseCallingThread();
  cblas_sgemm(CblasRowMajor, options.transpose_a ? CblasTrans : CblasNoTrans,
              options.transpose_b ? CblasTrans : CblasNoTrans, static_cast<blasint>(m),
              static_cast<blasint>(n), static_cast<blasint>(k), options.alpha, a,
              static_cast<blasint>(lda), b, static_cast<blasint>(ldb), options.beta, c,
              static_cast<blasint>(ldc));
}

void AddGram(size_t rows, size_t n, const float* x, size_t ldx, float* gram, size_t ldg) {
  UseCallingThread();
  cblas_ssyrk(CblasRowMajor, CblasUpper, CblasTrans, static_cast<blasint>(n),
              static_cast<blasint>(rows), 1.0f, x, static_cast<blasint>(ldx), 1.0f, gram,
              static_cast<blasint>(ldg));
}

bool InverseCholesky(size_t n, float* a, size_t lda) { return InverseCholeskyOf(n, a, lda); }
bool InverseCholesky(size_t n, double* a, size_t lda) { return InverseCholeskyOf(n, a, lda); }

}  // namespace quantized::kernels
