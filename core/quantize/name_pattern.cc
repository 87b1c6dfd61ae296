#include "core/quantize/name_pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "absl/strings/ascii.h"
#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/str_cat.h"

namespace quantized {
namespace {

constexpr size_t kMaxLength = 1024;
constexpr uint32_t kMaxSteps = 100'000;  // of a match; a name has 63 bytes at most

std::string MessageOf(int code) {
  PCRE2_UCHAR text[256];
  if (pcre2_get_error_message(code, text, sizeof(text)) < 0) return StrCat("error ", code);
  return reinterpret_cast<const char*>(text);
}

}  // namespace

struct NamePattern::Compiled {
  pcre2_code* code = nullptr;
  pcre2_match_context* context = nullptr;
  ~Compiled() {
    pcre2_match_context_free(context);
    pcre2_code_free(code);
  }
};

absl::StatusOr<NamePattern> NamePattern::Compile(std::string_view text) {
  if (text.empty() || text.size() > kMaxLength) {
    return MakeError(Error::kInvalidArgument, StrCat("tensor name pattern: has ", text.size(),
                                                     " bytes, expected 1 to ", kMaxLength));
  }
  NamePattern pattern;
  pattern.text_ = absl::AsciiStrToLower(absl::string_view(text.data(), text.size()));
  auto compiled = std::make_shared<Compiled>();
  int error = 0;
  PCRE2_SIZE at = 0;
  compiled->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.text_.data()),
                                 pattern.text_.size(), 0, &error, &at, nullptr);
  if (compiled->code == nullptr) {
    return MakeError(Error::kInvalidArgument, StrCat("tensor name pattern '", text,
                                                     "': ", MessageOf(error), " at byte ", at));
  }
  compiled->context = pcre2_match_context_create(nullptr);
  CHECK(compiled->context != nullptr);
  pcre2_set_match_limit(compiled->context, kMaxSteps);
  pcre2_set_depth_limit(compiled->context, kMaxSteps);
  pattern.compiled_ = std::move(compiled);
  return pattern;
}

absl::StatusOr<bool> NamePattern::IsFoundIn(std::string_view name) const {
  pcre2_match_data* data = pcre2_match_data_create(1, nullptr);
  CHECK(data != nullptr);
  const int result = pcre2_match(compiled_->code, reinterpret_cast<PCRE2_SPTR>(name.data()),
                                 name.size(), 0, 0, data, compiled_->context);
  pcre2_match_data_free(data);
  if (result >= 0) return true;
  if (result == PCRE2_ERROR_NOMATCH) return false;
  return MakeError(
      Error::kInvalidArgument,
      StrCat("tensor name pattern '", text_, "': ", MessageOf(result), " at the name ", name),
      "Use a simpler pattern");
}

}  // namespace quantized
