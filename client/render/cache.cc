#include "client/render/cache.h"

#include <fmt/format.h>

#include <vector>

#include "client/render/json_access.h"
#include "client/render/text.h"

namespace quantized {
namespace {

constexpr size_t kShownOfCommit = 7;  // as git does

std::string Row(std::string_view key, std::string_view value) {
  return fmt::format("{}: {}\n", key, Printable(value));
}

// "main,v1.0".
std::string RevisionsOf(const Json& snapshot) {
  std::vector<std::string> names;
  for (const Json& name : ListAt(snapshot, "revisions")) {
    if (name.is_string()) names.push_back(Printable(name.get<std::string>()));
  }
  return names.empty() ? "-" : fmt::format("{}", fmt::join(names, ","));
}

// "5 hours", "12 days".
std::string Unused(uint64_t hours) {
  constexpr uint64_t kHoursOfDay = 24;
  if (hours < 2 * kHoursOfDay) return fmt::format("{} hour{}", hours, hours == 1 ? "" : "s");
  return fmt::format("{} days", hours / kHoursOfDay);
}

std::string FilesAndBytes(const Json& answer, std::string_view bytes_key) {
  const uint64_t files = CountAt(answer, "files");
  return fmt::format("{} file{}, {}", files, files == 1 ? "" : "s",
                     FormatBytes(CountAt(answer, bytes_key)));
}

std::string RowsOf(std::string_view key, const Json::array_t& texts) {
  std::string rows;
  for (const Json& text : texts) {
    if (text.is_string()) rows += Row(key, text.get_ref<const std::string&>());
  }
  return rows;
}

}  // namespace

std::string HumanCacheList(std::string_view answer) {
  const Json cache = ParsedJson(answer);
  std::vector<std::vector<std::string>> rows = {
      {"MODEL", "REVISION", "COMMIT", "FILES", "SIZE", "UNUSED FOR"}};
  uint64_t size_bytes = 0;
  for (const Json& model : ListAt(cache, "models")) {
    const std::string name = Printable(TextAt(model, "model_name"));
    const uint64_t incomplete_bytes = CountAt(model, "incomplete_bytes");
    size_bytes += CountAt(model, "size_bytes") + incomplete_bytes;
    for (const Json& snapshot : ListAt(model, "snapshots")) {
      rows.push_back({name, RevisionsOf(snapshot),
                      Printable(TextAt(snapshot, "commit").substr(0, kShownOfCommit)),
                      std::to_string(CountAt(snapshot, "files")),
                      FormatBytes(CountAt(snapshot, "size_bytes")),
                      Unused(CountAt(snapshot, "unused_hours"))});
    }
    if (incomplete_bytes > 0) {
      rows.push_back({name, "incomplete", "-", "-", FormatBytes(incomplete_bytes), "-"});
    }
  }
  return (rows.size() > 1 ? AlignedRows(rows) : "") +
         Row("Cache", fmt::format("{} ({})", TextAt(cache, "path"), FormatBytes(size_bytes)));
}

std::string HumanCacheVerify(std::string_view answer) {
  const Json verified = ParsedJson(answer);
  return Row("Cache", TextAt(verified, "path")) +
         Row("Verified", FilesAndBytes(verified, "size_bytes")) +
         RowsOf("Removed", ListAt(verified, "removed"));
}

std::string HumanCachePrune(std::string_view answer) {
  const Json pruned = ParsedJson(answer);
  return Row("Cache", TextAt(pruned, "path")) + Row("Freed", FilesAndBytes(pruned, "freed_bytes")) +
         RowsOf("Removed", ListAt(pruned, "snapshots"));
}

}  // namespace quantized
