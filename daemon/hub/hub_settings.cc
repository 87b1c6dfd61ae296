#include "daemon/hub/hub_settings.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/strings/ascii.h"
#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "daemon/hub/url.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxTokenBytes = 4096;
// In this order: huggingface_hub goes through requests, or through httpx and OpenSSL.
constexpr std::string_view kCertificateVariables[] = {"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
                                                      "SSL_CERT_FILE", "SSL_CERT_DIR"};

std::string ValueOf(const Environment& environment, std::string_view name) {
  return std::string(Lookup(environment, name));
}

bool IsTrue(std::string value) {
  absl::AsciiStrToLower(&value);
  return value == "1" || value == "true" || value == "yes" || value == "on";
}

// The folders that are named by variables, "~" for HOME.
class Folders {
 public:
  explicit Folders(const Environment& environment) : environment_(environment) {}

  // The folder that `variable` names, if it does.
  std::optional<fs::path> Named(std::string_view variable) const {
    const std::string value = ValueOf(environment_, variable);
    if (value.empty()) return std::nullopt;
    if (value == "~" || value.starts_with("~/")) {
      return fs::path(ValueOf(environment_, "HOME")) /
             value.substr(std::min<size_t>(2, value.size()));
    }
    return fs::absolute(value).lexically_normal();
  }
  // ~/.cache, if there is a home.
  std::optional<fs::path> UserCache() const {
    const std::string home = ValueOf(environment_, "HOME");
    if (home.empty()) return std::nullopt;
    return fs::path(home) / ".cache";
  }
  std::optional<fs::path> HuggingFaceHome() const {
    if (auto home = Named("HF_HOME")) return home;
    std::optional<fs::path> cache = Named("XDG_CACHE_HOME");
    if (!cache) cache = UserCache();
    if (!cache) return std::nullopt;
    return *cache / "huggingface";
  }

 private:
  const Environment& environment_;
};

absl::StatusOr<std::string> CheckedToken(std::string_view token, std::string_view from) {
  const absl::string_view text = absl::StripAsciiWhitespace({token.data(), token.size()});
  const auto visible = [](char c) { return c > ' ' && c < 0x7f; };
  if (!std::all_of(text.begin(), text.end(), visible)) {
    return MakeError(Error::kInvalidArgument,
                     StrCat("the token in ", from, " has a character that no token has"),
                     "Set HF_TOKEN to a token of https://huggingface.co/settings/tokens");
  }
  return std::string(text);
}

absl::StatusOr<std::string> FindToken(const Environment& environment, const Folders& folders) {
  if (const std::string token = ValueOf(environment, "HF_TOKEN"); !token.empty()) {
    return CheckedToken(token, "HF_TOKEN");
  }
  std::optional<fs::path> file = folders.Named("HF_TOKEN_PATH");
  if (!file) {
    const std::optional<fs::path> home = folders.HuggingFaceHome();
    if (!home) return "";
    file = *home / "token";
  }
  std::error_code ignored;
  if (!fs::is_regular_file(*file, ignored)) return "";
  ASSIGN_OR_RETURN(const std::string text, ReadFile(*file, kMaxTokenBytes), << "reading the token");
  return CheckedToken(text, file->string());
}

absl::StatusOr<fs::path> FindCertificates(const Folders& folders) {
  for (const std::string_view variable : kCertificateVariables) {
    const std::optional<fs::path> path = folders.Named(variable);
    if (!path) continue;
    std::error_code ignored;
    if (fs::exists(*path, ignored)) return *path;
    return MakeError(
        Error::kInvalidArgument,
        StrCat(variable, " is '", path->string(), "', expected a file or folder of certificates"),
        StrCat("Correct ", variable, " or unset it"));
  }
  return "";
}

absl::Status CheckEndpoint(const std::string& endpoint) {
  if (IsPlainHttpUrl(endpoint)) return absl::OkStatus();
  return MakeError(Error::kInvalidArgument,
                   StrCat("HF_ENDPOINT is '", PublicUrl(endpoint),
                          "', expected a URL such as https://huggingface.co"),
                   "Correct HF_ENDPOINT or unset it");
}

absl::StatusOr<std::string> FindEndpoint(const Environment& environment) {
  std::string endpoint = ValueOf(environment, "HF_ENDPOINT");
  if (endpoint.empty()) return "https://huggingface.co";
  while (endpoint.ends_with('/')) endpoint.pop_back();
  RETURN_IF_ERROR(CheckEndpoint(endpoint));
  return endpoint;
}

}  // namespace

absl::StatusOr<HubSettings> ReadHubSettings(const Environment& environment,
                                            std::string given_token) {
  const Folders folders(environment);
  HubSettings settings;
  ASSIGN_OR_RETURN(settings.endpoint, FindEndpoint(environment));
  ASSIGN_OR_RETURN(settings.certificates, FindCertificates(folders));
  settings.offline = IsTrue(ValueOf(environment, "HF_HUB_OFFLINE"));
  ASSIGN_OR_RETURN(settings.token, given_token.empty()
                                       ? FindToken(environment, folders)
                                       : CheckedToken(given_token, "the descriptor"));
  std::optional<fs::path> cache = folders.Named("LLM_QUANTIZE_CACHE");
  if (!cache) {
    const std::optional<fs::path> user = folders.UserCache();
    if (!user) {
      return MakeError(Error::kInvalidArgument, "there is no folder for models: HOME is not set",
                       "Set LLM_QUANTIZE_CACHE to a folder");
    }
    cache = *user / "llm-quantize";
  }
  settings.cache = *cache / "hub";
  if (auto shared = folders.Named("HF_HUB_CACHE")) {
    settings.shared_cache = *shared;
  } else if (auto home = folders.HuggingFaceHome()) {
    settings.shared_cache = *home / "hub";
  }
  return settings;
}

absl::Status CheckHubSettings(const HubSettings& settings) {
  RETURN_IF_ERROR(CheckEndpoint(settings.endpoint));
  return CheckedToken(settings.token, "the request").status();
}

}  // namespace quantized
