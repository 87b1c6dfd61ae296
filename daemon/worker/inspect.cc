#include "daemon/worker/inspect.h"

#include "core/pipeline/inspect.h"
#include "daemon/answer/json_answer.h"

namespace quantized {

int RunInspect(std::string_view path) {
  return PrintAnswer([&] { return Inspect(path); });
}

}  // namespace quantized
