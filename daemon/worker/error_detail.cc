#include "daemon/worker/error_detail.h"

#include <string>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/text.h"

namespace quantized {

v1::ErrorDetail ErrorDetailOf(const absl::Status& status) {
  CHECK(!status.ok());
  const ErrorRow& row = RowOf(ErrorOf(status));
  v1::ErrorDetail detail;
  detail.set_error(static_cast<int>(row.error));
  detail.set_exit_code(row.exit_code);
  detail.set_error_type(std::string(row.error_type));
  detail.set_message(
      PrintableText(std::string_view(status.message().data(), status.message().size())));
  detail.set_suggestion(PrintableText(SuggestionOf(status)));
  return detail;
}

}  // namespace quantized
