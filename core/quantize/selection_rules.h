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
constexpr uint64_t LevelBit(Level level) { return uint64_t{1} << static_cast<int>(level); }

// Facts about a tensor and its model on which rules depend. i counts the tensors of a role that
// have been given a type by the rules before this one (kV: QKV and KVB together with V), except
// that for ffn_* tensors of a model with experts it is the layer's number; n is how many there will
// be (kV: such names in the file; else: layers).
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
  kImportance = 1 << 11,      // there is an importance matrix
  kFourExperts = 1 << 12,     // at least 4
  kStacked = 1 << 13,         // the tensor holds several matrices
  kBailingMoe3 = 1 << 14,     // the architecture
  kMiddle = 1 << 15,          // n / 8 <= i < 7 n / 8
  // i < n / 8, where i counts tensors whether there are experts or not.
  kFirstEighthCounted = 1 << 16,
};

// For a tensor of one of `roles`, at one of `levels`, with all facts of `needs` and none of
// `forbids`: `type`. Of the rows of one stage the first that holds decides; a later stage may
// change what an earlier one decided. Where no row holds the level's default type stays.
struct Rule {
  uint8_t stage;
  uint32_t roles;
  uint64_t levels;
  uint32_t needs;
  uint32_t forbids;
  kernels::TypeId type;
};

namespace rules_internal {
template <class... Levels>
constexpr uint64_t LevelBits(Levels... levels) {
  return (LevelBit(levels) | ...);
}
constexpr uint32_t kOut = RoleBit(Role::kOutput);
constexpr uint32_t kEmb = RoleBit(Role::kEmbedding);
constexpr uint32_t kPin = RoleBit(Role::kPinned);
// Everything that holds values of the attention.
constexpr uint32_t kVLike = RoleBit(Role::kV) | RoleBit(Role::kQkv) | RoleBit(Role::kKvB);
constexpr uint32_t kKey = RoleBit(Role::kK);
constexpr uint32_t kQuery = RoleBit(Role::kQ);
constexpr uint32_t kO = RoleBit(Role::kAttentionOutput);
constexpr uint32_t kDown = RoleBit(Role::kDown);
constexpr uint32_t kUpGate = RoleBit(Role::kUp) | RoleBit(Role::kGate);
constexpr uint32_t kAllRoles = ~0u;

constexpr uint64_t kQ40 = LevelBit(Level::kQ4_0);
constexpr uint64_t kQ50 = LevelBit(Level::kQ5_0);
constexpr uint64_t kQ8 = LevelBit(Level::kQ8_0);
constexpr uint64_t kQ2 = LevelBit(Level::kQ2_K);
constexpr uint64_t kQ2S = LevelBit(Level::kQ2_K_S);
constexpr uint64_t kQ3S = LevelBit(Level::kQ3_K_S);
constexpr uint64_t kQ3M = LevelBit(Level::kQ3_K_M);
constexpr uint64_t kQ3L = LevelBit(Level::kQ3_K_L);
constexpr uint64_t kQ4S = LevelBit(Level::kQ4_K_S);
constexpr uint64_t kQ4M = LevelBit(Level::kQ4_K_M);
constexpr uint64_t kQ5M = LevelBit(Level::kQ5_K_M);
constexpr uint64_t kI1 = LevelBits(Level::kIQ1_S, Level::kIQ1_M);
constexpr uint64_t kI2X = LevelBits(Level::kIQ2_XXS, Level::kIQ2_XS);
constexpr uint64_t kI2 = LevelBits(Level::kIQ2_S, Level::kIQ2_M);
constexpr uint64_t kI3XX = LevelBit(Level::kIQ3_XXS);
constexpr uint64_t kI3X = LevelBit(Level::kIQ3_XS);
constexpr uint64_t kI3S = LevelBit(Level::kIQ3_S);
constexpr uint64_t kI3M = LevelBit(Level::kIQ3_M);
constexpr uint64_t kI4 = LevelBits(Level::kIQ4_NL, Level::kIQ4_XS);
constexpr uint64_t kTernary = LevelBits(Level::kTQ1_0, Level::kTQ2_0, Level::kQ2_0);
constexpr uint64_t kMx = LevelBit(Level::kMXFP4_MOE);
// Levels of one and two bits have rules of their own.
constexpr uint64_t kLow = kI1 | kI2X | kI2;
constexpr uint64_t kAllLevels = ~uint64_t{0};
constexpr uint64_t kUsual = kAllLevels & ~kLow & ~kMx;
}  // namespace rules_internal

