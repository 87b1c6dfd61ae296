#include "daemon/answer/json_answer.h"

#include <cstdio>
#include <new>
#include <string>

#include "core/base/error.h"
#include "core/base/text.h"

namespace quantized {
namespace {

using Json = nlohmann::ordered_json;

absl::StatusOr<Json> AskOrOutOfMemory(const std::function<absl::StatusOr<Json>()>& ask) {
  try {
    return ask();
  } catch (const std::bad_alloc&) {
    return MakeError(Error::kOutOfMemory, "an allocation failed",
                     "Free memory, then give the same command again");
  }
}

Json ErrorObject(const absl::Status& status) {
  const ErrorRow& row = RowOf(ErrorOf(status));
  return {{"status", "error"},
          {"error_code", row.exit_code},
          {"error_type", row.error_type},
          {"message", PrintableText({status.message().data(), status.message().size()})},
          {"suggestion", PrintableText(SuggestionOf(status))}};
}

}  // namespace

int PrintAnswer(const std::function<absl::StatusOr<Json>()>& ask) {
  const absl::StatusOr<Json> answer = AskOrOutOfMemory(ask);
  const Json& object = answer.ok() ? *answer : ErrorObject(answer.status());
  // Names in a model file may be no UTF-8.
  const std::string text = object.dump(2, ' ', false, Json::error_handler_t::replace);
  const bool printed = std::puts(text.c_str()) >= 0 && std::fflush(stdout) == 0;
  if (!answer.ok()) return RowOf(ErrorOf(answer.status())).exit_code;
  return printed ? 0 : RowOf(Error::kIo).exit_code;
}

}  // namespace quantized
