#include "tests/support/synthetic_model.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"
#include "core/gguf/layout.h"
#include "core/gguf/metadata.h"

namespace quantized::testing {
namespace {

using kernels::TypeId;

// Random bits (Knuth's MMIX generator) shaped into floats of magnitude 2^-8 to 2^-4.
class Weights {
 public:
  explicit Weights(uint64_t seed) : state_(seed) {}

  void Fill(TypeId type, std::span<std::byte> out) {
    for (size_t i = 0; i < out.size();) {
      state_ = state_ * 6364136223846793005u + 1442695040888963407u;
      const uint32_t random = static_cast<uint32_t>(state_ >> 32);
      const uint32_t exponent = (random >> 4) & 3;
      if (type == TypeId::kF32) {
        const uint32_t bits = (random & 0x807fffff) | ((119 + exponent) << 23);
        std::memcpy(&out[i], &bits, sizeof(bits));
        i += sizeof(bits);
      } else {
        const uint16_t bits = static_cast<uint16_t>(
            type == TypeId::kF16 ? ((random >> 16) & 0x83ff) | ((7 + exponent) << 10)
                                 : ((random >> 16) & 0x807f) | ((119 + exponent) << 7));
        std::memcpy(&out[i], &bits, sizeof(bits));
        i += sizeof(bits);
      }
    }
  }

 private:
  uint64_t state_;
};

gguf::Metadata MetadataOf(const SyntheticModel& model) {
  gguf::Metadata metadata;
  metadata.Set("general.architecture", std::string("llama"));
  metadata.Set("general.name", std::string("synthetic"));
  metadata.Set("general.file_type", uint32_t{1});
  metadata.Set("llama.block_count", model.layers);
  metadata.Set("llama.context_length", uint32_t{2048});
  metadata.Set("llama.embedding_length", static_cast<uint32_t>(model.hidden));
  metadata.Set("llama.feed_forward_length", static_cast<uint32_t>(model.feed_forward));
  metadata.Set("llama.attention.head_count", model.heads);
  metadata.Set("llama.attention.head_count_kv", model.kv_heads);
  metadata.Set("llama.attention.layer_norm_rms_epsilon", 1e-5f);
  metadata.Set("llama.vocab_size", static_cast<uint32_t>(model.vocabulary));
  metadata.Set("tokenizer.ggml.model", std::string("gpt2"));
  return metadata;
}

std::vector<gguf::PlannedTensor> TensorsOf(const SyntheticModel& model) {
  const uint64_t hidden = model.hidden;
  const uint64_t kv = hidden / model.heads * model.kv_heads;
  std::vector<gguf::PlannedTensor> tensors;
  const auto vector = [&](const std::string& name) {
    tensors.push_back({name, TypeId::kF32, {hidden}});
  };
  const auto matrix = [&](const std::string& name, uint64_t cols, uint64_t rows) {
    tensors.push_back({name, model.type, {cols, rows}});
  };
  matrix("token_embd.weight", hidden, model.vocabulary);
  for (uint32_t layer = 0; layer < model.layers; ++layer) {
    const std::string block = absl::StrCat("blk.", layer, ".");
    vector(block + "attn_norm.weight");
    matrix(block + "attn_q.weight", hidden, hidden);
    matrix(block + "attn_k.weight", hidden, kv);
    matrix(block + "attn_v.weight", hidden, kv);
    matrix(block + "attn_output.weight", hidden, hidden);
    vector(block + "ffn_norm.weight");
    matrix(block + "ffn_gate.weight", hidden, model.feed_forward);
    matrix(block + "ffn_up.weight", hidden, model.feed_forward);
    matrix(block + "ffn_down.weight", model.feed_forward, hidden);
  }
  vector("output_norm.weight");
  if (!model.tied) matrix("output.weight", hidden, model.vocabulary);
  return tensors;
}

}  // namespace

absl::Status WriteSyntheticModel(const std::filesystem::path& path, const SyntheticModel& model) {
  CHECK(model.hidden % model.heads == 0);
  const std::vector<gguf::PlannedTensor> tensors = TensorsOf(model);
  ASSIGN_OR_RETURN(const gguf::GgufLayout layout, gguf::Plan(MetadataOf(model), tensors));
  ASSIGN_OR_RETURN(File file, File::OpenForWrite(path));
  RETURN_IF_ERROR(file.Truncate(0));
  RETURN_IF_ERROR(file.Truncate(layout.file_size_bytes));
  RETURN_IF_ERROR(file.WriteAt(0, std::as_bytes(std::span(layout.header))));
  Weights weights(model.seed);
  std::vector<std::byte> chunk(1 << 20);
  for (size_t i = 0; i < tensors.size(); ++i) {
    const auto& place = layout.tensors[i];
    for (uint64_t done = 0; done < place.size_bytes; done += chunk.size()) {
      const std::span part =
          std::span(chunk).first(std::min<uint64_t>(chunk.size(), place.size_bytes - done));
      weights.Fill(tensors[i].type, part);
      RETURN_IF_ERROR(file.WriteAt(place.offset + done, part));
    }
  }
  return file.Close();
}

}  // namespace quantized::testing
