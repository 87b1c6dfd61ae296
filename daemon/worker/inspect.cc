#include "daemon/worker/inspect.h"

#include <cstdio>
#include <new>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "core/base/error.h"
#include "core/pipeline/inspect.h"
#include "daemon/worker/error_detail.h"
#include "daemon/worker/out_of_memory.h"

namespace quantized {
namespace {

absl::StatusOr<nlohmann::ordered_json> InspectOrOutOfMemory(std::string_view path) {
  try {
    return Inspect(path);
  } catch (const std::bad_alloc&) {
    return AllocationFailed();
  }
}

nlohmann::ordered_json ErrorObject(const absl::Status& status) {
  const v1::ErrorDetail detail = ErrorDetailOf(status);
  return {{"status", "error"},
          {"error_code", detail.exit_code()},
          {"error_type", detail.error_type()},
          {"message", detail.message()},
          {"suggestion", detail.suggestion()}};
}

}  // namespace

int RunInspect(std::string_view path) {
  const absl::StatusOr<nlohmann::ordered_json> model = InspectOrOutOfMemory(path);
  const nlohmann::ordered_json& object = model.ok() ? *model : ErrorObject(model.status());
  // Names in a model file may be no UTF-8.
  const std::string text =
      object.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  const bool printed = std::puts(text.c_str()) >= 0 && std::fflush(stdout) == 0;
  if (!model.ok()) return RowOf(ErrorOf(model.status())).exit_code;
  return printed ? 0 : RowOf(Error::kIo).exit_code;
}

}  // namespace quantized
