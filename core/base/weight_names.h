// Which files of a model's folder are its safetensors weights, where no index names them. A
// download fetches by it, and core reads by it, so that nothing is fetched in vain and nothing else
// is read.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace quantized {

// "model-00002-of-00003.safetensors": shard 2 of the 3 of the set "model-".
struct ShardName {
  std::string_view set;
  uint32_t shard = 0, count = 0;
};

// nullopt for any other name. The result points into `name`.
std::optional<ShardName> ParseShardName(std::string_view name);

// Of `names`, the different files at the top of the folder: model.safetensors alone where it is
// there, as transformers decides (model.fp16.safetensors is a variant that must be asked for); else
// the shards model-NNNNN-of-MMMMM.safetensors where one set of them, and no other, is whole; else
// all model*.safetensors. Sorted.
std::vector<std::string> WeightsWithoutIndex(std::span<const std::string> names);

}  // namespace quantized
