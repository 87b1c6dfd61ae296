// A pattern for tensor names, as in --tensor-type: matches where it is found anywhere in the name.
// Comes from outside: its length, its compiled size and the work of a match are bounded.
// Immutable and thread-safe.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace quantized {

class NamePattern {
 public:
  // `text` is a regular expression (ECMAScript's and PCRE's common ground), taken in lower case, as
  // the reference quantizer does. Errors: kInvalidArgument, with what is wrong and where.
  static absl::StatusOr<NamePattern> Compile(std::string_view text);

  // Errors: kInvalidArgument when the bound on a match's work is reached.
  absl::StatusOr<bool> IsFoundIn(std::string_view name) const;

  const std::string& text() const { return text_; }

 private:
  struct Compiled;

  std::string text_;
  std::shared_ptr<const Compiled> compiled_;  // shared: patterns are copied with their options
};

}  // namespace quantized
