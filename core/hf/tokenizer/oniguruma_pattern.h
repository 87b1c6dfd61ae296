// Tokenizer files hold regular expressions in Oniguruma's Ruby syntax; we match with PCRE2. This
// translates the one into the other where they differ in meaning: \s \w \d \h \b and their
// opposites (Unicode properties of other extent), \p{…} names, ^ $ and the option m, intervals that
// a + or ? follows, \uHHHH. Differences: docs/design/tokenizers.md, "Regular expressions".
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace quantized::tokenizer {

// The PCRE2 pattern (for PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE) that matches what `pattern`
// matches in Oniguruma. Errors: kValidationFailed for constructs that PCRE2 would read otherwise
// and that no known tokenizer uses (set operations inside brackets, \W in brackets, verbs, …); the
// message names the construct and its offset.
absl::StatusOr<std::string> TranslateOnigurumaPattern(std::string_view pattern);

}  // namespace quantized::tokenizer
