#include "core/hf/generation_config.h"

#include <array>
#include <cmath>
#include <string>
#include <string_view>

#include "core/base/str_cat.h"
#include "core/hf/json_number.h"

namespace quantized {
namespace {

enum class Kind { kString, kInt32, kFloat };

struct SamplingKey {
  std::string_view key;  // after "general.sampling."
  Kind kind;
  std::string_view name;  // in generation_config.json
  std::string_view other_name = "";
};

// In the order of the file.
constexpr std::array kSamplingKeys = {
    SamplingKey{"sequence", Kind::kString, "sequence"},
    SamplingKey{"top_k", Kind::kInt32, "top_k"},
    SamplingKey{"top_p", Kind::kFloat, "top_p"},
    SamplingKey{"min_p", Kind::kFloat, "min_p"},
    SamplingKey{"xtc_probability", Kind::kFloat, "xtc_probability"},
    SamplingKey{"xtc_threshold", Kind::kFloat, "xtc_threshold"},
    SamplingKey{"temp", Kind::kFloat, "temperature"},
    SamplingKey{"penalty_last_n", Kind::kInt32, "penalty_last_n"},
    SamplingKey{"penalty_repeat", Kind::kFloat, "penalty_repeat", "repetition_penalty"},
    SamplingKey{"mirostat", Kind::kInt32, "mirostat"},
    SamplingKey{"mirostat_tau", Kind::kFloat, "mirostat_tau"},
    SamplingKey{"mirostat_eta", Kind::kFloat, "mirostat_eta"},
};

}  // namespace

void AppendSamplingMetadata(const nlohmann::json& config, gguf::Metadata& metadata) {
  for (const SamplingKey& row : kSamplingKeys) {
    auto found = config.find(row.name);
    if (found == config.end()) found = config.find(row.other_name);
    if (found == config.end()) continue;
    const std::string key = StrCat("general.sampling.", row.key);
    if (row.kind == Kind::kString) {
      if (found->is_string() && !found->get_ref<const std::string&>().empty()) {
        metadata.Set(key, found->get<std::string>());
      }
    } else if (row.kind == Kind::kInt32) {
      if (const auto value = JsonInt32(*found, key); value.ok()) metadata.Set(key, *value);
    } else {
      if (const auto value = JsonFloat(*found, key); value.ok()) metadata.Set(key, *value);
    }
  }
}

nlohmann::json SamplingFields(const gguf::Metadata& metadata) {
  nlohmann::json fields = nlohmann::json::object();
  for (const SamplingKey& row : kSamplingKeys) {
    const std::string key = StrCat("general.sampling.", row.key);
    const std::string name(row.other_name.empty() ? row.name : row.other_name);
    const auto* text = metadata.Get<std::string>(key);
    const auto* whole = metadata.Get<int32_t>(key);
    const auto* number = metadata.Get<float>(key);
    if (row.kind == Kind::kString && text != nullptr) fields[name] = *text;
    if (row.kind == Kind::kInt32 && whole != nullptr) fields[name] = *whole;
    if (row.kind == Kind::kFloat && number != nullptr && std::isfinite(*number)) {
      fields[name] = ShortestJson(*number);
    }
  }
  return fields;
}

}  // namespace quantized
