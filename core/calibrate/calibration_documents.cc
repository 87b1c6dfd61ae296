#include "core/calibrate/calibration_documents.h"

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <utility>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/calibrate/record_json.h"
#include "core/hf/json_file.h"
#include "core/hf/tokenizer/unicode.h"
#include "core/tensor/byte_source.h"
#include "core/tensor/text.h"

namespace quantized {
namespace {

using Json = nlohmann::ordered_json;

constexpr uint64_t kMaxFileBytes = uint64_t{256} << 20;
constexpr std::string_view kExpectedKeys =
    "text, content, prompt, messages, conversations or input_ids";

absl::Status Wrong(std::string_view field, std::string_view found, std::string_view expected) {
  return MakeError(Error::kValidationFailed,
                   StrCat(field, ": found ", found, ", expected ", expected),
                   "see --help for the forms of calibration data");
}

// A value for a message: its kind, and its text where that is short.
std::string Found(const Json& value) {
  if (value.is_array()) return StrCat("an array of ", value.size());
  if (value.is_object()) return StrCat("an object of ", value.size());
  if (value.is_string()) return "a string";
  return JsonText(nlohmann::json(value));
}

uint64_t LineOf(std::string_view text, size_t at) {
  return 1 + static_cast<uint64_t>(
                 std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at), '\n'));
}

bool IsBlank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n\f\v") == std::string_view::npos;
}

// --- records ---

// The member of that name, unless it is null, as data sets with several columns have it.
const Json* Member(const Json& record, const char* name) {
  const auto it = record.find(name);
  return it == record.end() || it->is_null() ? nullptr : &*it;
}

absl::StatusOr<std::string> TextMember(const Json& value, std::string_view name) {
  if (!value.is_string()) return Wrong(name, Found(value), "a string");
  return value.get<std::string>();
}

// What ShareGPT's `from` calls a role in other words.
struct RoleRow {
  std::string_view from, role;
};
constexpr RoleRow kRoles[] = {
    {"human", "user"},          {"user", "user"},        {"gpt", "assistant"},
    {"chatgpt", "assistant"},   {"bing", "assistant"},   {"bard", "assistant"},
    {"assistant", "assistant"}, {"model", "assistant"},  {"system", "system"},
    {"tool", "tool"},           {"observation", "tool"}, {"function_response", "tool"}};

// {"from": …, "value": …} as {"role": …, "content": …}.
absl::Status RenameShareGpt(Json& message, const std::string& field) {
  if (message.contains("role") || !message.contains("from")) return absl::OkStatus();
  const Json* value = Member(message, "value");
  if (value == nullptr) return Wrong(field + ".value", "nothing", "a string");
  const Json& from = message["from"];
  const auto row = std::find_if(std::begin(kRoles), std::end(kRoles), [&](const RoleRow& r) {
    return from.is_string() && from.get_ref<const std::string&>() == r.from;
  });
  if (row == std::end(kRoles)) {
    return Wrong(field + ".from",
                 from.is_string()
                     ? StrCat("\"", PrintableName(from.get_ref<const std::string&>()), "\"")
                     : Found(from),
                 "human, gpt, system or tool");
  }
  Json renamed = Json::object();
  renamed["role"] = std::string(row->role);
  renamed["content"] = *value;
  message = std::move(renamed);
  return absl::OkStatus();
}

