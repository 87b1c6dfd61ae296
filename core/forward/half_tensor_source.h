// A source as a float16 checkpoint would keep it: every value rounded to float16. What a quantized
// checkpoint leaves as it is, is stored so.
#pragma once

#include "core/forward/tensor_source.h"

namespace quantized {

class HalfTensorSource : public TensorSource {
 public:
  // `source` must outlive *this.
  explicit HalfTensorSource(const TensorSource& source) : source_(source) {}

  const Tensor* Find(std::string_view name) const override { return source_.Find(name); }
  // Errors: those of the source; kValidationFailed, naming the tensor, for a value beyond float16.
  absl::Status ReadRows(const Tensor& tensor, uint64_t first, uint64_t count,
                        float* out) const override;

 private:
  const TensorSource& source_;
};

}  // namespace quantized
