#include "daemon/hub/hub_api.h"

#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <utility>

#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/base/text.h"
#include "daemon/hub/json_text.h"
#include "daemon/hub/url.h"
#include "daemon/hub/without_token.h"

namespace quantized {
namespace {

using nlohmann::json;

constexpr size_t kMaxAnswerBytes = 32 << 20;
constexpr size_t kMaxFiles = 100'000;
constexpr uint64_t kMaxFileBytes = uint64_t{1} << 50;
absl::Status BadAnswer(const HubId& id, std::string_view what) {
  return MakeError(Error::kValidationFailed,
                   StrCat("the Hub's description of model '", id.name, "': ", what));
}

std::optional<uint64_t> SizeOf(const json& object) {
  const auto found = object.find("size");
  if (found == object.end() || !found->is_number_unsigned()) return std::nullopt;
  const uint64_t size_bytes = found->get<uint64_t>();
  if (size_bytes > kMaxFileBytes) return std::nullopt;
  return size_bytes;
}

absl::StatusOr<RemoteFile> ReadFileEntry(const HubId& id, const json& entry) {
  if (!entry.is_object()) return BadAnswer(id, "an entry of 'siblings' is no object");
  RemoteFile file{.path = TextOf(entry, "rfilename"), .blob_id = TextOf(entry, "blobId")};
  const std::string name = PrintableText(file.path.substr(0, 200));
  if (file.path.empty()) return BadAnswer(id, "an entry of 'siblings' has no 'rfilename'");
  const auto lfs = entry.find("lfs");
  const bool by_lfs = lfs != entry.end() && lfs->is_object();
  if (by_lfs) {
    file.lfs_sha256 = TextOf(*lfs, "sha256");
    if (!IsHex(file.lfs_sha256, 64)) return BadAnswer(id, StrCat(name, ": 'sha256' is no SHA-256"));
  }
  if (!IsHex(file.blob_id, 40)) return BadAnswer(id, StrCat(name, ": 'blobId' is no SHA-1"));
  const std::optional<uint64_t> size_bytes = SizeOf(by_lfs && lfs->contains("size") ? *lfs : entry);
  if (!size_bytes) return BadAnswer(id, StrCat(name, ": 'size' is no size of a file"));
  file.size_bytes = *size_bytes;
  return file;
}

std::string PageOf(const HttpSettings& settings, const HubId& id) {
  return StrCat(settings.endpoint, "/", id.name);
}

absl::Status NotFound(const HubId& id, bool anonymous) {
  std::string suggestion = "Check the model name or provide a local path";
  // Only models that belong to somebody can be private.
  if (id.name.find('/') != std::string::npos) {
    suggestion += anonymous ? "; for a private model, set HF_TOKEN"
                            : "; if it is private, the account of the token in use must have "
                              "access to it: set HF_TOKEN to one that has";
  }
  return MakeError(Error::kModelNotFound,
                   StrCat("Model '", id.name, "' not found on Hugging Face Hub"), suggestion);
}

absl::Status Gated(const HttpSettings& settings, const HubId& id) {
  const std::string page = PageOf(settings, id);
  return MakeError(
      Error::kAuthenticationRequired,
      StrCat("Model '", id.name, "' is gated: its owner must grant access"),
      settings.token.empty()
          ? StrCat("Ask for access at ", page, ", then set HF_TOKEN to a token of your account")
          : StrCat("Ask for access at ", page, " with the account that HF_TOKEN belongs to"));
}

absl::Status Hidden(const HttpSettings& settings, const HubId& id) {
  return MakeError(
      Error::kAuthenticationRequired,
      StrCat("Hugging Face Hub does not show model '", id.name,
             "', which it once did: it is private, or was removed"),
      StrCat("Set HF_TOKEN to a token of an account that may read ", PageOf(settings, id)));
}

}  // namespace

std::string FileUrl(std::string_view endpoint, const HubId& id, std::string_view commit,
                    std::string_view path) {
  return StrCat(endpoint, "/", id.name, "/resolve/", PercentEncode(commit, false), "/",
                PercentEncode(path, true));
}

bool IsOfHub(const HttpSettings& settings, const HttpResponse& response) {
  return OriginOf(response.url) == OriginOf(settings.endpoint);
}

absl::Status HubRefusal(const HttpSettings& settings, const HubId& id, std::string_view what,
                        Existence existence, const HttpResponse& response) {
  if (!IsOfHub(settings, response)) {
    return MakeError(Error::kIo,
                     StrCat(PublicUrl(response.url), " answers with status ", response.status),
                     "The Hub redirects there: check that network and proxy let it be read");
  }
  const std::string code = response.Header("x-error-code");
  const bool anonymous = settings.token.empty();
  const int status = response.status;
  if (code == "GatedRepo") return Gated(settings, id);
  if (code == "RevisionNotFound") {
    return MakeError(
        Error::kModelNotFound,
        StrCat("Revision '", id.revision, "' of model '", id.name,
               "' not found on Hugging Face Hub"),
        StrCat("Choose a branch, tag or commit of ", PageOf(settings, id), "/tree/main"));
  }
  if (code == "EntryNotFound" || (status == 404 && !what.empty() && code.empty())) {
    return MakeError(Error::kModelNotFound,
                     StrCat("Model '", id.name, "' has no file '", what, "' on Hugging Face Hub"));
  }
  if (status == 404 || (status == 401 && anonymous)) {
    // A 404 without the Hub's reason may be anybody's: a mirror's that lacks the model.
    const bool is_hidden = code == "RepoNotFound" || status == 401;
    return is_hidden && existence == Existence::kSeen ? Hidden(settings, id)
                                                      : NotFound(id, anonymous);
  }
  if (status == 401) {
    return MakeError(Error::kAuthenticationRequired,
                     StrCat("Hugging Face Hub refuses the token for model '", id.name, "'"),
                     "Set HF_TOKEN to a valid token of https://huggingface.co/settings/tokens");
  }
  // Before it is cut: a part of the token would not be found later.
  std::string why = PrintableText(
      WithoutToken(response.Header("x-error-message"), settings.token).substr(0, 300));
  if (!why.empty()) why = StrCat(": ", why);
  if (status == 403) {
    return MakeError(Error::kAuthenticationRequired,
                     StrCat("Hugging Face Hub denies access to model '", id.name, "'", why),
                     StrCat("Set HF_TOKEN to a token that may read ", PageOf(settings, id)));
  }
  return MakeError(Error::kIo,
                   StrCat(PublicUrl(response.url), " answers with status ", status, why));
}

absl::StatusOr<RepositoryInfo> ParseRepositoryInfo(const HubId& id, std::string_view text) {
  const json answer = ParseJson(text);
  if (!answer.is_object()) return BadAnswer(id, "not a JSON object");
  RepositoryInfo info{.commit = TextOf(answer, "sha"), .files = {}};
  if (!IsHex(info.commit, 40)) return BadAnswer(id, "'sha' is no commit");
  if (IsHex(id.revision, 40) && info.commit != id.revision) {
    return BadAnswer(id, StrCat("it is of commit ", info.commit, ", expected ", id.revision));
  }
  const auto siblings = answer.find("siblings");
  if (siblings == answer.end() || !siblings->is_array()) {
    return BadAnswer(id, "'siblings' is no list of files");
  }
  if (siblings->size() > kMaxFiles) {
    return BadAnswer(id, StrCat(siblings->size(), " files, at most ", kMaxFiles, " are accepted"));
  }
  std::set<std::string> paths;
  for (const json& entry : *siblings) {
    ASSIGN_OR_RETURN(RemoteFile file, ReadFileEntry(id, entry));
    // Uploads from Windows leave names such as 'folder\x.txt'. What needs such a file will miss it.
    if (!IsSafeRemotePath(file.path)) continue;
    if (!paths.insert(file.path).second) {
      return BadAnswer(id, StrCat("the file '", file.path, "' is there twice"));
    }
    info.files.push_back(std::move(file));
  }
  return info;
}

absl::StatusOr<RepositoryInfo> FetchRepositoryInfo(HttpClient& client, const HubId& id,
                                                   Existence existence, Retries retries) {
  const HttpRequest request{.url = StrCat(client.settings().endpoint, "/api/models/", id.name,
                                          "/revision/", PercentEncode(id.revision, false),
                                          "?blobs=true")};
  while (true) {
    std::string text;
    const auto take = [&](const HttpResponse&, std::span<const std::byte> bytes) -> absl::Status {
      if (text.size() + bytes.size() > kMaxAnswerBytes) {
        return BadAnswer(id, StrCat("longer than ", kMaxAnswerBytes, " bytes"));
      }
      text.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      return absl::OkStatus();
    };
    HttpResult result = client.Get(request, take);
    if (result.transfer.ok() && result.response.succeeded()) return ParseRepositoryInfo(id, text);
    const absl::Status failure =
        result.transfer.ok() ? HubRefusal(client.settings(), id, "", existence, result.response)
                             : result.transfer;
    if (!result.may_retry) return failure;
    RETURN_IF_ERROR(retries.WaitToRetry(failure, result.response, client.stop()));
  }
}

}  // namespace quantized
