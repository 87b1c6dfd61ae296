// For tests: whether two configurations of a model compute the same.
#pragma once

#include <gtest/gtest.h>

#include <vector>

#include "core/arch/architecture.h"
#include "core/forward/forward_config.h"
#include "core/forward/rotary_table.h"
#include "core/hf/config.h"

namespace quantized::testing {

inline void ExpectSameGeometry(const Geometry& got, const Geometry& want) {
  EXPECT_EQ(got.layers, want.layers);
  EXPECT_EQ(got.hidden, want.hidden);
  EXPECT_EQ(got.feed_forward, want.feed_forward);
  EXPECT_EQ(got.heads, want.heads);
  EXPECT_EQ(got.kv_heads, want.kv_heads);
  EXPECT_EQ(got.head_dim, want.head_dim);
  EXPECT_EQ(got.vocabulary, want.vocabulary);
  EXPECT_EQ(got.experts, want.experts);
  EXPECT_EQ(got.expert_feed_forward, want.expert_feed_forward);
}

inline void ExpectSameRotation(const HfConfig& got, const HfConfig& want,
                               const ForwardConfig& config) {
  for (const bool local : {false, true}) {
    const bool is_used = !local || config.layers[0].local_rotation;
    // Beyond the lengths of training, where there are factors for that.
    for (const uint32_t length : {16u, 6000u}) {
      if (!is_used) continue;
      const auto table = MakeRotaryTable(got, config.geometry, local, length);
      const auto expected = MakeRotaryTable(want, config.geometry, local, length);
      ASSERT_TRUE(table.ok() && expected.ok()) << table.status() << expected.status();
      EXPECT_EQ(table->dim, expected->dim);
      EXPECT_EQ(table->cos.values, expected->cos.values);
      EXPECT_EQ(table->sin.values, expected->sin.values);
    }
  }
}

inline void ExpectSameForward(const Architecture& architecture, const HfConfig& got,
                              const HfConfig& want) {
  const auto a = ForwardConfigOf(architecture, got);
  const auto b = ForwardConfigOf(*FindArchitecture(want.architecture()), want);
  ASSERT_TRUE(a.ok() && b.ok()) << a.status() << b.status();
  EXPECT_EQ(a->architecture->gguf_name, b->architecture->gguf_name);
  ExpectSameGeometry(a->geometry, b->geometry);
  EXPECT_EQ(a->norm_epsilon, b->norm_epsilon);
  EXPECT_EQ(a->embedding_scale, b->embedding_scale);
  EXPECT_EQ(a->attention_scale, b->attention_scale);
  EXPECT_EQ(a->attention_softcap, b->attention_softcap);
  EXPECT_EQ(a->final_softcap, b->final_softcap);
  EXPECT_EQ(a->experts, b->experts);
  EXPECT_EQ(a->experts_per_token, b->experts_per_token);
  EXPECT_EQ(a->expert_feed_forward, b->expert_feed_forward);
  EXPECT_EQ(a->normalizes_expert_weights, b->normalizes_expert_weights);
  ASSERT_EQ(a->layers.size(), b->layers.size());
  for (size_t i = 0; i < b->layers.size(); ++i) {
    EXPECT_EQ(a->layers[i].window, b->layers[i].window) << "layer " << i;
    EXPECT_EQ(a->layers[i].local_rotation, b->layers[i].local_rotation) << "layer " << i;
  }
  ExpectSameRotation(got, want, *b);
}

}  // namespace quantized::testing
