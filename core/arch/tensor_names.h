// From the name of a checkpoint's tensor to the name and the rule under which it is written.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "core/arch/architecture.h"
#include "core/arch/geometry.h"

namespace quantized {

struct TensorMatch {
  const TensorRule* rule = nullptr;
  bool is_bias = false;
  uint32_t layer = 0, expert = 0;  // 0 where the rule has no place for one
  std::string gguf_name;           // "blk.0.attn_q.weight"
};

// Null for a tensor that is no part of the text model or is made anew at run time: vision, audio
// and projector parts, rotary tables, masks, what the rule leaves out. Errors: kValidationFailed
// for a name that no rule of `architecture` knows and for a layer beyond the `layers` of the
// configuration.
absl::StatusOr<std::optional<TensorMatch>> MatchTensorName(const Architecture& architecture,
                                                           uint32_t layers, std::string_view name);

// Whether a checkpoint's tensor is a table or mask that a model makes anew: no parameter, written
// by old versions of its class.
bool IsBuffer(std::string_view name);

// Whether a conversion makes a tensor of this name from config.json: of this architecture, of any.
bool IsGeneratedTensor(const Architecture& architecture, std::string_view gguf_name);
bool IsGeneratedTensor(std::string_view gguf_name);
inline constexpr std::string_view kRopeFreqsTensor = "rope_freqs.weight";
inline constexpr std::string_view kLongFactorsTensor = "rope_factors_long.weight";
inline constexpr std::string_view kShortFactorsTensor = "rope_factors_short.weight";

// A checkpoint's name without the wrappers that model families put around the text model, as the
// rules spell it: "layers.3.mlp.up_proj.weight".
std::string PlainName(const Architecture& architecture, std::string_view name);

// The plain name of a rule's module in a layer (of a stacked one, of an expert):
// "layers.3.mlp.up_proj".
std::string PlainModule(const TensorRule& rule, uint32_t layer, uint32_t expert = 0);

// Whether the rule makes one tensor of the matrices of a layer's experts.
bool IsStacked(const TensorRule& rule);

// The name under which a rule's weight is written: "blk.3.ffn_up.weight".
std::string GgufName(const TensorRule& rule, uint32_t layer);

// The shape that the configuration gives a rule's weight or bias (of a stacked rule, an expert's),
// outermost dimension first; 0 for a vocabulary that it does not give.
std::vector<uint64_t> ShapeOf(const TensorRule& rule, bool is_bias, const Geometry& geometry);

// What is done to the values of a rule's weight or bias.
Transform TransformOf(const TensorRule& rule, bool is_bias);

// The checkpoint's name of a rule's weight, for messages: "model.layers.3.mlp.up_proj.weight".
std::string CheckpointName(const TensorRule& rule, uint32_t layer, uint32_t expert = 0);

}  // namespace quantized
