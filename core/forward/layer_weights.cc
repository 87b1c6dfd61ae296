#include "core/forward/layer_weights.h"

#include <string_view>
#include <utility>

#include "core/arch/tensor_names.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/tensor/shape.h"

namespace quantized {
namespace {

const TensorRule* RuleOf(const ForwardConfig& config, std::string_view gguf_name) {
  for (const TensorRule& rule : config.architecture->tensors) {
    if (rule.gguf == gguf_name) return &rule;
  }
  return nullptr;
}

// Reads what one layer is made of.
class Loader {
 public:
  Loader(const ForwardConfig& config, const TensorSource& source, uint32_t layer,
         uint32_t expert = 0)
      : config_(config), source_(source), layer_(layer), expert_(expert) {}

  // Whether the family has it, so that it has to be there.
  bool Has(std::string_view role) const { return RuleOf(config_, Name(role)) != nullptr; }

  // An empty norm where the family has none.
  absl::StatusOr<Norm> ReadNorm(std::string_view role, uint64_t size) const {
    return ReadNormOf(Name(role), size);
  }
  absl::StatusOr<Norm> ReadNormOf(std::string_view gguf_name, uint64_t size) const {
    Norm norm;
    const TensorRule* rule = RuleOf(config_, gguf_name);
    if (rule == nullptr) return norm;
    ASSIGN_OR_RETURN(const TensorSource::Tensor* tensor,
                     Find(StrCat(Module(*rule), ".weight"), {size}));
    norm.module = tensor->name.substr(0, tensor->name.rfind('.'));
    norm.offset = rule->transform == Transform::kAddOne ? 1 : 0;
    norm.factors.resize(size);
    RETURN_IF_ERROR(source_.ReadRows(*tensor, 0, 1, norm.factors.data()));
    for (float& factor : norm.factors) factor += norm.offset;
    return norm;
  }

  absl::StatusOr<Linear> ReadLinear(std::string_view role, uint64_t out, uint64_t in) const {
    const TensorRule* rule = RuleOf(config_, Name(role));
    if (rule == nullptr) {
      return MakeError(Error::kInternal,
                       StrCat("no rule for ", Name(role), " of ", config_.architecture->gguf_name));
    }
    const std::string module = Module(*rule);
    ASSIGN_OR_RETURN(const TensorSource::Tensor* tensor,
                     Find(StrCat(module, ".weight"), {out, in}));
    Linear linear;
    linear.module = tensor->name.substr(0, tensor->name.rfind('.'));
    linear.gguf_name = GgufName(*rule, layer_);
    linear.weight = Matrix(out, in);
    RETURN_IF_ERROR(source_.ReadRows(*tensor, 0, out, linear.weight.values.data()));
    if (source_.Find(StrCat(module, ".bias")) == nullptr) return linear;
    ASSIGN_OR_RETURN(const TensorSource::Tensor* bias, Find(StrCat(module, ".bias"), {out}));
    linear.bias.resize(out);
    RETURN_IF_ERROR(source_.ReadRows(*bias, 0, 1, linear.bias.data()));
    return linear;
  }

 private:
  static std::string Name(std::string_view role) { return StrCat("blk.{i}.", role); }

  std::string Module(const TensorRule& rule) const { return PlainModule(rule, layer_, expert_); }

  absl::StatusOr<const TensorSource::Tensor*> Find(const std::string& name,
                                                   std::vector<uint64_t> shape) const {
    const TensorSource::Tensor* tensor = source_.Find(name);
    if (tensor != nullptr && tensor->shape == shape) return tensor;
    return MakeError(
        Error::kValidationFailed,
        StrCat("tensor ", name, ": found ",
               tensor == nullptr ? "nothing" : StrCat("shape ", ShapeText(tensor->shape)),
               ", expected shape ", ShapeText(shape), " from config.json"),
        "Check that config.json and the weights belong together");
  }

