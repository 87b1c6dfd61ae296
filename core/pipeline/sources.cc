#include "core/pipeline/sources.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <string>

#include "absl/strings/str_join.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"

namespace quantized {
namespace {

kernels::TypeId ConversionType(const Recipe& recipe) {
  return recipe.is_float() ? recipe.default_type : kernels::TypeId::kF32;
}

// Code and suggestion of the first, the messages of all, so that a user mends them all at once.
absl::Status AllInOne(const std::vector<absl::Status>& errors) {
  const std::string message = absl::StrJoin(
      errors, "; ",
      [](std::string* text, const absl::Status& error) { absl::StrAppend(text, error.message()); });
  return MakeError(ErrorOf(errors.front()), message, SuggestionOf(errors.front()));
}

}  // namespace

absl::StatusOr<std::vector<const Recipe*>> RecipesOf(const QuantizeRequest& request) {
  if (request.outputs.empty()) {
    return MakeError(Error::kInvalidArgument, "no quantization level is given");
  }
  std::vector<const Recipe*> recipes;
  std::map<const Recipe*, std::string> names;
  std::vector<absl::Status> errors;
  for (const OutputRequest& output : request.outputs) {
    const absl::StatusOr<const Recipe*> recipe = FindRecipe(output.level);
    if (!recipe.ok()) {
      errors.push_back(recipe.status());
      continue;
    }
    recipes.push_back(*recipe);
    if (const auto [other, added] = names.emplace(*recipe, output.level); !added) {
      errors.push_back(MakeError(
          Error::kInvalidArgument,
          StrCat("'", other->second, "' and '", output.level, "' are the same quantization level"),
          "Leave out one of them"));
    }
  }
  if (!errors.empty()) return AllInOne(errors);

  std::set<std::filesystem::path> paths;
  for (const OutputRequest& output : request.outputs) {
    if (!paths.insert(output.path.lexically_normal()).second) {
      return MakeError(Error::kInvalidArgument,
                       StrCat("two levels would be written to ", output.path.string()),
                       "Leave out the output name: each level gets a name of its own");
    }
  }
  return recipes;
}

absl::Status ModelSources::Open(const QuantizeRequest& request,
                                const std::vector<const Recipe*>& recipes) {
  blocks_ = request.conversion.blocks;
  for (const Recipe* recipe : recipes) {
    if (!sources_.empty() && !sources_[0].second->is_conversion()) break;
    const kernels::TypeId type = blocks_.value_or(ConversionType(*recipe));
    const bool is_open = std::any_of(sources_.begin(), sources_.end(),
                                     [type](const auto& source) { return source.first == type; });
    if (is_open) continue;
    ASSIGN_OR_RETURN(
        std::unique_ptr<ModelSource> source,
        OpenModelSource(request.model_path, {.conversion_type = type,
                                             .may_be_packed = request.conversion.is_wanted,
                                             .pre_tokenizer = request.pre_tokenizer}));
    sources_.emplace_back(type, std::move(source));
  }
  return absl::OkStatus();
}

const ModelSource& ModelSources::Of(const Recipe& recipe) const {
  const kernels::TypeId type = blocks_.value_or(ConversionType(recipe));
  for (const auto& [conversion_type, source] : sources_) {
    if (conversion_type == type) return *source;
  }
  return *sources_.at(0).second;
}

}  // namespace quantized
