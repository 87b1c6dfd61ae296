#include "core/pipeline/directory_files.h"

#include <utility>

#include "core/base/file.h"
#include "core/base/status_macros.h"
#include "core/base/version.h"
#include "core/packed/checkpoint_config.h"
#include "core/packed/loader_notes.h"

namespace quantized {
namespace {

constexpr uint64_t kMaxCardBytes = 16 << 20;

}  // namespace

std::string SourceCard(const std::filesystem::path& directory) {
  absl::StatusOr<std::string> card = ReadFile(directory / kCardFile, kMaxCardBytes);
  return card.ok() ? *std::move(card) : "";
}

absl::Status WriteDirectoryFiles(const DirectoryPlan& plan, DirectoryFiles files,
                                 DirectoryOutput& output) {
  RETURN_IF_ERROR(output.CopyFiles(files.companions_from, files.companions));
  ASSIGN_OR_RETURN(const std::string config, OutputConfigText(files.config, plan.packed));
  RETURN_IF_ERROR(output.WriteFile("config.json", config));
  if (plan.method == PackedMethod::kGptq) {
    RETURN_IF_ERROR(output.WriteFile(kQuantizeConfigFile, QuantizeConfigText(plan.packed)));
  }
  files.card.options = plan.packed;
  files.card.loaders = LoaderNotes(plan.packed, plan.linears, 1);
  RETURN_IF_ERROR(output.WriteFile(kCardFile, ModelCard(files.source_card, files.card)));
  files.provenance.update({{"tool", "llm-quantize"},
                           {"version", kVersion},
                           {"fingerprint", plan.fingerprint},
                           {"format", NameOf(plan.method)},
                           {"level", plan.level.name},
                           {"group_size", plan.packed.group_size}});
  output.SetProvenance(std::move(files.provenance));
  return absl::OkStatus();
}

}  // namespace quantized
