// Fuzz target: a config.json. A configuration that parses can be asked for anything without harm;
// what it gives is in bounds, whatever the architecture.
#include <cstdint>
#include <string_view>

#include "core/arch/architecture.h"
#include "core/arch/geometry.h"
#include "core/arch/long_rope.h"
#include "core/arch/metadata_keys.h"
#include "core/arch/rope_freqs.h"
#include "core/base/check.h"
#include "core/hf/config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace quantized;
  const auto config = HfConfig::Parse({reinterpret_cast<const char*>(data), size});
  if (!config.ok()) return 0;
  CHECK(config->fields().is_object());
  CHECK(config->rope().is_object());
  for (const Architecture* architecture : AllArchitectures()) {
    gguf::Metadata metadata;
    const absl::Status status = AppendArchitectureMetadata(*architecture, *config, 1, metadata);
    CHECK(!status.ok() || metadata.Find("general.file_type") != nullptr);
  }
  const auto geometry = GeometryOf(*config);
  if (!geometry.ok()) return 0;
  CHECK(geometry->layers >= 1 && geometry->layers <= 4096);
  CHECK(geometry->hidden >= 1 && geometry->feed_forward >= 1);
  CHECK(geometry->kv_heads >= 1 && geometry->heads % geometry->kv_heads == 0);
  CHECK(geometry->head_dim >= 1 && geometry->head_dim <= 65536);
  const auto freqs = RopeFreqs(*config, *geometry);
  const auto dim = RotaryDim(*config);
  CHECK(!dim.ok() || *dim <= geometry->hidden / geometry->heads);
  const auto long_rope = LongRopeOf(*config);
  CHECK(!long_rope.ok() || !long_rope->has_value() ||
        (dim.ok() && (*long_rope)->long_factors.size() == *dim / 2 &&
         (*long_rope)->short_factors.size() == *dim / 2));
  CHECK(!freqs.ok() || freqs->empty() || freqs->size() == (geometry->head_dim + 1) / 2);
  return 0;
}
