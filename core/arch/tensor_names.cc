#include "core/arch/tensor_names.h"

#include <algorithm>
#include <charconv>

#include "core/base/error.h"
#include "core/base/str_cat.h"
#include "core/tensor/text.h"

namespace quantized {
namespace {

constexpr std::string_view kLayer = "{i}", kExpert = "{e}";

constexpr std::string_view kBufferSuffixes[] = {".attention.masked_bias", ".attention.bias",
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
  return IsBuffer(name) ||
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

// The numbers that stand in a name at the places of a pattern's {i} and {e}; 0 where it has none.
struct Numbers {
  uint32_t layer = 0, expert = 0;
};

bool TakeNumber(std::string_view& text, uint32_t& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return false;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return true;
}

// nullopt where `name` is not of this pattern.
std::optional<Numbers> NumbersIn(std::string_view name, std::string_view pattern) {
  Numbers numbers;
  while (!pattern.empty()) {
    const bool is_layer = TakePrefix(pattern, kLayer);
    if (is_layer || TakePrefix(pattern, kExpert)) {
      if (!TakeNumber(name, is_layer ? numbers.layer : numbers.expert)) return std::nullopt;
      continue;
    }
    const std::string_view literal = pattern.substr(0, pattern.find('{'));
    pattern.remove_prefix(literal.size());
    if (!TakePrefix(name, literal)) return std::nullopt;
  }
  return name.empty() ? std::optional(numbers) : std::nullopt;
}

std::string WithNumbers(std::string_view pattern, uint32_t layer, uint32_t expert) {
  std::string name = Replaced(std::string(pattern), kLayer, std::to_string(layer));
  return Replaced(std::move(name), kExpert, std::to_string(expert));
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
      const std::optional<Numbers> numbers = NumbersIn(module, rule.hf);
      // A stacked bias would need a rule of its own.
      if (!numbers || (match.is_bias && IsStacked(rule))) continue;
      if (rule.gguf.empty()) return std::nullopt;
      if (numbers->layer >= layers) {
        return MakeError(
            Error::kValidationFailed,
            StrCat("tensor ", PrintableName(name), ": layer ", numbers->layer, " is beyond the ",
                   layers, " layers of config.json: num_hidden_layers"));
      }
      match.rule = &rule;
      match.layer = numbers->layer;
      match.expert = numbers->expert;
      match.gguf_name = StrCat(WithNumbers(rule.gguf, match.layer, 0), suffix);
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

bool IsBuffer(std::string_view name) {
  return std::ranges::any_of(kBufferSuffixes,
                             [&](std::string_view s) { return name.ends_with(s); });
}

bool IsGeneratedTensor(const Architecture& architecture, std::string_view gguf_name) {
  return (architecture.writes_rope_freqs && gguf_name == kRopeFreqsTensor) ||
         (architecture.writes_long_rope &&
          (gguf_name == kLongFactorsTensor || gguf_name == kShortFactorsTensor));
}

bool IsGeneratedTensor(std::string_view gguf_name) {
  return gguf_name == kRopeFreqsTensor || gguf_name == kLongFactorsTensor ||
         gguf_name == kShortFactorsTensor;
}

std::string PlainName(const Architecture& architecture, std::string_view name) {
  const std::string unwrapped = Unwrapped(architecture, name);
  std::string_view plain = unwrapped;
  TakePrefix(plain, "model.");
  return std::string(plain);
}

std::string PlainModule(const TensorRule& rule, uint32_t layer, uint32_t expert) {
  return WithNumbers(rule.hf, layer, expert);
}

bool IsStacked(const TensorRule& rule) { return rule.hf.find(kExpert) != std::string_view::npos; }

std::string GgufName(const TensorRule& rule, uint32_t layer) {
  return StrCat(WithNumbers(rule.gguf, layer, 0), ".weight");
}

std::vector<uint64_t> ShapeOf(const TensorRule& rule, bool is_bias, const Geometry& geometry) {
  const uint64_t cols = geometry.Size(rule.cols);
  if (rule.rows == Dim::kNone) return {cols};
  const uint64_t rows = geometry.Size(rule.rows);
  return is_bias ? std::vector<uint64_t>{rows} : std::vector<uint64_t>{rows, cols};
}

Transform TransformOf(const TensorRule& rule, bool is_bias) {
  const bool of_weights_only = rule.transform == Transform::kAddOne;
  return is_bias && of_weights_only ? Transform::kNone : rule.transform;
}

std::string CheckpointName(const TensorRule& rule, uint32_t layer, uint32_t expert) {
  return StrCat(rule.hf == "lm_head" ? "" : "model.", WithNumbers(rule.hf, layer, expert),
                ".weight");
}

}  // namespace quantized
