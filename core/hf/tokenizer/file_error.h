// The one form in which the tokenizer's readers refuse a file: which file, which field, what was
// found, what was expected.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "core/base/error.h"
#include "core/base/str_cat.h"
#include "core/tensor/text.h"

namespace quantized::tokenizer {

// kValidationFailed: "FILE: FIELD: found FOUND, expected EXPECTED".
inline absl::Status FileError(std::string_view file, std::string_view field, std::string_view found,
                              std::string_view expected, std::string_view suggestion = "") {
  return MakeError(Error::kValidationFailed,
                   StrCat(file, ": ", field, ": found ", found, ", expected ", expected),
                   suggestion);
}

// `text` in quotes, cut and escaped as a message needs it.
inline std::string Quoted(std::string_view text) { return StrCat("\"", PrintableName(text), "\""); }

// kValidationFailed when `contents` is what git puts in the place of a large file.
inline absl::Status RefuseLfsPointer(std::string_view file, std::string_view contents) {
  if (!contents.starts_with("version https://git-lfs")) return absl::OkStatus();
  return FileError(file, "the file", "a git-lfs pointer", "the file itself",
                   "run `git lfs pull` in the model's directory");
}

}  // namespace quantized::tokenizer