absl::Status CheckContent(const Json& message, const std::string& field) {
  const Json* content = Member(message, "content");
  if (content == nullptr || content->is_string()) return absl::OkStatus();
  if (!content->is_array()) return Wrong(field + ".content", Found(*content), "a string");
  for (size_t i = 0; i < content->size(); ++i) {
    const Json& part = (*content)[i];
    const bool text = part.is_object() && part.contains("type") && part["type"] == "text" &&
                      part.contains("text") && part["text"].is_string();
    if (!text) {
      return Wrong(StrCat(field, ".content[", i, "]"), Found(part),
                   "a part of type text: other kinds calibrate no language model");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<ChatMessages> MessagesOf(const Json& value, std::string_view name) {
  if (!value.is_array()) return Wrong(name, Found(value), "an array of messages");
  ChatMessages chat{value};
  for (size_t i = 0; i < chat.messages.size(); ++i) {
    Json& message = chat.messages[i];
    const std::string field = StrCat(name, "[", i, "]");
    if (!message.is_object()) return Wrong(field, Found(message), "an object");
    RETURN_IF_ERROR(RenameShareGpt(message, field));
    const Json* role = Member(message, "role");
    if (role == nullptr || !role->is_string()) {
      return Wrong(field + ".role", role == nullptr ? "nothing" : Found(*role), "a string");
    }
    RETURN_IF_ERROR(CheckContent(message, field));
  }
  return chat;
}

absl::StatusOr<TokenIds> IdsOf(const Json& value) {
  if (!value.is_array()) return Wrong("input_ids", Found(value), "an array of ids");
  TokenIds ids;
  ids.reserve(value.size());
  for (const Json& id : value) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() > UINT32_MAX) {
      return Wrong(StrCat("input_ids[", ids.size(), "]"), Found(id),
                   "an id, a whole number from 0 to 4294967295");
    }
    ids.push_back(id.get<uint32_t>());
  }
  return ids;
}

// prompt and completion: two texts, or two parts of a conversation.
absl::StatusOr<CalibrationDocument> PromptOf(const Json& record, const Json& prompt) {
  const Json* completion = Member(record, "completion");
  CalibrationDocument document;
  if (prompt.is_array()) {
    Json all = prompt;
    if (completion != nullptr) {
      if (!completion->is_array()) return Wrong("completion", Found(*completion), "an array");
      all.insert(all.end(), completion->begin(), completion->end());
    }
    ASSIGN_OR_RETURN(document.content, MessagesOf(all, "prompt"));
    return document;
  }
  ASSIGN_OR_RETURN(std::string text, TextMember(prompt, "prompt"));
  if (completion != nullptr) {
    ASSIGN_OR_RETURN(const std::string more, TextMember(*completion, "completion"));
    text += more;
  }
  document.content = std::move(text);
  return document;
}

absl::StatusOr<CalibrationDocument> DocumentOf(const Json& record) {
  CalibrationDocument document;
  if (record.is_string()) {
    document.content = record.get<std::string>();
    return document;
  }
  if (!record.is_object()) return Wrong("the record", Found(record), "a string or an object");
  for (const char* name : {"text", "content"}) {
    const Json* value = Member(record, name);
    if (value == nullptr) continue;
    ASSIGN_OR_RETURN(document.content, TextMember(*value, name));
    return document;
  }
  if (const Json* prompt = Member(record, "prompt")) return PromptOf(record, *prompt);
  for (const char* name : {"messages", "conversations"}) {
    const Json* value = Member(record, name);
    if (value == nullptr) continue;
    ASSIGN_OR_RETURN(document.content, MessagesOf(*value, name));
    return document;
  }
  if (const Json* ids = Member(record, "input_ids")) {
    ASSIGN_OR_RETURN(document.content, IdsOf(*ids));
    return document;
  }
  std::string names;
  for (const auto& [name, value] : record.items()) {
    if (names.size() > 100) break;
    names += StrCat(names.empty() ? "" : ", ", PrintableName(name));
  }
  return Wrong("the record", names.empty() ? "no keys" : StrCat("the keys ", names), kExpectedKeys);
}

bool HasContent(const CalibrationDocument& document) {
  if (const auto* text = std::get_if<std::string>(&document.content)) return !IsBlank(*text);
  if (const auto* chat = std::get_if<ChatMessages>(&document.content)) {
    return !chat->messages.empty();
  }
  return !std::get<TokenIds>(document.content).empty();
}

// Collects the documents of one file; errors get the file's name and the record's place.
class Collector {
 public:
  explicit Collector(std::string_view name) { result_.name = name; }

  absl::Status Add(const Json& record, std::string place) {
    ASSIGN_OR_RETURN(CalibrationDocument document, DocumentOf(record),
                     << result_.name << ": " << place);
    Add(std::move(document), std::move(place));
    return absl::OkStatus();
  }
  void Add(CalibrationDocument document, std::string place) {
    if (!HasContent(document)) {
      ++empty_;
      return;
    }
    document.place = std::move(place);
    result_.documents.push_back(std::move(document));
  }

  absl::StatusOr<CalibrationDocuments> Finish() && {
    if (result_.documents.empty()) {
      return MakeError(Error::kValidationFailed,
                       StrCat(result_.name, ": found ", empty_, " records without text, expected ",
                              "one document at least"),
                       "give a file with text in it");
    }
    if (empty_ > 0) {
      result_.warnings.push_back(
          StrCat(result_.name, ": ", empty_, " records have no text and are left out"));
    }
    return std::move(result_);
  }

 private:
  CalibrationDocuments result_;
  uint64_t empty_ = 0;
};

// --- files ---

absl::StatusOr<CalibrationDocuments> ParseText(std::string_view text, Collector collector) {
  CalibrationDocument document;
  std::string body;
  uint64_t line = 0, first_line = 1;
  const auto close = [&] {
    if (!IsBlank(body)) {
      document.content = std::exchange(body, std::string());
      collector.Add(std::move(document), StrCat("line ", first_line));
    }
    body.clear();
  };
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    std::string_view content = text.substr(at, end - at);
    if (content.ends_with('\r')) content.remove_suffix(1);
    at = end + 1;
    ++line;
    if (IsBlank(content)) {
      close();
      continue;
    }
    if (body.empty()) {
      first_line = line;
    } else {
      body += '\n';
    }
    body += content;
  }
  close();
  return std::move(collector).Finish();
}

