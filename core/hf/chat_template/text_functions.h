// What filters and methods alike do to texts. Letters are told from others in ASCII only: Python's
// rules for the rest are a table of their own.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "core/hf/chat_template/call.h"
#include "core/hf/chat_template/value.h"

namespace quantized::jinja {

bool IsAscii(std::string_view text);

// Whether `a` stands before `b` when capital letters count as small ones. For ASCII.
bool BeforeWithoutCase(std::string_view a, std::string_view b);

// upper, lower, capitalize or title, as `how` says. Charges nothing: the caller has charged for
// `text`. Errors: kValidationFailed where `text` is not ASCII.
absl::StatusOr<Value> ChangeCase(std::string_view how, std::string text);

// `text` with `to` for each `from`, as str.replace. Charges for `text` and for all that is put in.
// Errors: kValidationFailed where `from` is empty, or no work is left.
absl::StatusOr<Value> Replace(const std::string& text, const std::string& from,
                              const std::string& to, Work& work);

}  // namespace quantized::jinja
