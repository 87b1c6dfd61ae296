#include "core/hf/tokenizer/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/hf/tokenizer/file_error.h"
#include "core/hf/tokenizer/oniguruma_pattern.h"
#include "core/hf/tokenizer/unicode.h"

namespace quantized::tokenizer {
namespace {

constexpr size_t kMaxPatternBytes = 64 * 1024;
// Backtracking steps of one match attempt. The patterns of known tokenizers step a few times over
// the longest run of one kind of character, so the bound grows with the subject.
constexpr uint32_t kMatchSteps = 100'000;
constexpr uint32_t kMatchStepsPerByte = 16;
constexpr uint32_t kHeapKib = 64 * 1024;

std::string PcreMessage(int code) {
  PCRE2_UCHAR buffer[256];
  pcre2_get_error_message(code, buffer, sizeof(buffer));
  return reinterpret_cast<const char*>(buffer);
}

struct FreeMatchData {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};
struct FreeMatchContext {
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};
struct FreeCompileContext {
  void operator()(pcre2_compile_context* context) const { pcre2_compile_context_free(context); }
};

}  // namespace

struct Regex::Compiled {
  explicit Compiled(pcre2_code* c) : code(c) {}
  Compiled(const Compiled&) = delete;
  Compiled& operator=(const Compiled&) = delete;
  ~Compiled() { pcre2_code_free(code); }
  pcre2_code* code;
};

Regex::Regex() = default;
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;
Regex::~Regex() = default;

absl::StatusOr<Regex> Regex::Compile(std::string_view pattern) {
  if (pattern.size() > kMaxPatternBytes) {
    return MakeError(Error::kValidationFailed,
                     StrCat("regular expression of ", pattern.size(), " bytes, expected at most ",
                            kMaxPatternBytes));
  }
  if (const auto bad = FindInvalidUtf8(pattern)) {
    return MakeError(Error::kValidationFailed,
                     StrCat("regular expression is not UTF-8 at offset ", *bad));
  }
  ASSIGN_OR_RETURN(const std::string translated, TranslateOnigurumaPattern(pattern));
  const std::unique_ptr<pcre2_compile_context, FreeCompileContext> context(
      pcre2_compile_context_create(nullptr));
  CHECK(context != nullptr);
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  PCRE2_SIZE error_offset = 0;
  pcre2_code* code =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error,
                    &error_offset, context.get());
  if (code == nullptr) {
    return MakeError(Error::kValidationFailed,
                     StrCat("regular expression ", Quoted(pattern), ": ", PcreMessage(error)));
  }
  pcre2_jit_compile(code,
                    PCRE2_JIT_COMPLETE);  // where it is not to be had, the interpreter matches
  Regex regex;
  regex.compiled_ = std::make_unique<Compiled>(code);
  regex.text_ = pattern;
  return regex;
}

Regex Regex::Literal(std::string_view text) {
  CHECK(!text.empty());
  Regex regex;
  regex.text_ = text;
  return regex;
}

absl::StatusOr<std::vector<Regex::Match>> Regex::FindAll(std::string_view subject) const {
  std::vector<Match> matches;
  if (compiled_ == nullptr) {
    for (size_t at = subject.find(text_); at != std::string_view::npos;
         at = subject.find(text_, at + text_.size())) {
      matches.push_back({at, at + text_.size()});
    }
    return matches;
  }
  const std::unique_ptr<pcre2_match_data, FreeMatchData> data(pcre2_match_data_create(1, nullptr));
  const std::unique_ptr<pcre2_match_context, FreeMatchContext> context(
      pcre2_match_context_create(nullptr));
  CHECK(data != nullptr && context != nullptr);
  const uint64_t steps = kMatchSteps + uint64_t{kMatchStepsPerByte} * subject.size();
  pcre2_set_match_limit(context.get(),
                        static_cast<uint32_t>(std::min<uint64_t>(steps, UINT32_MAX)));
  pcre2_set_heap_limit(context.get(), kHeapKib);
  bool interpret = false;
  size_t at = 0;
  while (at <= subject.size()) {
    const int result = pcre2_match(
        compiled_->code, reinterpret_cast<PCRE2_SPTR>(subject.data()), subject.size(), at,
        PCRE2_NO_UTF_CHECK | (interpret ? PCRE2_NO_JIT : 0U), data.get(), context.get());
    if (result == PCRE2_ERROR_NOMATCH) break;
    if (result == PCRE2_ERROR_JIT_STACKLIMIT && !interpret) {
      interpret = true;
      continue;
    }
    if (result < 0) {
      return MakeError(Error::kValidationFailed,
                       StrCat("regular expression ", Quoted(text_), " on a text of ",
                              subject.size(), " bytes: ", PcreMessage(result)));
    }
    const PCRE2_SIZE* offsets = pcre2_get_ovector_pointer(data.get());
    const Match match = {offsets[0], offsets[1]};
    const bool empty = match.begin >= match.end;
    if (!empty || matches.empty() || matches.back().end != match.end) matches.push_back(match);
    at = match.end;
    if (empty) {
      if (at >= subject.size()) break;
      NextCodePoint(subject, &at);
    }
  }
  return matches;
}

}  // namespace quantized::tokenizer
