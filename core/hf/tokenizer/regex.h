// A regular expression of a tokenizer file, or a plain string where the file says so. Patterns are
// Oniguruma's (oniguruma_pattern.h), matching is PCRE2's, by its just-in-time compiler where the
// machine allows one. A pattern comes from outside: its length, its compiled size and the work of a
// match are bounded, and what goes beyond is an error, never a hang.
// Immutable and thread-safe after creation.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace quantized::tokenizer {

class Regex {
 public:
  // Byte offsets into the subject; begin == end for an empty match.
  struct Match {
    size_t begin = 0;
    size_t end = 0;
  };

  // Errors: kValidationFailed when `pattern` is not UTF-8, too long, malformed or unsupported.
  static absl::StatusOr<Regex> Compile(std::string_view pattern);
  // Matches exactly `text`, which must not be empty.
  static Regex Literal(std::string_view text);

  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;
  ~Regex();

  // All matches from left to right, none overlapping; an empty match right behind another match is
  // left out. `subject` is valid UTF-8. Errors: kValidationFailed when the bound on a match's work,
  // which grows with the subject's length, is reached.
  absl::StatusOr<std::vector<Match>> FindAll(std::string_view subject) const;

 private:
  struct Compiled;
  Regex();

  std::unique_ptr<Compiled> compiled_;  // null for a literal
  std::string text_;                    // the pattern as given, or the literal
};

}  // namespace quantized::tokenizer
