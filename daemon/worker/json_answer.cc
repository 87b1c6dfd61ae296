#include "daemon/worker/json_answer.h"

#include <cstdio>
#include <new>
#include <string>

#include "core/base/error.h"
#include "daemon/worker/error_detail.h"
#include "daemon/worker/out_of_memory.h"

namespace quantized {
namespace {

using Json = nlohmann::ordered_json;

absl::StatusOr<Json> AskOrOutOfMemory(const std::function<absl::StatusOr<Json>()>& ask) {
  try {
    return ask();
  } catch (const std::bad_alloc&) {
    return AllocationFailed();
  }
}

Json ErrorObject(const absl::Status& status) {
  const v1::ErrorDetail detail = ErrorDetailOf(status);
  return {{"status", "error"},
          {"error_code", detail.exit_code()},
          {"error_type", detail.error_type()},
          {"message", detail.message()},
          {"suggestion", detail.suggestion()}};
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
