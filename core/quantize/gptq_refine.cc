#include "core/quantize/gptq_refine.h"

#include <algorithm>

#include "core/quantize/gram_loss.h"
#include "kernels/blas/blas.h"
#include "kernels/gptq_block/gptq_block.h"
#include "kernels/group_range/group_range.h"

namespace quantized {
namespace {

struct Block {
  size_t begin, count;
  size_t end() const { return begin + count; }
};

class Refinement {
 public:
  Refinement(const std::vector<float>& original, const RefineInput& input,
             std::vector<float>& decoded, QuantizedTile& quantized)
      : input_(input),
        original_(original),
        cols_(input.gram.cols),
        decoded_(decoded),
        quantized_(quantized),
        gradient_(decoded.size()),
        change_(kBlockColumns * kTileRows) {
    // Blocks of whole groups, so that a refitted scale changes one block only.
    step_ = kBlockColumns;
    if (input.group_size <= kBlockColumns)
      step_ = kBlockColumns / input.group_size * input.group_size;
    std::vector<float> difference(decoded.size());
    for (size_t i = 0; i < decoded.size(); ++i) difference[i] = decoded[i] - original[i];
    ForEachBlock(
        [&](const Block& block) { Propagate(block, difference.data() + At(block.begin)); });
  }

  void Pass(bool refit) {
    refit = refit && input_.natural_groups && input_.group_size <= kBlockColumns;
    ForEachBlock([&](const Block& block) {
      std::vector<float> before(decoded_.begin() + Offset(block.begin),
                                decoded_.begin() + Offset(block.end()));
      const std::vector<float> square = Square(block);
      Descend(block, square);
      if (refit) Refit(block, square);
      bool moved = false;
      for (size_t i = 0; i < before.size(); ++i) {
        change_[i] = decoded_[At(block.begin) + i] - before[i];
        moved = moved || change_[i] != 0;
      }
      if (moved) PropagateBeside(block, change_.data());
    });
  }

  double Loss() const {
    double loss = 0;
    for (size_t i = 0; i < decoded_.size(); ++i) {
      loss += static_cast<double>(gradient_[i]) * static_cast<double>(decoded_[i] - original_[i]);
    }
    return loss;
  }

 private:
  static size_t At(size_t col) { return col * kTileRows; }
  static ptrdiff_t Offset(size_t col) { return static_cast<ptrdiff_t>(At(col)); }

  template <class Body>
  void ForEachBlock(const Body& body) const {
    for (size_t begin = 0; begin < cols_; begin += step_) {
      body(Block{begin, std::min(step_, cols_ - begin)});
    }
  }

  std::vector<float> Square(const Block& block) const {
    std::vector<float> square = DiagonalSquare(input_.gram, block.begin, block.count);
    for (size_t i = 0; i < block.count; ++i) {
      if (input_.dead[block.begin + i]) {
        for (size_t j = 0; j < block.count; ++j) {
          if (j != i) square[i * block.count + j] = square[j * block.count + i] = 0;
        }
      }
      square[i * block.count + i] += input_.added[block.begin + i];
    }
    return square;
  }

  // gradient += H · moved for a change of the block's columns.
  void Propagate(const Block& block, const float* moved) {
    const std::vector<float> square = Square(block);
    kernels::MatMul(block.count, kTileRows, block.count, square.data(), block.count, moved,
                    kTileRows, gradient_.data() + At(block.begin), kTileRows, {.beta = 1});
    PropagateBeside(block, moved);
  }

  // The same but for the block itself.
  void PropagateBeside(const Block& block, const float* moved) {
    const float* gram = input_.gram.values.data();
    if (block.begin > 0) {
      kernels::MatMul(block.begin, kTileRows, block.count, gram + block.begin, cols_, moved,
                      kTileRows, gradient_.data(), kTileRows, {.beta = 1});
    }
    if (block.end() < cols_) {
      kernels::MatMul(cols_ - block.end(), kTileRows, block.count,
                      gram + block.begin * cols_ + block.end(), cols_, moved, kTileRows,
                      gradient_.data() + At(block.end()), kTileRows,
                      {.transpose_a = true, .beta = 1});
    }
  }

