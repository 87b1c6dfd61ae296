#include "kernels/blas/blas.h"

#include <cmath>
#include <random>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace quantized::kernels {
namespace {

std::vector<float> NormalFloats(size_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

// Element (row, col) of a matrix that may lie transposed.
float At(const std::vector<float>& a, size_t lda, bool transposed, size_t row, size_t col) {
  return transposed ? a[col * lda + row] : a[row * lda + col];
}

TEST(MatMulTest, IsTheProductInEachOrientation) {
  constexpr size_t m = 19, n = 35, k = 67, padding = 3;
  for (const bool transpose_a : {false, true}) {
    for (const bool transpose_b : {false, true}) {
      const size_t lda = (transpose_a ? m : k) + padding, ldb = (transpose_b ? k : n) + padding;
      const std::vector<float> a = NormalFloats((transpose_a ? k : m) * lda, 1);
      const std::vector<float> b = NormalFloats((transpose_b ? n : k) * ldb, 2);
      const std::vector<float> before = NormalFloats(m * n, 3);
      std::vector<float> c = before;
      MatMul(m, n, k, a.data(), lda, b.data(), ldb, c.data(), n,
             {.transpose_a = transpose_a, .transpose_b = transpose_b, .alpha = -0.5f, .beta = 2});
      for (size_t row = 0; row < m; ++row) {
        for (size_t col = 0; col < n; ++col) {
          double sum = 0;
          for (size_t i = 0; i < k; ++i) {
            sum += static_cast<double>(At(a, lda, transpose_a, row, i)) *
                   At(b, ldb, transpose_b, i, col);
          }
          ASSERT_NEAR(c[row * n + col], 2 * before[row * n + col] - 0.5 * sum, 1e-4)
              << transpose_a << transpose_b << " at " << row << ", " << col;
        }
      }
    }
  }
}

TEST(MatMulTest, ForgetsWhatWasThere) {
  const std::vector<float> a = {1, 2}, b = {3, 4};
  std::vector<float> c = {NAN};
  MatMul(1, 1, 2, a.data(), 2, b.data(), 1, c.data(), 1);
  EXPECT_EQ(c[0], 11);
}

TEST(AddGramTest, AddsToTheUpperTriangleOnly) {
  constexpr size_t rows = 50, n = 33;
  const std::vector<float> x = NormalFloats(rows * n, 4);
  std::vector<float> gram(n * n, 7);
  AddGram(rows, n, x.data(), n, gram.data(), n);
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < n; ++j) {
      double want = 7;
      for (size_t row = 0; row < rows && j >= i; ++row) {
        want += static_cast<double>(x[row * n + i]) * x[row * n + j];
      }
      ASSERT_NEAR(gram[i * n + j], want, 1e-4) << i << ", " << j;
    }
  }
}

// a = xᵀ·x / rows + I / 10: definite.
template <class T>
std::vector<T> Definite(size_t n) {
  const size_t rows = 2 * n;
  const std::vector<float> x = NormalFloats(rows * n, 5);
  std::vector<T> a(n * n);
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = i; j < n; ++j) {
      double sum = i == j ? 0.1 * static_cast<double>(rows) : 0;
      for (size_t row = 0; row < rows; ++row) {
        sum += static_cast<double>(x[row * n + i]) * x[row * n + j];
      }
      a[i * n + j] = static_cast<T>(sum / static_cast<double>(rows));
    }
  }
  return a;
}

template <class T>
void ExpectFactorOfInverse(double tolerance) {
  for (const size_t n : {1, 2, 31, 64, 130}) {
    const std::vector<T> a = Definite<T>(n);
    std::vector<T> u = a;
    ASSERT_TRUE(InverseCholesky(n, u.data(), n));
    // Uᵀ·U·a = I, with a mirrored.
    std::vector<double> product(n * n);
    for (size_t i = 0; i < n; ++i) {
      for (size_t j = 0; j < n; ++j) {
        if (j < i) {
          ASSERT_EQ(u[i * n + j], 0);
        }
        for (size_t k = 0; k < n; ++k) {
          product[i * n + j] += static_cast<double>(u[k * n + i]) * u[k * n + j];
        }
      }
    }
    for (size_t i = 0; i < n; ++i) {
      for (size_t j = 0; j < n; ++j) {
        double sum = 0;
        for (size_t k = 0; k < n; ++k) {
          sum += product[i * n + k] * (k <= j ? a[k * n + j] : a[j * n + k]);
        }
        ASSERT_NEAR(sum, i == j ? 1 : 0, tolerance) << n << ": " << i << ", " << j;
      }
    }
  }
}

TEST(InverseCholeskyTest, FloatGivesTheFactorOfTheInverse) { ExpectFactorOfInverse<float>(1e-4); }
TEST(InverseCholeskyTest, DoubleGivesTheFactorOfTheInverse) {
  ExpectFactorOfInverse<double>(1e-12);
}

TEST(InverseCholeskyTest, SaysThatAMatrixIsNotDefinite) {
  std::vector<float> a = {1, 2, 0, 1};  // [[1, 2], [2, 1]] has the eigenvalue -1
  EXPECT_FALSE(InverseCholesky(2, a.data(), 2));
  std::vector<double> nan = {NAN};
  EXPECT_FALSE(InverseCholesky(1, nan.data(), 1));
}

}  // namespace
}  // namespace quantized::kernels
