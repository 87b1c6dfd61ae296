#include "daemon/worker/levels.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "core/pipeline/directory_plan.h"
#include "core/quantize/levels.h"
#include "daemon/answer/json_answer.h"

namespace quantized {

int RunLevels() {
  using Json = nlohmann::ordered_json;
  return PrintAnswer([]() -> absl::StatusOr<Json> {
    Json levels;
    for (const Recipe& recipe : AllRecipes()) levels["gguf"].push_back(recipe.name);
    for (const PackedMethod method : {PackedMethod::kAwq, PackedMethod::kGptq}) {
      Json& names = levels[NameOf(method)];
      for (const BitLevel& level : BitLevelsOf(method)) names.push_back(level.name);
    }
    return Json{{"status", "levels"}, {"levels", std::move(levels)}};
  });
}

}  // namespace quantized
