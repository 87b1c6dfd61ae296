#include "core/pipeline/journal.h"

#include <xxhash.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <unordered_set>

#include "absl/strings/str_format.h"
#include "core/base/error.h"
#include "core/base/str_cat.h"

namespace quantized {
namespace {

constexpr std::string_view kMagic = "llm-quantize-journal 1";
constexpr size_t kCheckDigits = 16;

// The line without its check, where that is right.
std::optional<std::string_view> BodyOf(std::string_view line, std::string_view fingerprint) {
  if (line.size() < kCheckDigits + 2) return std::nullopt;
  const std::string_view body = line.substr(0, line.size() - kCheckDigits - 2);
  if (JournalLine(fingerprint, body) != line) return std::nullopt;
  return body;
}

// The numbers after the first word: decimal, but the last of a unit is hexadecimal.
bool ReadNumbers(std::string_view text, std::span<uint64_t* const> numbers, int base_of_last) {
  for (size_t i = 0; i < numbers.size(); ++i) {
    if (!text.starts_with(' ')) return false;
    text.remove_prefix(1);
    const int base = i + 1 == numbers.size() ? base_of_last : 10;
    const auto [end, error] =
        std::from_chars(text.data(), text.data() + text.size(), *numbers[i], base);
    if (error != std::errc()) return false;
    text.remove_prefix(static_cast<size_t>(end - text.data()));
  }
  return text.empty();
}

absl::Status Damaged(size_t line, std::string_view what) {
  return MakeError(Error::kCheckpoint, StrCat("journal line ", line + 1, ": ", what));
}

}  // namespace

std::string JournalLine(std::string_view fingerprint, std::string_view body) {
  const uint64_t seed = XXH64(fingerprint.data(), fingerprint.size(), 0);
  return absl::StrFormat("%s %016x\n", body, XXH64(body.data(), body.size(), seed));
}

std::string JournalHeader(std::string_view fingerprint) {
  return JournalLine(fingerprint, StrCat(kMagic, " ", fingerprint));
}

std::string JournalUnit(std::string_view fingerprint, const UnitRecord& unit) {
  return JournalLine(fingerprint, absl::StrFormat("unit %d %d %d %016x", unit.index, unit.offset,
                                                  unit.size_bytes, unit.hash));
}

std::string JournalSyncedMark(std::string_view fingerprint, size_t synced_units) {
  return JournalLine(fingerprint, StrCat("synced ", synced_units));
}

std::string CompleteJournal(std::string_view fingerprint, std::span<const UnitRecord> units) {
  std::string text = JournalHeader(fingerprint);
  for (const UnitRecord& unit : units) text += JournalUnit(fingerprint, unit);
  return text + JournalSyncedMark(fingerprint, units.size());
}

absl::StatusOr<JournalContents> ParseJournal(std::string_view text, std::string_view fingerprint) {
  // The body of each line; nothing where the check is wrong or the end of the line is missing.
  std::vector<std::optional<std::string_view>> lines;
  size_t last_mark = 0;  // lines before this one must be whole
  while (!text.empty()) {
    const size_t length = std::min(text.find('\n'), text.size() - 1) + 1;
    lines.push_back(BodyOf(text.substr(0, length), fingerprint));
    if (lines.back() && lines.back()->starts_with("synced")) last_mark = lines.size() - 1;
    text.remove_prefix(length);
  }

  JournalContents contents;
  std::unordered_set<uint64_t> seen;
  for (size_t i = 0; i < lines.size(); ++i) {
    if (!lines[i]) {
      if (i < last_mark) return Damaged(i, "damaged, its check sum is wrong");
      break;
    }
    const std::string_view body = *lines[i];
    if (i == 0) {
      if (!body.starts_with(kMagic)) return Damaged(i, "is not the start of a journal");
    } else if (body.starts_with("unit")) {
      UnitRecord unit;
      uint64_t* const numbers[] = {&unit.index, &unit.offset, &unit.size_bytes, &unit.hash};
      if (!ReadNumbers(body.substr(4), numbers, 16)) return Damaged(i, "is not a unit");
      if (!seen.insert(unit.index).second) {
        return Damaged(i, StrCat("unit ", unit.index, " comes twice"));
      }
      contents.units.push_back(unit);
    } else if (body.starts_with("synced")) {
      uint64_t count = 0;
      uint64_t* const numbers[] = {&count};
      if (!ReadNumbers(body.substr(6), numbers, 10)) return Damaged(i, "is not a mark");
      if (count > contents.units.size()) {
        return Damaged(i, StrCat("counts ", count, " units, found ", contents.units.size()));
      }
      contents.synced_units = std::max<size_t>(contents.synced_units, count);
    } else {
      return Damaged(i, "is of an unknown kind");
    }
  }
  return contents;
}

}  // namespace quantized
