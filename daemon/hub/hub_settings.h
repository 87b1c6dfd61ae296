// Where the Hub is, who asks, and where models are kept: what the environment says, in the words of
// the contract (HF_TOKEN, LLM_QUANTIZE_CACHE) and of huggingface_hub (HF_ENDPOINT, HF_HOME, …).
#pragma once

#include <filesystem>
#include <string>

#include "absl/status/statusor.h"
#include "core/base/environment.h"

namespace quantized {

struct HubSettings {
  std::string endpoint;  // "https://huggingface.co", without a slash at the end
  std::string token;     // a secret; empty for none
  bool offline = false;
  std::filesystem::path cache;         // the models that we fetched: LLM_QUANTIZE_CACHE/hub
  std::filesystem::path shared_cache;  // those that huggingface_hub fetched; empty for none
  // A file, or folders with ':' between them, of certificates to trust; empty for the system's.
  std::filesystem::path certificates;
};

// Where models are, for who asks nobody: offline and the caches. Reads HF_HUB_OFFLINE (else
// TRANSFORMERS_OFFLINE), LLM_QUANTIZE_CACHE and HF_HUB_CACHE (else HUGGINGFACE_HUB_CACHE, else
// HF_HOME/hub); HF_HOME is by default ~/.cache/huggingface. A ~ at the beginning and, in
// huggingface_hub's own variables, $NAME and ${NAME} stand for what they do there. An empty value
// is as good as none. Errors: kInvalidArgument for a cache that needs a HOME where there is none.
absl::StatusOr<HubSettings> ReadCacheSettings(const Environment& environment);

// All of it. Reads also HF_ENDPOINT and HF_TOKEN (else HUGGING_FACE_HUB_TOKEN, else the file that
// HF_TOKEN_PATH names, else HF_HOME/token). Certificates are those of the first of
// REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE, SSL_CERT_FILE and SSL_CERT_DIR that is set. `given_token`
// counts before all of them. Errors: those of ReadCacheSettings; kInvalidArgument for an endpoint
// that is no http(s) URL, a token that is no single word, and certificates that are not there. No
// message quotes a token.
absl::StatusOr<HubSettings> ReadHubSettings(const Environment& environment,
                                            std::string given_token = "");

// Whether settings that came with a job are as ReadHubSettings gives them. Errors: kInvalidArgument
// for endpoint or token.
absl::Status CheckHubSettings(const HubSettings& settings);

}  // namespace quantized
