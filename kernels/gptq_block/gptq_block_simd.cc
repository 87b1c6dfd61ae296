#include "kernels/gptq_block/gptq_block.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/gptq_block/gptq_block_simd.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/group_range/affine_code-inl.h"
#include "kernels/group_range/group_range.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

// Rows are taken in strips of four vectors, which stay in registers along all columns.
inline constexpr size_t kStrip = 4 * kLanes;

// columns[j] of the strip at `row` += amount * factor[j].
HWY_INLINE void Spread(const FloatVec (&amount)[4], const float* HWY_RESTRICT factor,
                       size_t columns, size_t rows, float* HWY_RESTRICT values) {
  for (size_t j = 0; j < columns; ++j) {
    const FloatVec f = SetAll(factor[j]);
    float* column = values + j * rows;
    for (size_t k = 0; k < 4; ++k) {
      const FloatVec v = hn::LoadU(Lanes(), column + k * kLanes);
      hn::StoreU(hn::Add(v, hn::Mul(amount[k], f)), Lanes(), column + k * kLanes);
    }
  }
}

struct Encoded {
  FloatVec code, decoded;
};

HWY_INLINE Encoded Encode(FloatVec value, const ColumnGrid& grid, size_t row) {
  const FloatVec scale = hn::LoadU(Lanes(), grid.scale + row);
  const FloatVec zero = hn::LoadU(Lanes(), grid.zero + row);
  const FloatVec code = CodeLanes(value, scale, zero, SetAll(MaxCode(grid.bits)));
  return {code, hn::Mul(hn::Sub(code, zero), scale)};
}

void GptqColumn(float* HWY_RESTRICT values, size_t following, size_t rows,
                const float* HWY_RESTRICT factor, const ColumnGrid& grid,
                uint8_t* HWY_RESTRICT codes, float* HWY_RESTRICT errors) {
  for (size_t strip = 0; strip < rows; strip += kStrip) {
    FloatVec negative[4];
    for (size_t k = 0; k < 4; ++k) {
      const size_t row = strip + k * kLanes;
      const FloatVec value = hn::LoadU(Lanes(), values + row);
      const Encoded encoded = Encode(value, grid, row);
      const FloatVec error = hn::Div(hn::Sub(value, encoded.decoded), SetAll(factor[0]));
      StoreBytes(Truncate(encoded.code), codes + row);
      hn::StoreU(error, Lanes(), errors + row);
      hn::StoreU(encoded.decoded, Lanes(), values + row);
      negative[k] = hn::Neg(error);
    }
    Spread(negative, factor + 1, following, rows, values + rows + strip);
  }
}

void DescentColumn(float* HWY_RESTRICT gradient, size_t columns, size_t column, size_t rows,
                   const float* HWY_RESTRICT gram, const ColumnGrid& grid,
                   float* HWY_RESTRICT values, uint8_t* HWY_RESTRICT codes,
                   float* HWY_RESTRICT change) {
  for (size_t strip = 0; strip < rows; strip += kStrip) {
    FloatVec moved[4];
    for (size_t k = 0; k < 4; ++k) {
      const size_t row = strip + k * kLanes;
      const FloatVec value = hn::LoadU(Lanes(), values + row);
      const FloatVec slope = hn::LoadU(Lanes(), gradient + column * rows + row);
      const Encoded encoded =
          Encode(hn::Sub(value, hn::Div(slope, SetAll(gram[column]))), grid, row);
      moved[k] = hn::Sub(encoded.decoded, value);
      StoreBytes(Truncate(encoded.code), codes + row);
      hn::StoreU(moved[k], Lanes(), change + row);
      hn::StoreU(encoded.decoded, Lanes(), values + row);
    }
    Spread(moved, gram, columns, rows, gradient + strip);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantized::kernels {

HWY_EXPORT(GptqColumn);
HWY_EXPORT(DescentColumn);

void GptqColumnSimd(float* values, size_t following, size_t rows, const float* factor,
                    const ColumnGrid& grid, uint8_t* codes, float* errors) {
  HWY_DYNAMIC_DISPATCH(GptqColumn)(values, following, rows, factor, grid, codes, errors);
}

void DescentColumnSimd(float* gradient, size_t columns, size_t column, size_t rows,
                       const float* gram, const ColumnGrid& grid, float* values, uint8_t* codes,
                       float* change) {
  HWY_DYNAMIC_DISPATCH(DescentColumn)
  (gradient, columns, column, rows, gram, grid, values, codes, change);
}

}  // namespace quantized::kernels
#endif
