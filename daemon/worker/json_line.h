// One event of a log as one JSON object: level, time (UTC, microseconds), component, job, attempt,
// message and further fields. Any text may go in; it is escaped, and bytes that are no UTF-8 are
// replaced. The daemon's log and the workers' have the same form.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace quantized {

using JsonFields = std::initializer_list<std::pair<std::string_view, std::string_view>>;

// Without the line's end.
std::string JsonLogLine(std::string_view level, std::string_view component, std::string_view job,
                        int attempt, std::string_view message, JsonFields fields = {});

}  // namespace quantized