// clang-format off
inline constexpr auto kRules = [] {
  using namespace rules_internal;  // NOLINT: names of the columns, for this table only
  using T = kernels::TypeId;
  return std::to_array<Rule>({
    // stage, roles, levels, needs, forbids, type
    {0, kPin,   kAllLevels, 0,                        0,             T::kQ8_0},

    {0, kOut,   kMx,        0,                        0,             T::kQ8_0},
    {0, kOut,   kAllLevels, kFalcon,                  0,             T::kQ8_0},
    {0, kOut,   kAllLevels, kOddRow,                  0,             T::kQ8_0},
    {0, kOut,   kLow|kI3XX, 0,                        0,             T::kQ5_K},
    {0, kOut,   ~kQ8,       0,                        0,             T::kQ6_K},

    {0, kAllRoles, kMx,     kStacked,                 kBailingMoe3,  T::kMXFP4},
    {0, kUpGate|kDown, kMx, kStacked,                 0,             T::kMXFP4},
    {0, kAllRoles, kMx,     0,                        0,             T::kQ8_0},

    {0, kEmb,   kI1|kI2X,   0,                        0,             T::kQ2_K},
    {0, kEmb,   kI2|kI3XX,  0,                        0,             T::kIQ3_S},
    {0, kEmb,   kTernary,   0,                        0,             T::kQ4_K},

    {0, kVLike, kLow,       kGqa4,                    0,             T::kQ4_K},
    {0, kVLike, kLow,       kFourExperts,             0,             T::kQ4_K},
    {0, kVLike, kI2,        0,                        0,             T::kIQ3_S},
    {0, kVLike, kLow,       0,                        0,             T::kQ2_K},
    {0, kKey,   kLow,       kEightExperts,            0,             T::kQ4_K},
    {0, kDown,  kI2,        kFirstEighthCounted,      0,             T::kIQ3_S},
    {0, kDown,  kLow,       kFirstEighthCounted,      0,             T::kQ2_K},
    {0, kO,     kLow,       kEightExperts,            0,             T::kQ5_K},
    {0, kO,     kI1,        0,                        0,             T::kIQ2_XXS},
    {0, kO,     kI2,        0,                        0,             T::kIQ3_S},

    {0, kVLike, kQ2,        kGqa4,                    0,             T::kQ4_K},
    {0, kVLike, kQ2,        0,                        0,             T::kQ3_K},
    {0, kVLike, kQ2S|kI3XX|kI3X|kI3S, kGqa4,          0,             T::kQ4_K},
    {0, kVLike, kI3XX,      0,                        kImportance,   T::kIQ3_S},
    {0, kVLike, kI3M,       0,                        0,             T::kQ4_K},
    {0, kVLike, kQ3M,       kFirstTwo,                0,             T::kQ5_K},
    {0, kVLike, kQ3M,       0,                        0,             T::kQ4_K},
    {0, kVLike, kQ3L,       0,                        0,             T::kQ5_K},
    {0, kVLike, kI4,        kGqa4,                    0,             T::kQ5_K},
    {0, kVLike, kQ4M|kQ5M,  kMore,                    0,             T::kQ6_K},
    {0, kVLike, kQ4S,       kFirstFour,               0,             T::kQ5_K},
    {1, kVLike, kUsual,     kClass70B|kNowThreeOrFour, 0,            T::kQ5_K},
    {2, kVLike, kUsual,     kEightExperts,            0,             T::kQ8_0},

    {0, kKey,   kUsual,     kEightExperts,            0,             T::kQ8_0},
    {0, kKey|kQuery, kI3X,  0,                        0,             T::kIQ3_XXS},
    {0, kKey|kQuery, kI3XX, 0,                        0,             T::kIQ2_S},

    {0, kDown,  kQ2,        0,                        0,             T::kQ3_K},
    {0, kDown,  kQ2S,       kFirstEighth,             0,             T::kQ4_K},
    {0, kDown,  kI3XX,      kFirstEighth,             kImportance,   T::kQ4_K},
    {0, kDown,  kI3XX,      0,                        kImportance,   T::kQ3_K},
    {0, kDown,  kQ3M,       kFirstSixteenth,          0,             T::kQ5_K},
    {0, kDown,  kQ3M,       0,                        kFalcon,       T::kQ4_K},
    {0, kDown,  kQ3M,       kMore,                    0,             T::kQ4_K},
    {0, kDown,  kI3M,       kFirstEighth,             0,             T::kQ4_K},
    {0, kDown,  kI3M,       kEightExperts|kMore,      0,             T::kQ4_K},
    {0, kDown,  kQ3L,       kFalcon,                  0,             T::kQ4_K},
    {0, kDown,  kQ3L,       0,                        0,             T::kQ5_K},
    {0, kDown,  kQ4M,       kFalcon|kFirstSixteenth,  0,             T::kQ6_K},
    {0, kDown,  kQ4M,       kFalcon|kMore,            0,             T::kQ5_K},
    {0, kDown,  kQ4M,       kMore,                    kFalcon,       T::kQ6_K},
    {0, kDown,  kI4,        kFirstEighth,             kImportance,   T::kQ5_K},
    {0, kDown,  kQ5M,       kMore,                    0,             T::kQ6_K},
    {0, kDown,  kQ4S,       kFirstEighth,             kFalcon,       T::kQ5_K},
    {0, kDown,  kQ40,       kFirstEighth|kImportance, 0,             T::kQ4_1},
    {0, kDown,  kQ50,       kFirstEighth|kImportance, 0,             T::kQ5_1},

    {0, kO,     kQ3L,       kFalcon,                  0,             T::kQ4_K},
    {0, kO,     kQ2|kQ3S|kQ3M|kQ4S|kQ4M|kI3XX|kI3X|kI3S|kI3M|kI4, kEightExperts, kFalcon, T::kQ5_K},
    {0, kO,     kQ2,        0,                        kFalcon|kEightExperts, T::kQ3_K},
    {0, kO,     kI3XX,      0,                        kFalcon|kEightExperts, T::kIQ3_S},
    {0, kO,     kQ3M|kI3M,  0,                        kFalcon|kEightExperts, T::kQ4_K},
    {0, kO,     kQ3L,       0,                        kFalcon|kEightExperts, T::kQ5_K},

    {0, kUpGate, kI3X,      kMiddle,                  0,             T::kIQ3_XXS},
  });
}();
// clang-format on
inline constexpr int kStages = 3;

