#include "client/commands/output_name.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "absl/strings/ascii.h"
#include "client/commands/formats.h"
#include "core/base/error.h"

namespace quantized {
namespace {

constexpr std::string_view kSuffix = ".gguf";

std::string UpperCase(std::string_view text) {
  std::string upper(text);
  std::transform(upper.begin(), upper.end(), upper.begin(),
                 [](unsigned char c) { return std::toupper(c); });
  return upper;
}

bool EndsWithIgnoringCase(std::string_view text, std::string_view upper_suffix) {
  return text.size() > upper_suffix.size() &&
         UpperCase(text.substr(text.size() - upper_suffix.size())) == upper_suffix;
}

bool IsSplitNumber(std::string_view text) {  // "-00001-of-00003"
  constexpr std::string_view kPattern = "-#####-of-#####";
  if (text.size() != kPattern.size()) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool fits = kPattern[i] == '#' ? std::isdigit(static_cast<unsigned char>(text[i])) != 0
                                         : text[i] == kPattern[i];
    if (!fits) return false;
  }
  return true;
}

std::string StemOfGguf(std::string stem) {
  constexpr size_t kSplitNumberSize = 15;
  if (stem.size() > kSplitNumberSize &&
      IsSplitNumber(std::string_view(stem).substr(stem.size() - kSplitNumberSize))) {
    stem.resize(stem.size() - kSplitNumberSize);
  }
  for (const std::string_view type : {"-BF16", "-F16", "-F32"}) {
    if (EndsWithIgnoringCase(stem, type)) {
      stem.resize(stem.size() - type.size());
      break;
    }
  }
  return stem;
}

}  // namespace

std::string AutoOutputName(const std::filesystem::path& model_path, std::string_view level,
                           std::string_view format) {
  std::string model = model_path.filename();
  if (model_path.extension() == kSuffix) model = StemOfGguf(model_path.stem());
  if (model.empty()) model = "model";  // the root folder
  if (format == kGguf) return fmt::format("{}-{}{}", model, UpperCase(level), kSuffix);
  return fmt::format("{}-{}-{}", model, format, absl::AsciiStrToLower(std::string(level)));
}

absl::StatusOr<std::string> GivenOutputName(std::string_view name, std::string_view format) {
  if (name.find('/') != std::string_view::npos || name == "." || name == "..") {
    return MakeError(Error::kInvalidArgument,
                     fmt::format("option '--output-name': '{}' is not a file name", name),
                     "Name the folder with --output-dir");
  }
  const bool complete = format != kGguf || EndsWithIgnoringCase(name, UpperCase(kSuffix));
  return fmt::format("{}{}", name, complete ? "" : kSuffix);
}

}  // namespace quantized
