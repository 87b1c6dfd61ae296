#include "client/commands/gguf_options.h"

#include <fmt/format.h>

#include <filesystem>
#include <limits>
#include <string>
#include <system_error>
#include <vector>

#include "absl/strings/str_split.h"
#include "client/commands/model_argument.h"
#include "client/commands/option_value.h"
#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"

namespace quantized {
namespace {

// A type for each tensor of a large model, with long names.
constexpr uint64_t kMaxTensorTypeFileBytes = 256 << 10;

absl::Status OptionError(std::string_view option, std::string_view problem) {
  return MakeError(Error::kInvalidArgument, fmt::format("option '{}': {}", option, problem));
}

bool IsTensorType(std::string_view text) {
  const size_t equals = text.find('=');
  return equals != std::string_view::npos && equals > 0 && equals + 1 < text.size();
}

absl::Status AddTensorTypes(const Values& values, v1::GgufOptions& options) {
  for (const std::string& one : values.Texts("--tensor-type")) {
    if (!IsTensorType(one)) {
      return OptionError("--tensor-type", fmt::format("'{}' is not REGEX=TYPE", one));
    }
    options.add_tensor_types(one);
  }
  if (!values.Has("--tensor-type-file")) return absl::OkStatus();
  const std::string& path = values.Text("--tensor-type-file");
  const absl::StatusOr<std::string> text = ReadFile(path, kMaxTensorTypeFileBytes);
  if (!text.ok()) return OptionError("--tensor-type-file", std::string(text.status().message()));
  for (const absl::string_view one :
       absl::StrSplit(*text, absl::ByAnyChar(" \t\r\n\v\f"), absl::SkipEmpty())) {
    if (!IsTensorType(std::string_view(one.data(), one.size()))) {
      return OptionError("--tensor-type-file",
                         fmt::format("'{}' in {} is not REGEX=TYPE", std::string(one), path));
    }
    options.add_tensor_types(std::string(one));
  }
  return absl::OkStatus();
}

absl::Status AddPrunedLayers(const std::string& text, v1::GgufOptions& options) {
  for (const std::string& one : std::vector<std::string>(absl::StrSplit(text, ','))) {
    uint32_t layer = 0;
    if (!ParseNumber(one, layer)) {
      return OptionError("--prune-layers", fmt::format("'{}' is not the number of a layer", one));
    }
    options.add_prune_layers(layer);
  }
  return absl::OkStatus();
}

absl::Status CheckOverride(const std::string& text) {
  const size_t equals = text.find('=');
  const size_t colon = equals == std::string::npos ? equals : text.find(':', equals);
  if (equals > 0 && colon != std::string::npos) {
    const std::string_view type = std::string_view(text).substr(equals + 1, colon - equals - 1);
    for (const std::string_view known : {"int", "float", "bool", "str"}) {
      if (type == known) return absl::OkStatus();
    }
  }
  return OptionError(
      "--override-kv",
      fmt::format("'{}' is not KEY=TYPE:VALUE with int, float, bool or str as TYPE", text));
}

absl::StatusOr<uint64_t> ParseSplitSize(std::string_view text) {
  const uint64_t unit = text.ends_with('M') ? 1'000'000 : text.ends_with('G') ? 1'000'000'000 : 0;
  uint64_t count = 0;
  const bool fits = unit > 0 && ParseNumber(text.substr(0, text.size() - 1), count) && count > 0 &&
                    count <= std::numeric_limits<uint64_t>::max() / unit;
  if (!fits) {
    return OptionError("--split-max-size", fmt::format("'{}' is not a size like 500M or 2G", text));
  }
  return count * unit;
}

}  // namespace

absl::StatusOr<v1::GgufOptions> GgufOptionsOf(const Values& values) {
  v1::GgufOptions options;
  for (const std::string& path : values.Texts("--imatrix")) {
    std::error_code error;
    if (!std::filesystem::is_regular_file(path, error)) {
      return OptionError("--imatrix", fmt::format("'{}' is no file", path));
    }
    options.add_imatrix_paths(AbsolutePath(path));
    options.add_imatrix_names(path);
  }
  if (values.Has("--imatrix-out")) {
    options.set_imatrix_out_path(AbsolutePath(values.Text("--imatrix-out")));
    options.set_imatrix_out_name(values.Text("--imatrix-out"));
  }
  options.set_measure_importance(values.Has("--calibration-data") ||
                                 (values.Has("--imatrix-out") && options.imatrix_paths().empty()));
  for (const std::string& name : values.Texts("--include-weights")) {
    options.add_include_weights(name);
  }
  for (const std::string& name : values.Texts("--exclude-weights")) {
    options.add_exclude_weights(name);
  }
  RETURN_IF_ERROR(AddTensorTypes(values, options));
  options.set_output_tensor_type(values.Text("--output-tensor-type"));
  options.set_token_embedding_type(values.Text("--token-embedding-type"));
  options.set_leave_output_tensor(values.Flag("--leave-output-tensor"));
  options.set_pure(values.Flag("--pure"));
  if (values.Has("--prune-layers")) {
    RETURN_IF_ERROR(AddPrunedLayers(values.Text("--prune-layers"), options));
  }
  for (const std::string& one : values.Texts("--override-kv")) {
    RETURN_IF_ERROR(CheckOverride(one));
    options.add_override_kv(one);
  }
  options.set_keep_split(values.Flag("--keep-split"));
  if (values.Has("--split-max-size")) {
    ASSIGN_OR_RETURN(const uint64_t bytes, ParseSplitSize(values.Text("--split-max-size")));
    options.set_split_max_bytes(bytes);
  }
  options.set_allow_requantize(values.Flag("--allow-requantize"));
  return options;
}

}  // namespace quantized
