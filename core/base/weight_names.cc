#include "core/base/weight_names.h"

#include <algorithm>
#include <map>
#include <utility>

namespace quantized {

std::optional<ShardName> ParseShardName(std::string_view name) {
  constexpr size_t kDigits = 5, kTail = 2 * kDigits + 4;
  constexpr std::string_view kSuffix = ".safetensors";
  if (!name.ends_with(kSuffix) || name.size() < kTail + kSuffix.size()) return std::nullopt;
  name.remove_suffix(kSuffix.size());
  const std::string_view tail = name.substr(name.size() - kTail);
  const auto number = [](std::string_view digits) -> std::optional<uint32_t> {
    uint32_t value = 0;
    for (const char c : digits) {
      if (c < '0' || c > '9') return std::nullopt;
      value = 10 * value + static_cast<uint32_t>(c - '0');
    }
    return value;
  };
  const auto shard = number(tail.substr(0, kDigits));
  const auto count = number(tail.substr(tail.size() - kDigits));
  if (!shard || !count || tail.substr(kDigits, 4) != "-of-") return std::nullopt;
  return ShardName{name.substr(0, name.size() - kTail), *shard, *count};
}

std::vector<std::string> WeightsWithoutIndex(std::span<const std::string> names) {
  std::vector<std::string> weights;
  std::map<uint32_t, std::vector<std::string>> sets;  // by their count
  for (const std::string& name : names) {
    if (name == "model.safetensors") return {name};
    if (!name.starts_with("model") || !name.ends_with(".safetensors")) continue;
    weights.push_back(name);
    const auto shard = ParseShardName(name);
    const bool counts =
        shard && shard->set == "model-" && shard->shard >= 1 && shard->shard <= shard->count;
    if (counts) sets[shard->count].push_back(name);
  }
  std::erase_if(sets, [](const auto& set) { return set.second.size() != set.first; });
  if (sets.size() == 1) weights = std::move(sets.begin()->second);
  std::ranges::sort(weights);
  return weights;
}

}  // namespace quantized
