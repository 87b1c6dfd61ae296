#include "daemon/hub/hub_id.h"

#include <algorithm>
#include <optional>

#include "core/base/error.h"
#include "core/base/str_cat.h"
#include "core/base/text.h"

namespace quantized {
namespace {

constexpr std::string_view kFolderPrefix = "models--";
constexpr size_t kMaxPartLength = 96;
constexpr size_t kMaxRevisionLength = 200;

bool IsWord(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

std::optional<std::string> WhyNoPart(std::string_view part) {
  if (part.empty()) return "a part of its name is empty";
  if (part.size() > kMaxPartLength) {
    return StrCat("a part of its name has ", part.size(), " characters, at most ", kMaxPartLength,
                  " are allowed");
  }
  const auto allowed = [](char c) { return IsWord(c) || c == '-' || c == '.'; };
  if (!std::all_of(part.begin(), part.end(), allowed)) {
    return "only letters, digits, '-', '_' and '.' are allowed in a name";
  }
  if (!IsWord(part.front()) || !IsWord(part.back())) {
    return "a name begins and ends with a letter, a digit or '_'";
  }
  if (part.find("--") != std::string_view::npos || part.find("..") != std::string_view::npos) {
    return "'--' and '..' are not allowed in a name";
  }
  return std::nullopt;
}

// git-check-ref-format, as far as it matters for a path and a URL.
std::optional<std::string> WhyNoRevision(std::string_view revision) {
  if (revision.empty()) return "its revision is empty";
  if (revision.size() > kMaxRevisionLength) return "its revision is too long";
  const auto allowed = [](char c) {
    return c > ' ' && c < 0x7f && std::string_view("~^:?*[\\@").find(c) == std::string_view::npos;
  };
  if (!std::all_of(revision.begin(), revision.end(), allowed)) {
    return "its revision has a character that no branch, tag or commit has";
  }
  for (std::string_view rest = revision; !rest.empty();) {
    const size_t slash = std::min(rest.find('/'), rest.size());
    const std::string_view part = rest.substr(0, slash);
    if (part.empty() || part.front() == '.' || part.ends_with(".lock") || part.ends_with(".tmp")) {
      return "its revision is no name of a branch, tag or commit";
    }
    if (slash + 1 == rest.size()) return "its revision ends in '/'";
    rest = slash == rest.size() ? "" : rest.substr(slash + 1);
  }
  if (revision.find("..") != std::string_view::npos) return "'..' is not allowed in a revision";
  return std::nullopt;
}

std::optional<std::string> WhyNoId(std::string_view name, std::string_view revision) {
  const size_t slash = name.find('/');
  if (slash != std::string_view::npos) {
    if (const auto why = WhyNoPart(name.substr(0, slash))) return why;
  }
  if (const auto why = WhyNoPart(name.substr(slash == std::string_view::npos ? 0 : slash + 1))) {
    return why;
  }
  if (name.ends_with(".git")) return "a name does not end in '.git'";
  return WhyNoRevision(revision);
}

}  // namespace

std::string HubId::FolderName() const {
  const size_t slash = name.find('/');
  if (slash == std::string::npos) return StrCat(kFolderPrefix, name);
  return StrCat(kFolderPrefix, name.substr(0, slash), "--", name.substr(slash + 1));
}

std::optional<HubId> HubId::OfFolderName(std::string_view folder) {
  if (!folder.starts_with(kFolderPrefix)) return std::nullopt;
  std::string name(folder.substr(kFolderPrefix.size()));
  if (const size_t separator = name.find("--"); separator != std::string::npos) {
    name.replace(separator, 2, "/");
  }
  absl::StatusOr<HubId> id = ParseHubId(name);
  if (!id.ok()) return std::nullopt;
  return *std::move(id);
}

absl::StatusOr<HubId> ParseHubId(std::string_view text) {
  const size_t at = text.find('@');
  const std::string_view name = text.substr(0, at);
  const std::string_view revision =
      at == std::string_view::npos ? kDefaultRevision : text.substr(at + 1);
  if (const auto why = WhyNoId(name, revision)) {
    return MakeError(Error::kModelNotFound,
                     StrCat("'", PrintableText(text.substr(0, 300)),
                            "' is no model of the Hugging Face Hub: ", *why),
                     "Name a model as org/name, with @revision for another branch, tag or commit");
  }
  return HubId{.name = std::string(name), .revision = std::string(revision)};
}

}  // namespace quantized