  const ForwardConfig& config_;
  const TensorSource& source_;
  const uint32_t layer_, expert_;
};

}  // namespace

bool IsMixture(const ForwardConfig& config) {
  return config.experts > 0 && RuleOf(config, "blk.{i}.ffn_gate_inp") != nullptr;
}

uint32_t FeedForwardWidth(const ForwardConfig& config) {
  return IsMixture(config) ? config.expert_feed_forward : config.geometry.feed_forward;
}

absl::StatusOr<AttentionWeights> LoadAttention(const ForwardConfig& config,
                                               const TensorSource& source, uint32_t layer) {
  const Loader loader(config, source, layer);
  const uint64_t hidden = config.geometry.hidden, head_dim = config.geometry.head_dim;
  AttentionWeights weights;
  ASSIGN_OR_RETURN(weights.input_norm, loader.ReadNorm("attn_norm", hidden));
  ASSIGN_OR_RETURN(weights.query_norm, loader.ReadNorm("attn_q_norm", head_dim));
  ASSIGN_OR_RETURN(weights.key_norm, loader.ReadNorm("attn_k_norm", head_dim));
  ASSIGN_OR_RETURN(weights.output_norm, loader.ReadNorm("post_attention_norm", hidden));
  struct Part {
    std::string_view role;
    uint64_t rows;
  };
  const Part apart[] = {{"attn_q", config.query_size()},
                        {"attn_k", config.key_size()},
                        {"attn_v", config.key_size()}};
  const Part fused[] = {{"attn_qkv", config.query_size() + 2 * config.key_size()}};
  for (const Part& part : loader.Has("attn_qkv") ? std::span<const Part>(fused) : apart) {
    ASSIGN_OR_RETURN(Linear linear, loader.ReadLinear(part.role, part.rows, hidden));
    weights.qkv.push_back(std::move(linear));
  }
  ASSIGN_OR_RETURN(weights.output, loader.ReadLinear("attn_output", hidden, config.query_size()));
  return weights;
}

absl::StatusOr<FeedForwardWeights> LoadFeedForward(const ForwardConfig& config,
                                                   const TensorSource& source, uint32_t layer) {
  const Loader loader(config, source, layer);
  const uint64_t hidden = config.geometry.hidden;
  FeedForwardWeights weights;
  ASSIGN_OR_RETURN(weights.input_norm, loader.ReadNorm("ffn_norm", hidden));
  ASSIGN_OR_RETURN(weights.output_norm, loader.ReadNorm("post_ffw_norm", hidden));
  weights.width = FeedForwardWidth(config);
  if (IsMixture(config)) {
    ASSIGN_OR_RETURN(weights.router, loader.ReadLinear("ffn_gate_inp", config.experts, hidden));
    weights.experts = config.experts;
  }
  return weights;
}

absl::StatusOr<ExpertWeights> LoadExpert(const ForwardConfig& config, const TensorSource& source,
                                         uint32_t layer, uint32_t expert) {
  const Loader loader(config, source, layer, expert);
  const uint64_t hidden = config.geometry.hidden;
  const bool mixture = IsMixture(config);
  const uint64_t width = FeedForwardWidth(config);
  const bool fused = !mixture && !loader.Has("ffn_gate");
  ExpertWeights weights;
  if (fused) {
    ASSIGN_OR_RETURN(Linear both, loader.ReadLinear("ffn_up", 2 * width, hidden));
    weights.gate_up.push_back(std::move(both));
  } else {
    for (const std::string_view role :
         mixture ? std::vector<std::string_view>{"ffn_gate_exps", "ffn_up_exps"}
                 : std::vector<std::string_view>{"ffn_gate", "ffn_up"}) {
      ASSIGN_OR_RETURN(Linear linear, loader.ReadLinear(role, width, hidden));
      weights.gate_up.push_back(std::move(linear));
    }
  }
  ASSIGN_OR_RETURN(weights.down,
                   loader.ReadLinear(mixture ? "ffn_down_exps" : "ffn_down", hidden, width));
  return weights;
}

absl::StatusOr<Norm> LoadFinalNorm(const ForwardConfig& config, const TensorSource& source) {
  return Loader(config, source, 0).ReadNormOf("output_norm", config.geometry.hidden);
}

const TensorSource::Tensor* FindByRole(const ForwardConfig& config, const TensorSource& source,
                                       std::string_view gguf_name) {
  const TensorRule* rule = RuleOf(config, gguf_name);
  return rule == nullptr ? nullptr : source.Find(StrCat(PlainModule(*rule, 0), ".weight"));
}

}  // namespace quantized
