// Reads the files that hold calibration data: .txt, .json, .jsonl. What is taken for a document in
// each: docs/design/calibration-data.md, "Files".
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace quantized {

// An array of objects, each with a text `role`; with `content` that is a text, null or an array
// of {"type": "text", "text": …}; and with whatever else the record has, for the chat template.
struct ChatMessages {
  nlohmann::ordered_json messages;
};

using TokenIds = std::vector<uint32_t>;

struct CalibrationDocument {
  std::variant<std::string, ChatMessages, TokenIds> content;  // not empty
  std::string place;                                          // "line 3", "record 3": from 1
};

struct CalibrationDocuments {
  std::string name;  // of the file, without its folder
  std::vector<CalibrationDocument> documents;
  std::vector<std::string> warnings;  // of records without text, which are left out
};

enum class CalibrationFormat {
  kText,       // blank lines between documents
  kJson,       // an array of records, or one record, or one record on each line
  kJsonLines,  // one record on each line
};

// The form is told by the name's end (.txt .json .jsonl); no more than a few times the file's size
// is allocated. Errors: kInvalidArgument when there is no such file or its name ends otherwise;
// kIo; kValidationFailed, naming file, place, field, found and expected, for all that is not in the
// form, and where no document is left.
absl::StatusOr<CalibrationDocuments> ReadCalibrationFile(const std::filesystem::path& path);

// The same from memory; `name` is what errors call it.
absl::StatusOr<CalibrationDocuments> ParseCalibrationDocuments(std::string_view text,
                                                               std::string_view name,
                                                               CalibrationFormat format);

}  // namespace quantized
