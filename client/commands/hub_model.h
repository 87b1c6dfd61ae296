// Models of the Hugging Face Hub, as commands that need no daemon see them.
#pragma once

#include <filesystem>
#include <string>

#include "absl/status/statusor.h"
#include "client/commands/command.h"

namespace quantized {

// A model of the Hub whose headers alone were fetched, laid out like its directory; or the model
// itself where a cache holds it. What was fetched is removed with this object. Move-only.
class HubHeaders {
 public:
  // Errors: those of quantize-fetch: kModelNotFound, kAuthenticationRequired, kIo and more.
  static absl::StatusOr<HubHeaders> Fetch(const std::string& hub_id, CommandContext& context);
  ~HubHeaders();
  HubHeaders(HubHeaders&& other) noexcept;
  HubHeaders& operator=(HubHeaders&&) = delete;

  // What stands for the model's path.
  const std::filesystem::path& path() const { return path_; }

 private:
  HubHeaders() = default;

  std::filesystem::path folder_;  // ours; empty: none
  std::filesystem::path path_;
};

}  // namespace quantized
