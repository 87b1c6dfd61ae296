// The name of a model on the Hugging Face Hub: "org/name" or "name", with an optional "@revision".
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace quantized {

inline constexpr std::string_view kDefaultRevision = "main";

struct HubId {
  std::string name;                        // "org/name" or "name"
  std::string revision{kDefaultRevision};  // a branch, a tag or a commit

  // "models--org--name": its folder in a cache.
  std::string FolderName() const;
  // The way back; nullopt for what is no model's folder.
  static std::optional<HubId> OfFolderName(std::string_view folder);
  bool operator==(const HubId&) const = default;
};

// Holds the Hub's own rules: each part of a name has 1 to 96 of A-Z a-z 0-9 - _ ., begins and ends
// with a letter, a digit or _, and has neither ".." nor "--"; no name ends in ".git". A revision is
// what git takes as the name of a ref. So no part of an id can leave the folder it names.
// Errors: kModelNotFound, which says what is wrong.
absl::StatusOr<HubId> ParseHubId(std::string_view text);

}  // namespace quantized
