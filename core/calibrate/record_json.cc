#include "core/calibrate/record_json.h"

#include <algorithm>
#include <vector>

#include "core/base/error.h"
#include "core/base/str_cat.h"

namespace quantized {
namespace {

using Json = nlohmann::ordered_json;
using Event = Json::parse_event_t;

constexpr int kMaxDepth = 64;
constexpr uint64_t kMaxValues = uint64_t{1} << 22;
// Looking a name up takes time by their number.
constexpr uint64_t kMaxMembers = 256;

absl::Status Wrong(std::string_view found, std::string_view expected) {
  return MakeError(Error::kValidationFailed, StrCat("found ", found, ", expected ", expected));
}

// Counts what a parse has seen; false once it is more than a bound.
class Bounds {
 public:
  bool Look(int depth, Event event) {
    const auto level = static_cast<size_t>(std::max(depth, 0));
    if (depth > kMaxDepth)
      fault_ = Wrong("deeper nesting", StrCat("at most ", kMaxDepth, " levels"));
    if (event == Event::object_start) {
      members_.resize(std::max(members_.size(), level + 2));
      members_[level + 1] = 0;
    }
    if (event == Event::key && level < members_.size() && ++members_[level] > kMaxMembers) {
      fault_ = Wrong("an object of more members", StrCat("at most ", kMaxMembers));
    }
    if (event != Event::key && ++values_ > kMaxValues) {
      fault_ = Wrong("more values in one record", StrCat("at most ", kMaxValues));
    }
    return fault_.ok();
  }
  void NextRecord() { values_ = 0; }
  const absl::Status& fault() const { return fault_; }

 private:
  absl::Status fault_;
  uint64_t values_ = 0;
  std::vector<uint64_t> members_;  // of the open objects, by depth
};

// Finds where JSON ends to be JSON.
struct ErrorPlace : nlohmann::json_sax<Json> {
  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(size_t) override { return true; }
  bool key(string_t&) override { return true; }
  bool end_object() override { return true; }
  bool start_array(size_t) override { return true; }
  bool end_array() override { return true; }
  bool parse_error(size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    byte = position;
    return false;
  }
  size_t byte = 0;
};

absl::Status SyntaxError(std::string_view text) {
  ErrorPlace place;
  Json::sax_parse(text, &place);
  const size_t byte = std::min(place.byte, text.size());
  const auto line =
      1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(byte), '\n');
  const std::string where = line > 1 ? StrCat(" (line ", line, " of the text)") : "";
  if (place.byte > text.size())
    return Wrong("its end after " + StrCat(text.size(), " bytes"), "more JSON");
  return Wrong(StrCat("bad syntax at byte ", byte, where), "JSON");
}

}  // namespace

absl::StatusOr<Json> ParseRecord(std::string_view text) {
  Bounds bounds;
  Json value = Json::parse(
      text, [&](int depth, Event event, Json&) { return bounds.Look(depth, event); },
      /*allow_exceptions=*/false);
  if (!bounds.fault().ok()) return bounds.fault();
  if (value.is_discarded()) return SyntaxError(text);
  return value;
}

absl::Status ForEachRecord(std::string_view text,
                           const std::function<absl::Status(const Json&)>& use) {
  Bounds bounds;
  absl::Status used;
  // Items of the outer array have depth 1 and are thrown away once they are used. The callback's
  // false keeps the parser from storing them.
  const Json rest = Json::parse(
      text,
      [&](int depth, Event event, Json& value) {
        if (!used.ok() || !bounds.Look(depth, event)) return false;
        const bool ends =
            event == Event::value || event == Event::object_end || event == Event::array_end;
        if (depth != 1 || !ends) return true;
        used = use(value);
        bounds.NextRecord();
        return false;
      },
      /*allow_exceptions=*/false);
  if (!used.ok()) return used;
  if (!bounds.fault().ok()) return bounds.fault();
  if (rest.is_discarded()) return SyntaxError(text);
  return absl::OkStatus();
}

}  // namespace quantized
