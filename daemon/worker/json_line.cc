#include "daemon/worker/json_line.h"

#include <nlohmann/json.hpp>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace quantized {

std::string JsonLogLine(std::string_view level, std::string_view component, std::string_view job,
                        int attempt, std::string_view message, JsonFields fields) {
  nlohmann::ordered_json line = {
      {"level", level},
      {"time", absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", absl::Now(), absl::UTCTimeZone())},
      {"component", component},
      {"job", job},
      {"attempt", attempt},
      {"message", message}};
  for (const auto& [key, value] : fields) line[std::string(key)] = value;
  return line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace quantized