absl::StatusOr<CalibrationDocuments> ParseLines(std::string_view text, std::string_view name,
                                                Collector collector) {
  uint64_t line = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view content = text.substr(at, end - at);
    at = end + 1;
    ++line;
    if (IsBlank(content)) continue;
    const std::string place = StrCat("line ", line);
    ASSIGN_OR_RETURN(const Json record, ParseRecord(content), << name << ": " << place);
    RETURN_IF_ERROR(collector.Add(record, place));
  }
  return std::move(collector).Finish();
}

absl::StatusOr<CalibrationDocuments> ParseJsonText(std::string_view text, std::string_view name,
                                                   Collector collector) {
  const size_t start = text.find_first_not_of(" \t\r\n");
  if (start != std::string_view::npos && text[start] == '[') {
    uint64_t number = 0;
    absl::Status used;
    const absl::Status parsed = ForEachRecord(text, [&](const Json& record) {
      return used = collector.Add(record, StrCat("record ", ++number));
    });
    RETURN_IF_ERROR(used);
    RETURN_IF_ERROR(parsed) << name << ": behind record " << number;
    return std::move(collector).Finish();
  }
  // Data sets are published as .json with an object on each line, too.
  const size_t end =
      std::min(text.find('\n', start == std::string_view::npos ? 0 : start), text.size());
  if (end < text.size() && start != std::string_view::npos &&
      ParseRecord(text.substr(start, end - start)).ok()) {
    return ParseLines(text, name, std::move(collector));
  }
  ASSIGN_OR_RETURN(const Json record, ParseRecord(text), << name);
  RETURN_IF_ERROR(collector.Add(record, "record 1"));
  return std::move(collector).Finish();
}

absl::Status CheckText(std::string_view text, std::string_view name) {
  const auto source = MemoryBytes(name, std::as_bytes(std::span(text)));
  ASSIGN_OR_RETURN(const bool is_pointer, IsGitLfsPointer(*source));
  if (is_pointer) return GitLfsPointerError(*source, "calibration data");
  if (IsBlank(text)) {
    return MakeError(Error::kValidationFailed,
                     StrCat(name, ": found no text in its ", text.size(), " bytes, expected some"),
                     "give a file with text in it");
  }
  std::optional<size_t> bad = tokenizer::FindInvalidUtf8(text);
  std::string_view found = "bytes that are not UTF-8";
  if (const size_t zero = text.find('\0');
      zero != std::string_view::npos && (!bad || zero < *bad)) {
    bad = zero;
    found = "a zero byte";
  }
  if (!bad.has_value()) return absl::OkStatus();
  return MakeError(Error::kValidationFailed,
                   StrCat(name, ": line ", LineOf(text, *bad), ", byte ", *bad, ": found ", found,
                          ", expected text in UTF-8"),
                   "convert the file to UTF-8");
}

std::optional<CalibrationFormat> FormatOf(const std::filesystem::path& path) {
  const std::string extension = path.extension();
  if (extension == ".txt") return CalibrationFormat::kText;
  if (extension == ".json") return CalibrationFormat::kJson;
  if (extension == ".jsonl") return CalibrationFormat::kJsonLines;
  return std::nullopt;
}

}  // namespace

absl::StatusOr<CalibrationDocuments> ParseCalibrationDocuments(std::string_view text,
                                                               std::string_view name,
                                                               CalibrationFormat format) {
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  RETURN_IF_ERROR(CheckText(text, name));
  Collector collector(name);
  switch (format) {
    case CalibrationFormat::kText:
      return ParseText(text, std::move(collector));
    case CalibrationFormat::kJson:
      return ParseJsonText(text, name, std::move(collector));
    case CalibrationFormat::kJsonLines:
      break;
  }
  return ParseLines(text, name, std::move(collector));
}

absl::StatusOr<CalibrationDocuments> ReadCalibrationFile(const std::filesystem::path& path) {
  const std::optional<CalibrationFormat> format = FormatOf(path);
  if (!format.has_value()) {
    return MakeError(
        Error::kInvalidArgument,
        StrCat("calibration data ", path.string(), ": found a name that ends in \"",
               PrintableName(path.extension().string()), "\", expected .txt, .json or .jsonl"),
        "rename the file by what it holds");
  }
  absl::StatusOr<std::string> text = ReadFile(path, kMaxFileBytes);
  if (!text.ok() && ErrorOf(text.status()) == Error::kModelNotFound) {
    return MakeError(Error::kInvalidArgument,
                     StrCat("calibration data ", path.string(), ": no such file"),
                     "check the path given with --calibration-data");
  }
  RETURN_IF_ERROR(text.status()) << "reading calibration data";
  return ParseCalibrationDocuments(*text, path.filename().string(), *format);
}

}  // namespace quantized
