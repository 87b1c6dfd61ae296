#include "core/arch/tensor_names.h"

#include <algorithm>
#include <charconv>

#include "core/base/error.h"
#include "core/base/str_cat.h"
#include "core/tensor/text.h"

namespace quantized {
namespace {

constexpr std::string_view kLayer = "{i}";

constexpr std::string_view kDroppedSuffixes[] = {".attention.masked_bias", ".attention.bias",
                                                 ".rotary_emb.inv_freq"};
constexpr std::string_view kOtherModalityPrefixes[] = {
    "mlp",     "vit.",       "vpm.",           "siglip2.",          "conformer.",
    "merger.", "resampler.", "sound_encoder.", "sound_projection.", "speech_embeddings."};
constexpr std::string_view kOtherModalityParts[] = {
    "visual.",     "vision.",       "audio.",           "talker.",
    "vision_",     "audio_",        "token2wav.",       "code2wav.",
    "projector.",  "image_newline", "view_seperator",   "pre_mm_projector_norm",
    "patch_embed", "patch_merger.", "patch_merge_mlp.", "model.connector."};

bool IsDropped(std::string_view name) {
  return std::ranges::any_of(kDroppedSuffixes,
                             [&](std::string_view s) { return name.ends_with(s); }) ||
         std::ranges::any_of(kOtherModalityPrefixes,
                             [&](std::string_view s) { return name.starts_with(s); }) ||
         std::ranges::any_of(kOtherModalityParts, [&](std::string_view s) {
           return name.find(s) != std::string_view::npos;
         });
}

bool TakePrefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}
bool TakeSuffix(std::string_view& text, std::string_view suffix) {
  if (!text.ends_with(suffix)) return false;
  text.remove_suffix(suffix.size());
  return true;
}

std::string Replaced(std::string text, std::string_view from, std::string_view to) {
  for (size_t at = 0; !from.empty() && (at = text.find(from, at)) != std::string::npos;) {
    text.replace(at, from.size(), to);
    at += to.size();
  }
  return text;
}

// The layer that stands in `name` at the place of `pattern`'s {i}, 0 where the pattern has none;
// nullopt where `name` is not of this pattern.
std::optional<uint32_t> LayerIn(std::string_view name, std::string_view pattern) {
  const size_t at = pattern.find(kLayer);
  if (at == std::string_view::npos) return name == pattern ? std::optional(0u) : std::nullopt;
  if (!TakePrefix(name, pattern.substr(0, at)) ||
      !TakeSuffix(name, pattern.substr(at + kLayer.size()))) {
    return std::nullopt;
  }
  uint32_t layer = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), layer);
  if (error != std::errc() || end != name.data() + name.size()) return std::nullopt;
  return layer;
}

std::string WithLayer(std::string_view pattern, uint32_t layer) {
  return Replaced(std::string(pattern), kLayer, std::to_string(layer));
}

// Without the wrappers, but with the "model." that stands first in most checkpoints.
std::string Unwrapped(const Architecture& architecture, std::string_view name) {
  return Replaced(Replaced(std::string(name), architecture.removed_from_names, ""),
                  "language_model.", "");
}

}  // namespace

absl::StatusOr<std::optional<TensorMatch>> MatchTensorName(const Architecture& architecture,
                                                           uint32_t layers, std::string_view name) {
  std::string plain = Replaced(std::string(name), architecture.removed_from_names, "");
  if (IsDropped(plain)) return std::nullopt;
  plain = Replaced(std::move(plain), "language_model.", "");

  std::string_view module = plain;
  TensorMatch match;
  const std::string_view suffix = module.ends_with(".bias") ? ".bias" : ".weight";
  match.is_bias = suffix == ".bias";
  if (TakeSuffix(module, suffix)) {
    TakePrefix(module, "model.");
    for (const TensorRule& rule : architecture.tensors) {
      const std::optional<uint32_t> layer = LayerIn(module, rule.hf);
      if (!layer) continue;
      if (*layer >= layers) {
        return MakeError(
            Error::kValidationFailed,
            StrCat("tensor ", PrintableName(name), ": layer ", *layer, " is beyond the ", layers,
                   " layers of config.json: num_hidden_layers"));
      }
      match.rule = &rule;
      match.gguf_name = StrCat(WithLayer(rule.gguf, *layer), suffix);
      return match;
    }
  }
  return MakeError(
      Error::kValidationFailed,
      StrCat("tensor ", PrintableName(name), ": expected a tensor of a ", architecture.gguf_name,
             " model, found a name that has no place "
             "in one"),
      "Check that config.json and the weights belong together");
}

std::string PlainName(const Architecture& architecture, std::string_view name) {
  const std::string unwrapped = Unwrapped(architecture, name);
  std::string_view plain = unwrapped;
  TakePrefix(plain, "model.");
  return std::string(plain);
}

std::string PlainModule(const TensorRule& rule, uint32_t layer) {
  return WithLayer(rule.hf, layer);
}

std::string GgufName(const TensorRule& rule, uint32_t layer) {
  return StrCat(WithLayer(rule.gguf, layer), ".weight");
}

std::string CheckpointName(const TensorRule& rule, uint32_t layer) {
  return StrCat(rule.hf == "lm_head" ? "" : "model.", WithLayer(rule.hf, layer), ".weight");
}

}  // namespace quantized
