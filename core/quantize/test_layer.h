// For tests: the layer of tests/golden/data/calibrated.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/safetensors/reader.h"
#include "core/tensor/matrix.h"
#include "gtest/gtest.h"
#include "kernels/types/half.h"
#include "tests/support/paths.h"

namespace quantized::testing {

class GoldenLayer {
 public:
  GoldenLayer() {
    auto file = safetensors::SafetensorsReader::Open(GoldenDir() / "calibrated/layer.safetensors");
    EXPECT_TRUE(file.ok()) << file.status();
    if (file.ok()) file_ = *std::move(file);
  }

  // The elements of tensor `name`; T is what they are stored as.
  template <class T>
  std::vector<T> Values(const std::string& name) const {
    const safetensors::TensorInfo* tensor = file_->Find(name);
    EXPECT_NE(tensor, nullptr) << name;
    if (tensor == nullptr) return {};
    size_t count = 1;
    for (const uint64_t dim : tensor->shape) count *= dim;
    std::vector<T> values(count);
    const auto read = file_->Read(*tensor, 0, std::as_writable_bytes(std::span(values)));
    EXPECT_TRUE(read.ok()) << read;
    return values;
  }

  std::vector<float> Halves(const std::string& name) const {
    std::vector<float> values;
    for (const uint16_t half : Values<uint16_t>(name)) {
      values.push_back(kernels::F16ToF32(half));
    }
    return values;
  }

  Matrix weight() const { return Loaded("W", 48); }
  Matrix first_gram() const { return Loaded("X.gram_cal", kCols); }
  Matrix second_gram() const { return Loaded("X.gram_eval", kCols); }

  // Over both halves of the inputs, as the vectors have it; the lower triangle is wrong on purpose.
  Matrix gram() const {
    Matrix gram = first_gram();
    const Matrix other = second_gram();
    for (size_t row = 0; row < kCols; ++row) {
      for (size_t col = 0; col < kCols; ++col) {
        gram.at(row, col) = col < row ? 1e9f : (gram.at(row, col) + other.at(row, col)) / 2;
      }
    }
    return gram;
  }

  std::vector<float> mean_magnitude() const {
    std::vector<float> mean = Values<float>("X.mean_cal");
    const std::vector<float> other = Values<float>("X.mean_eval");
    for (size_t i = 0; i < mean.size(); ++i) mean[i] = (mean[i] + other[i]) / 2;
    return mean;
  }

  static constexpr size_t kCols = 128, kGroupSize = 32;

 private:
  Matrix Loaded(const std::string& name, size_t rows) const {
    Matrix matrix(rows, kCols);
    matrix.values = Values<float>(name);
    return matrix;
  }

  std::unique_ptr<safetensors::SafetensorsReader> file_;
};

}  // namespace quantized::testing
