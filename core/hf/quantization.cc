#include "core/hf/quantization.h"

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <utility>

#include "absl/strings/ascii.h"
#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"
#include "core/hf/json_file.h"

namespace quantized {
namespace {

using nlohmann::json;

constexpr uint64_t kMaxBytes = 16 << 20;
constexpr const char* kMethod = "quant_method";

// Files beside config.json, and whose they are where they do not say it.
struct FileRow {
  std::string_view name, method;
};
constexpr FileRow kFiles[] = {{"quantize_config.json", "gptq"}, {"quant_config.json", "awq"}};

const json* Present(const json& object, const char* name) {
  const auto found = object.find(name);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

bool IsTrue(const json& object, const char* name) {
  const json* value = Present(object, name);
  return value != nullptr && value->is_boolean() && value->get<bool>();
}

bool HasNumber(const json& object, std::initializer_list<const char*> names) {
  return std::ranges::any_of(names, [&](const char* name) {
    const json* value = Present(object, name);
    return value != nullptr && value->is_number();
  });
}

HfQuantization Made(json fields, std::string_view default_method, std::string place) {
  HfQuantization made = {.fields = std::move(fields), .place = std::move(place)};
  if (!made.fields.is_object()) return made;
  if (Present(made.fields, kMethod) == nullptr) made.fields[kMethod] = default_method;
  const json& method = made.fields[kMethod];
  if (method.is_string()) made.method = absl::AsciiStrToLower(method.get_ref<const std::string&>());
  return made;
}

}  // namespace

std::optional<HfQuantization> QuantizationIn(const json& fields) {
  if (const json* found = Present(fields, "quantization_config")) {
    const bool is_bitsandbytes =
        found->is_object() && (IsTrue(*found, "load_in_4bit") || IsTrue(*found, "load_in_8bit"));
    return Made(*found, is_bitsandbytes ? "bitsandbytes" : "gptq",
                "config.json: quantization_config");
  }
  if (const json* found = Present(fields, "compression_config")) {
    return Made(*found, "compressed-tensors", "config.json: compression_config");
  }
  return std::nullopt;
}

absl::StatusOr<std::optional<HfQuantization>> QuantizationBeside(
    const std::filesystem::path& directory) {
  for (const FileRow& file : kFiles) {
    const std::filesystem::path path = directory / file.name;
    if (!Exists(path)) continue;
    ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMaxBytes));
    absl::StatusOr<json> fields = ParseJson(text, path.string());
    if (!fields.ok()) {
      return MakeError(Error::kValidationFailed, std::string(fields.status().message()),
                       "Mend the file, or remove it where another program left it");
    }
    if (!fields->is_object() || !HasNumber(*fields, {"bits", "w_bit"}) ||
        !HasNumber(*fields, {"group_size", "q_group_size"})) {
      continue;
    }
    HfQuantization made = Made(*std::move(fields), file.method, std::string(file.name));
    made.is_beside = true;
    return made;
  }
  return std::nullopt;
}

}  // namespace quantized
