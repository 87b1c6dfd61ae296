// How far the logits of one model are from those of another, a row at a time, for reports of
// quality. Logits are [rows, vocabulary], row-major without padding, f32.
//
// Bounded: everything from the difference to the largest logit on is in double, summed in 32 slots
// (kernels/lanes/slots.h; the Highway form adds what is beyond the last 32 to the folded sum).
// Against exact arithmetic, a loss is off by at most 2^-47 * (1 + R), with R the largest difference
// of two logits of a row, and kl, which is 0 where rounding would make it negative, by at most
// 2^-44 * (1 + R). kl is computed from a difference of such sums: values below the bound mean
// nothing. A row's result depends on that row only, so rows may be split among threads anyhow.
#pragma once

#include <cstddef>
#include <cstdint>

namespace quantized::kernels {

struct RowDivergence {
  double source_loss, loss;  // -log softmax at the row's target, of source and of other
  double kl;                 // KL(softmax(source) || softmax(other)), in nats
  bool same_top;             // whether both have the same first largest logit
};

// out: [rows]. targets: [rows], each below `vocabulary`, which is at least 1. A row with a logit
// that is not finite has NaN in all of its doubles and false as same_top.
void CompareLogitsRef(size_t rows, size_t vocabulary, const float* source, const float* other,
                      const uint32_t* targets, RowDivergence* out);
void CompareLogitsSimd(size_t rows, size_t vocabulary, const float* source, const float* other,
                       const uint32_t* targets, RowDivergence* out);

// With s, o the logits and S, O the sums of e^(s - max s), e^(o - max o): a row's result from S, O
// and `weighed`, the sum of e^(s - max s) * ((s - max s) - (o - max o)); KL = weighed / S - log S +
// log O. source_target and other_target: the target's logit, less the largest of its row.
RowDivergence DivergenceOfSums(double source_sum, double other_sum, double weighed,
                               double source_target, double other_target, bool same_top);
RowDivergence NotFinite();

}  // namespace quantized::kernels
