// Dense products and triangular factors through OpenBLAS. All matrices are row-major with a row
// stride ("ld", in elements, at least the row length); f32 unless a name says otherwise.
//
// Each call runs on the calling thread only, so its result does not depend on how many threads call
// at once: callers split work by index into tiles of fixed sizes. Bounded, not exact: a result
// differs from the one in double precision by at most about k * 2^-24 of the sum of the magnitudes
// that it adds (k: length of the sum), and from processor to processor by as much.
#pragma once

#include <cstddef>

namespace quantized::kernels {

struct MatMulOptions {
  bool transpose_a = false;  // a is [k, m] in memory
  bool transpose_b = false;  // b is [n, k] in memory
  float alpha = 1;
  float beta = 0;  // 0: what c held does not matter
};

// c[m, n] = alpha * a[m, k] · b[k, n] + beta * c. The memory of c overlaps neither a nor b.
void MatMul(size_t m, size_t n, size_t k, const float* a, size_t lda, const float* b, size_t ldb,
            float* c, size_t ldc, const MatMulOptions& options = {});

// gram[n, n] += xᵀ · x for x of [rows, n]: the upper triangle (column >= row) only.
void AddGram(size_t rows, size_t n, const float* x, size_t ldx, float* gram, size_t ldg);

// Replaces the symmetric positive definite matrix whose upper triangle is in `a`[n, n] by the upper
// triangular U with Uᵀ · U = inverse(a), the form in which GPTQ needs it; the lower triangle
// becomes 0. One Cholesky factorization from the last row up, a = V · Vᵀ with V upper, and U =
// inverse(V). False where a pivot is not positive, as for a matrix that rounding made indefinite;
// `a` is then garbage.
bool InverseCholesky(size_t n, float* a, size_t lda);
bool InverseCholesky(size_t n, double* a, size_t lda);

}  // namespace quantized::kernels
