// Which type a tensor gets at a level, as data: roles by name, then rules by role. The reference
// quantizer's mixtures, row by row; core/quantize/recipe.h says how the rows are read.
// Everything here is constant.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "core/quantize/levels.h"
#include "kernels/types/quant_type.h"

namespace quantized {

// What a tensor is in the model.
enum class Role : uint8_t {
  kOutput,     // the output matrix; also the embedding where no output matrix is in the file
  kEmbedding,  // the token embedding, beside an output matrix
  kQkv,
  kKvB,
  kV,
  kK,
  kQ,
  kAttentionOutput,
  kUp,
  kGate,
  kDown,
  kPinned,  // named in kPinnedNames
  kOther,
};

// Roles by name, the first row that is part of the name. kOutput and kEmbedding are matched whole.
struct RoleRow {
  std::string_view name_part;
  Role role;
};
inline constexpr auto kRoles = std::to_array<RoleRow>({
    {"attn_qkv.weight", Role::kQkv},
    {"attn_kv_b.weight", Role::kKvB},
    {"attn_v.weight", Role::kV},
    {"attn_k.weight", Role::kK},
    {"attn_q.weight", Role::kQ},
    {"attn_output.weight", Role::kAttentionOutput},
    {"ffn_up", Role::kUp},
    {"ffn_gate", Role::kGate},
    {"ffn_down", Role::kDown},
});

constexpr uint32_t RoleBit(Role role) { return 1u << static_cast<int>(role); }
constexpr uint32_t LevelBit(Level level) { return 1u << static_cast<int>(level); }

// Facts about a tensor and its model on which rules depend. i counts the tensors of a role that
// have been given a type before this one (kV: QKV and KVB together with V), except that for ffn_*
// tensors of a model with experts it is the layer's number; n is how many there will be (kV: such
// names in the file; else: layers).
enum Fact : uint32_t {
  kFalcon = 1 << 0,           // the architecture
  kEightExperts = 1 << 1,     // exactly 8
  kGqa4 = 1 << 2,             // at least 4 query heads for each key-value head
  kClass70B = 1 << 3,         // 80 layers of a kind that was only ever made as a 70B model
  kOddRow = 1 << 4,           // the row is not made of whole blocks of the level's default type
  kFirstTwo = 1 << 5,         // i < 2
  kFirstFour = 1 << 6,        // i < 4
  kFirstSixteenth = 1 << 7,   // i < n / 16
  kFirstEighth = 1 << 8,      // i < n / 8
  kMore = 1 << 9,             // i < n / 8, or i >= 7 n / 8, or (i - n / 8) mod 3 = 2
  kNowThreeOrFour = 1 << 10,  // earlier stages left Q3_K or Q4_K
};

// For a tensor of one of `roles`, at one of `levels`, with all facts of `needs` and none of
// `forbids`: `type`. Of the rows of one stage the first that holds decides; a later stage may
// change what an earlier one decided. Where no row holds the level's default type stays.
struct Rule {
  uint8_t stage;
  uint32_t roles;
  uint32_t levels;
  uint32_t needs;
  uint32_t forbids;
  kernels::TypeId type;
};

namespace rules_internal {
constexpr uint32_t kAllLevels = ~0u;
constexpr uint32_t kOut = RoleBit(Role::kOutput);
// Everything that holds values of the attention.
constexpr uint32_t kVLike = RoleBit(Role::kV) | RoleBit(Role::kQkv) | RoleBit(Role::kKvB);
constexpr uint32_t kKey = RoleBit(Role::kK);
constexpr uint32_t kO = RoleBit(Role::kAttentionOutput);
constexpr uint32_t kDown = RoleBit(Role::kDown);
constexpr uint32_t kPin = RoleBit(Role::kPinned);
constexpr uint32_t kQ2 = LevelBit(Level::kQ2_K);
constexpr uint32_t kQ3S = LevelBit(Level::kQ3_K_S);
constexpr uint32_t kQ3M = LevelBit(Level::kQ3_K_M);
constexpr uint32_t kQ3L = LevelBit(Level::kQ3_K_L);
constexpr uint32_t kQ4S = LevelBit(Level::kQ4_K_S);
constexpr uint32_t kQ4M = LevelBit(Level::kQ4_K_M);
constexpr uint32_t kQ5M = LevelBit(Level::kQ5_K_M);
constexpr uint32_t kQ8 = LevelBit(Level::kQ8_0);
}  // namespace rules_internal

// clang-format off
inline constexpr auto kRules = [] {
  using namespace rules_internal;  // NOLINT: names of the columns, for this table only
  using T = kernels::TypeId;
  return std::to_array<Rule>({
    // stage, roles, levels, needs, forbids, type
    {0, kOut,   kAllLevels, kFalcon,                  0,             T::kQ8_0},
    {0, kOut,   kAllLevels, kOddRow,                  0,             T::kQ8_0},
    {0, kOut,   ~kQ8,       0,                        0,             T::kQ6_K},

    {0, kPin,   kAllLevels, 0,                        0,             T::kQ8_0},

    {0, kVLike, kQ2,        kGqa4,                    0,             T::kQ4_K},
    {0, kVLike, kQ2,        0,                        0,             T::kQ3_K},
    {0, kVLike, kQ3M,       kFirstTwo,                0,             T::kQ5_K},
    {0, kVLike, kQ3M,       0,                        0,             T::kQ4_K},
    {0, kVLike, kQ3L,       0,                        0,             T::kQ5_K},
    {0, kVLike, kQ4M|kQ5M,  kMore,                    0,             T::kQ6_K},
    {0, kVLike, kQ4S,       kFirstFour,               0,             T::kQ5_K},
    {1, kVLike, kAllLevels, kClass70B|kNowThreeOrFour, 0,            T::kQ5_K},
    {2, kVLike, kAllLevels, kEightExperts,            0,             T::kQ8_0},

    {0, kKey,   kAllLevels, kEightExperts,            0,             T::kQ8_0},

    {0, kDown,  kQ2,        0,                        0,             T::kQ3_K},
    {0, kDown,  kQ3M,       kFirstSixteenth,          0,             T::kQ5_K},
    {0, kDown,  kQ3M,       0,                        kFalcon,       T::kQ4_K},
    {0, kDown,  kQ3M,       kMore,                    0,             T::kQ4_K},
    {0, kDown,  kQ3L,       kFalcon,                  0,             T::kQ4_K},
    {0, kDown,  kQ3L,       0,                        0,             T::kQ5_K},
    {0, kDown,  kQ4M,       kFalcon|kFirstSixteenth,  0,             T::kQ6_K},
    {0, kDown,  kQ4M,       kFalcon|kMore,            0,             T::kQ5_K},
    {0, kDown,  kQ4M|kQ5M,  kMore,                    0,             T::kQ6_K},
    {0, kDown,  kQ4S,       kFirstEighth,             kFalcon,       T::kQ5_K},

    {0, kO,     kQ3L,       kFalcon,                  0,             T::kQ4_K},
    {0, kO,     kQ2|kQ3S|kQ3M|kQ4S|kQ4M, kEightExperts, kFalcon,     T::kQ5_K},
    {0, kO,     kQ2,        0,                        kFalcon|kEightExperts, T::kQ3_K},
    {0, kO,     kQ3M,       0,                        kFalcon|kEightExperts, T::kQ4_K},
    {0, kO,     kQ3L,       0,                        kFalcon|kEightExperts, T::kQ5_K},
  });
}();
// clang-format on
inline constexpr int kStages = 3;

// What a tensor gets whose row is not made of whole blocks of the type it should have. A type that
// is not here stays; F16 follows where the replacement does not fit either.
struct ShapeFallback {
  kernels::TypeId wanted, used;
};
inline constexpr auto kShapeFallbacks = std::to_array<ShapeFallback>({
    {kernels::TypeId::kQ2_K, kernels::TypeId::kQ4_0},
    {kernels::TypeId::kQ3_K, kernels::TypeId::kQ4_0},
    {kernels::TypeId::kQ4_K, kernels::TypeId::kQ5_0},
    {kernels::TypeId::kQ5_K, kernels::TypeId::kQ5_1},
    {kernels::TypeId::kQ6_K, kernels::TypeId::kQ8_0},
});

// A tensor with one of these in its name keeps the source's type.
inline constexpr auto kNeverQuantized = std::to_array<std::string_view>({
    "_norm.weight",
    "ffn_gate_inp.weight",
    "ffn_gate_tid2eid.weight",
    "altup",
    "laurel",
    "per_layer_model_proj",
    "ssm_conv1d",
    "shortconv.conv.weight",
    "indexer.k_proj.weight",
    "indexer.q_proj.weight",
    "time_mix_first.weight",
    "time_mix_w0.weight",
    "time_mix_w1.weight",
    "time_mix_w2.weight",
    "time_mix_v0.weight",
    "time_mix_v1.weight",
    "time_mix_v2.weight",
    "time_mix_a0.weight",
    "time_mix_a1.weight",
    "time_mix_a2.weight",
    "time_mix_g1.weight",
    "time_mix_g2.weight",
    "time_mix_decay_w1.weight",
    "time_mix_decay_w2.weight",
    "time_mix_lerp_fused.weight",
    "attn_rel_b.weight",
    ".position_embd",
    "sam.pos_embd",
    "sam.neck.",
    "sam.net_",
    ".rel_pos",
    ".patch_embd",
    ".patch_merger",
    "a.rvq.codebook",
    "mm.a.code_embd",
});
// Nor does one with exactly this name.
inline constexpr auto kNeverQuantizedNames =
    std::to_array<std::string_view>({"position_embd.weight", "token_types.weight"});

// The same for single architectures.
struct ArchitectureNames {
  std::string_view architecture;
  std::string_view name_part;
};
inline constexpr auto kNeverQuantizedIn = std::to_array<ArchitectureNames>({
    {"glm5-next", "hc_"},
    {"glm5-next", "indexer.attn_q_b"},
    {"glm5-next", "indexer.attn_k"},
    {"glm5-next", "indexer.proj"},
    {"glm5-next", "indexer_compressor_gate"},
    {"glm5-next", "indexer_compressor_ape"},
    {"glm5-next", "ssm_f_a.weight"},
    {"glm5-next", "ssm_f_b.weight"},
    {"glm5-next", "ssm_g_a.weight"},
    {"glm5-next", "ssm_g_b.weight"},
    {"glm5-next", "ssm_beta.weight"},
    {"glm5-next", "attn_kv_a_mqa.weight"},
    {"glm5-next", "attn_k_b.weight"},
    {"glm5-next", "attn_v_b.weight"},
});
// Names that make a tensor Role::kPinned before any other role is looked for.
inline constexpr auto kPinnedNames = std::to_array<ArchitectureNames>({
    {"glm5-next", "attn_q_a"},
    {"glm5-next", "attn_q_b"},
    {"glm5-next", "nextn.eh_proj"},
});

// Models of the 70B class (Fact kClass70B).
struct Class70B {
  std::string_view architecture;
  uint32_t layers;
  bool needs_fewer_kv_heads;  // as many key-value heads as heads would be the 65B model
};
inline constexpr auto kClass70BModels = std::to_array<Class70B>({
    {"llama", 80, true},
    {"qwen2", 80, false},
    {"deci", 80, false},
    {"olmo", 80, false},
    {"jais2", 68, false},
});

}  // namespace quantized