  void Descend(const Block& block, const std::vector<float>& square) {
    float moved[kTileRows];
    for (size_t i = 0; i < block.count; ++i) {
      const size_t col = block.begin + i;
      const size_t group = At(input_.group_of[col]);
      kernels::DescentColumnSimd(
          gradient_.data() + At(block.begin), block.count, i, kTileRows,
          square.data() + i * block.count,
          {quantized_.scales.data() + group, quantized_.zeros.data() + group, input_.bits},
          decoded_.data() + At(col), quantized_.codes.data() + At(col), moved);
    }
  }

  // With codes c (less the zero point) and a scale s -> s + t the loss changes by 2·t·cᵀ·gradient +
  // t²·cᵀ·H·c: least at t = -cᵀ·gradient / cᵀ·H·c.
  void Refit(const Block& block, const std::vector<float>& square) {
    const size_t size = input_.group_size;
    std::vector<float> steps(size * kTileRows), product(size * kTileRows);
    for (size_t first = 0; first < block.count; first += size) {
      const size_t group = At((block.begin + first) / size);
      float* scale = quantized_.scales.data() + group;
      const float* zero = quantized_.zeros.data() + group;
      const uint8_t* codes = quantized_.codes.data() + At(block.begin + first);
      for (size_t i = 0; i < steps.size(); ++i) {
        steps[i] = static_cast<float>(codes[i]) - zero[i % kTileRows];
      }
      kernels::MatMul(size, kTileRows, size, square.data() + first * block.count + first,
                      block.count, steps.data(), kTileRows, product.data(), kTileRows);
      const float* gradient = gradient_.data() + At(block.begin + first);
      float slope[kTileRows] = {}, curvature[kTileRows] = {}, moved[kTileRows];
      for (size_t i = 0; i < steps.size(); ++i) {
        slope[i % kTileRows] += steps[i] * gradient[i];
        curvature[i % kTileRows] += steps[i] * product[i];
      }
      for (size_t row = 0; row < kTileRows; ++row) {
        const float best = scale[row] - slope[row] / curvature[row];
        // Only what an f16 holds well, and so not where all codes are the zero point.
        const bool usable = curvature[row] > 0 && best > 0x1p-14f && best < kernels::kLargestScale;
        const float next = usable ? kernels::StorableScale(best) : scale[row];
        moved[row] = next - scale[row];
        scale[row] = next;
      }
      float* decoded = decoded_.data() + At(block.begin + first);
      for (size_t i = 0; i < steps.size(); ++i) {
        decoded[i] = steps[i] * scale[i % kTileRows];
        steps[i] *= moved[i % kTileRows];
      }
      kernels::MatMul(block.count, kTileRows, size, square.data() + first, block.count,
                      steps.data(), kTileRows, gradient_.data() + At(block.begin), kTileRows,
                      {.beta = 1});
    }
  }

  const RefineInput& input_;
  const std::vector<float>& original_;
  const size_t cols_;
  size_t step_ = kBlockColumns;
  std::vector<float>& decoded_;
  QuantizedTile& quantized_;
  std::vector<float> gradient_;  // (H + added) · (decoded - original), [cols, kTileRows]
  std::vector<float> change_;
};

}  // namespace

double RefineTile(const std::vector<float>& original, const RefineInput& input,
                  const RefineOptions& options, std::vector<float>& decoded,
                  QuantizedTile& quantized) {
  Refinement refinement(original, input, decoded, quantized);
  for (int pass = 0; pass < options.passes; ++pass) refinement.Pass(options.refit_scales);
  return refinement.Loss();
}

}  // namespace quantized
