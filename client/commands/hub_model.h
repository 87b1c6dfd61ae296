// Models of the Hugging Face Hub, as commands need them. Errors are those of quantize-fetch:
// kModelNotFound, kAuthenticationRequired, kIo and more.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "client/commands/command.h"
#include "client/commands/held_signals.h"
#include "client/render/fetcher_answer.h"
#include "core/base/temp_folder.h"

namespace quantized {

// A model of the Hub whose headers alone were fetched, laid out like its directory; or the model
// itself where a cache holds it. What was fetched is removed with this object, which holds signals
// back until then: one that ends this program leaves nothing behind. Move-only.
class HubHeaders {
 public:
  // kFew are enough for `info`; a plan wants all of them, the tokenizer included.
  enum class Texts { kFew, kAll };

  static absl::StatusOr<HubHeaders> Fetch(const std::string& hub_id, Texts texts,
                                          CommandContext& context);

  // What stands for the model's path.
  const std::filesystem::path& path() const { return path_; }
  // What a job would fetch.
  uint64_t missing_bytes() const { return missing_bytes_; }

 private:
  HubHeaders() = default;

  std::unique_ptr<HeldSignals> signals_;  // before the folder, which goes first
  std::unique_ptr<TempFolder> folder_;
  std::filesystem::path path_;
  uint64_t missing_bytes_ = 0;
};

// What `hub_id` names now, for a job.
absl::StatusOr<PinnedModel> PinHubModel(const std::string& hub_id, CommandContext& context);

}  // namespace quantized
