// What a folder of format awq or gptq holds beside its weights: files of the source, configuration,
// model card, and the provenance by which a later job knows the folder again. In the same way
// whether the model was quantized or converted. Belongs to the job's thread.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "core/packed/model_card.h"
#include "core/pipeline/directory_output.h"
#include "core/pipeline/directory_plan.h"

namespace quantized {

struct DirectoryFiles {
  std::filesystem::path companions_from;  // copied from there:
  std::vector<std::string> companions;
  nlohmann::json config;    // config.json of the source
  std::string source_card;  // README.md of the source; may be empty
  // Options and loaders come from the plan.
  CardFacts card;
  // Beside tool, version, fingerprint, level and group size.
  nlohmann::json provenance;
};

// All but the provenance, which the output's validation writes. Errors: those of OutputConfigText,
// DirectoryOutput::CopyFiles and WriteFile.
absl::Status WriteDirectoryFiles(const DirectoryPlan& plan, DirectoryFiles files,
                                 DirectoryOutput& output);

// README.md of a source; empty where there is none that can be read.
std::string SourceCard(const std::filesystem::path& directory);

}  // namespace quantized