// What a tensor gets whose row is not made of whole blocks of the type it should have. F16 follows
// where the replacement does not fit either, and for a type of blocks of 32 that is not here. For
// one of larger blocks there is no replacement.
struct ShapeFallback {
  kernels::TypeId wanted, used;
};
inline constexpr auto kShapeFallbacks = std::to_array<ShapeFallback>({
    {kernels::TypeId::kIQ1_S, kernels::TypeId::kIQ4_NL},
    {kernels::TypeId::kIQ1_M, kernels::TypeId::kIQ4_NL},
    {kernels::TypeId::kIQ2_XXS, kernels::TypeId::kIQ4_NL},
    {kernels::TypeId::kIQ2_XS, kernels::TypeId::kIQ4_NL},
    {kernels::TypeId::kIQ2_S, kernels::TypeId::kIQ4_NL},
    {kernels::TypeId::kIQ3_XXS, kernels::TypeId::kIQ4_NL},
    {kernels::TypeId::kIQ3_S, kernels::TypeId::kIQ4_NL},
    {kernels::TypeId::kIQ4_XS, kernels::TypeId::kIQ4_NL},
    {kernels::TypeId::kQ2_0, kernels::TypeId::kQ4_0},
    {kernels::TypeId::kTQ1_0, kernels::TypeId::kQ4_0},
    {kernels::TypeId::kTQ2_0, kernels::TypeId::kQ4_0},
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

// What may only be made with an importance matrix: a type, at some levels. The embedding and the
// output matrix never need one.
struct NeedsImportanceRow {
  kernels::TypeId type;
  uint64_t levels;
};
inline constexpr auto kNeedsImportance = std::to_array<NeedsImportanceRow>({
    {kernels::TypeId::kIQ1_S, ~uint64_t{0}},
    {kernels::TypeId::kIQ1_M, ~uint64_t{0}},
    {kernels::TypeId::kIQ2_XXS, ~uint64_t{0}},
    {kernels::TypeId::kIQ2_XS, ~uint64_t{0}},
    {kernels::TypeId::kIQ2_S, ~uint64_t{0}},
    {kernels::TypeId::kIQ3_XXS, ~uint64_t{0}},
    {kernels::TypeId::kQ2_K, LevelBit(Level::kQ2_K_S)},
});

}  // namespace quantized
