#include "daemon/worker/conversions.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "core/pipeline/conversion.h"
#include "daemon/answer/json_answer.h"

namespace quantized {

int RunConversions() {
  using Json = nlohmann::ordered_json;
  return PrintAnswer([]() -> absl::StatusOr<Json> {
    Json rows = Json::array();
    for (const ConversionRow& row : AllConversions()) {
      rows.push_back({{"from", row.from},
                      {"to", row.to},
                      {"default_level", row.default_level},
                      {"exact", row.exact},
                      {"otherwise", row.otherwise}});
    }
    return Json{{"status", "conversions"}, {"conversions", std::move(rows)}};
  });
}

}  // namespace quantized
