#include "daemon/hub/hub_settings.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"
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

// The first of two variables that has a value; what it is.
std::string EitherOf(const Environment& environment, std::string_view name,
                     std::string_view other) {
  const std::string value = ValueOf(environment, name);
  return value.empty() ? ValueOf(environment, other) : value;
}

bool IsOfName(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

// Python's os.path.expandvars: $NAME and ${NAME}; one that is not set stays as it is.
std::string ExpandVariables(const Environment& environment, std::string_view text) {
  std::string expanded;
  while (!text.empty()) {
    const bool braced = text.starts_with("${");
    const size_t begin = braced ? 2 : 1;
    size_t end = begin;
    if (text[0] == '$') {
      while (end < text.size() && (braced ? text[end] != '}' : IsOfName(text[end]))) ++end;
    }
    const std::string name(text.substr(std::min(begin, text.size()), end - begin));
    const size_t size = end + (braced ? 1 : 0);
    const bool is_variable =
        text[0] == '$' && size <= text.size() && !name.empty() && environment.contains(name);
    expanded += is_variable ? ValueOf(environment, name) : std::string(text.substr(0, 1));
    text.remove_prefix(is_variable ? size : 1);
  }
  return expanded;
}

// The folders that are named by variables, "~" for HOME.
class Folders {
 public:
  explicit Folders(const Environment& environment) : environment_(environment) {}

  // The folder that `variable` names, if it does.
  std::optional<fs::path> Named(std::string_view variable) const {
    return At(ValueOf(environment_, variable));
  }
  // The same for a variable of huggingface_hub's, which may name others.
  std::optional<fs::path> NamedAsThere(std::string_view variable) const {
    return At(ExpandVariables(environment_, WithHome(ValueOf(environment_, variable))));
  }
  // ~/.cache, if there is a home.
  std::optional<fs::path> UserCache() const {
    const std::string home = ValueOf(environment_, "HOME");
    if (home.empty()) return std::nullopt;
    return fs::path(home) / ".cache";
  }
  std::optional<fs::path> HuggingFaceHome() const {
    if (auto home = NamedAsThere("HF_HOME")) return home;
    std::optional<fs::path> cache = Named("XDG_CACHE_HOME");
    if (!cache) cache = UserCache();
    if (!cache) return std::nullopt;
    return *cache / "huggingface";
  }

 private:
  std::string WithHome(const std::string& text) const {
    if (text != "~" && !text.starts_with("~/")) return text;
    return ValueOf(environment_, "HOME") + text.substr(1);
  }
  std::optional<fs::path> At(const std::string& text) const {
    if (text.empty()) return std::nullopt;
    return fs::absolute(WithHome(text)).lexically_normal();
  }

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
  for (const std::string_view variable : {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"}) {
    const std::string token = ValueOf(environment, variable);
    if (!token.empty()) return CheckedToken(token, variable);
  }
  std::optional<fs::path> file = folders.NamedAsThere("HF_TOKEN_PATH");
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

// Of the folders in `list`, with ':' between them, those that are there, as OpenSSL takes them.
std::string FoldersThatAreThere(std::string_view list) {
  std::string there;
  for (const absl::string_view folder :
       absl::StrSplit(absl::string_view(list.data(), list.size()), ':', absl::SkipEmpty())) {
    std::error_code ignored;
    const fs::path path = fs::absolute(std::string(folder));
    if (fs::is_directory(path, ignored)) StrAppend(&there, there.empty() ? "" : ":", path.string());
  }
  return there;
}

absl::StatusOr<fs::path> FindCertificates(const Environment& environment, const Folders& folders) {
  for (const std::string_view variable : kCertificateVariables) {
    const std::optional<fs::path> path = folders.Named(variable);
    if (!path) continue;
    if (Exists(*path)) return *path;
    if (variable == "SSL_CERT_DIR") {
      const std::string there = FoldersThatAreThere(Lookup(environment, variable));
      if (!there.empty()) return there;
    }
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

absl::StatusOr<HubSettings> ReadCacheSettings(const Environment& environment) {
  const Folders folders(environment);
  HubSettings settings;
  settings.offline = IsTrue(EitherOf(environment, "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"));
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
  std::optional<fs::path> shared = folders.NamedAsThere("HF_HUB_CACHE");
  if (!shared) shared = folders.NamedAsThere("HUGGINGFACE_HUB_CACHE");
  if (shared) {
    settings.shared_cache = *shared;
  } else if (auto home = folders.HuggingFaceHome()) {
    settings.shared_cache = *home / "hub";
  }
  return settings;
}

absl::StatusOr<HubSettings> ReadHubSettings(const Environment& environment,
                                            std::string given_token) {
  ASSIGN_OR_RETURN(HubSettings settings, ReadCacheSettings(environment));
  const Folders folders(environment);
  ASSIGN_OR_RETURN(settings.endpoint, FindEndpoint(environment));
  ASSIGN_OR_RETURN(settings.certificates, FindCertificates(environment, folders));
  ASSIGN_OR_RETURN(settings.token, given_token.empty()
                                       ? FindToken(environment, folders)
                                       : CheckedToken(given_token, "the descriptor"));
  return settings;
}

absl::Status CheckHubSettings(const HubSettings& settings) {
  RETURN_IF_ERROR(CheckEndpoint(settings.endpoint));
  return CheckedToken(settings.token, "the request").status();
}

}  // namespace quantized
