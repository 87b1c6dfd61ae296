#include "core/quantize/selection_options.h"

#include <cmath>
#include <limits>

#include "absl/strings/numbers.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "kernels/codecs/codec.h"

namespace quantized {
namespace {

using kernels::QuantType;
using kernels::TypeId;

constexpr size_t kMaxText = 127;

std::string EncodableTypes() {
  std::string names;
  for (const kernels::Codec& codec : kernels::AllCodecs()) {
    StrAppend(&names, names.empty() ? "" : ", ", kernels::QuantTypeOf(codec.id).name);
  }
  return names;
}

absl::Status BadOverride(std::string_view text, std::string_view what) {
  return MakeError(Error::kInvalidArgument, StrCat("--override-kv '", text, "': ", what),
                   "Use KEY=int:N, KEY=float:X, KEY=bool:true, KEY=bool:false or KEY=str:TEXT");
}

// The value of an override, without its kind. Nothing where it is none of this kind.
std::optional<gguf::Value> ParseValue(std::string_view kind, const std::string& text) {
  if (kind == "int") {
    int64_t value = 0;
    if (!absl::SimpleAtoi(text, &value)) return std::nullopt;
    const uint64_t magnitude =
        value < 0 ? uint64_t{0} - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
    if (magnitude > std::numeric_limits<uint32_t>::max()) return std::nullopt;
    return gguf::Value(static_cast<uint32_t>(magnitude));
  }
  if (kind == "float") {
    double value = 0;
    if (!absl::SimpleAtod(text, &value) || !std::isfinite(static_cast<float>(value))) {
      return std::nullopt;
    }
    return gguf::Value(static_cast<float>(value));
  }
  if (kind == "bool") {
    if (text != "true" && text != "false") return std::nullopt;
    return gguf::Value(text == "true");
  }
  if (text.size() > kMaxText) return std::nullopt;
  return gguf::Value(text);
}

}  // namespace

absl::StatusOr<TypeId> ParseTensorType(std::string_view option, std::string_view name) {
  const QuantType* type = kernels::FindQuantType(name);
  if (type != nullptr && kernels::FindCodec(type->id) != nullptr) return type->id;
  return MakeError(Error::kInvalidArgument,
                   StrCat(option, ": '", name, "' is no type that tensors can be encoded in"),
                   StrCat("Use one of ", EncodableTypes()));
}

absl::StatusOr<TensorTypeOverride> ParseTensorTypeOverride(std::string_view text) {
  // The last one: a pattern may hold the sign.
  const size_t sign = text.rfind('=');
  if (sign == std::string_view::npos || sign == 0 || sign + 1 == text.size()) {
    return MakeError(Error::kInvalidArgument,
                     StrCat("--tensor-type '", text, "': expected REGEX=TYPE"),
                     "For example --tensor-type attn_v=Q8_0");
  }
  ASSIGN_OR_RETURN(NamePattern pattern, NamePattern::Compile(text.substr(0, sign)));
  ASSIGN_OR_RETURN(const TypeId type, ParseTensorType("--tensor-type", text.substr(sign + 1)));
  return TensorTypeOverride{std::move(pattern), type};
}

absl::StatusOr<gguf::Metadata::Entry> ParseMetadataOverride(std::string_view text) {
  const size_t sign = text.find('=');
  if (sign == std::string_view::npos || sign == 0 || sign > kMaxText) {
    return BadOverride(text, StrCat("expected a key of 1 to ", kMaxText, " bytes before '='"));
  }
  const size_t colon = text.find(':', sign);
  const std::string_view kind =
      colon == std::string_view::npos ? "" : text.substr(sign + 1, colon - sign - 1);
  for (const std::string_view known : {"int", "float", "bool", "str"}) {
    if (kind != known) continue;
    std::optional<gguf::Value> value = ParseValue(kind, std::string(text.substr(colon + 1)));
    if (!value) {
      return BadOverride(text, StrCat("'", text.substr(colon + 1), "' is no ", kind,
                                      kind == "str" ? " of at most 127 bytes" : " that fits"));
    }
    return gguf::Metadata::Entry{std::string(text.substr(0, sign)), *std::move(value)};
  }
  return BadOverride(text, "expected int:, float:, bool: or str: after '='");
}

}  // namespace quantized
