// Fuzz target: the journal of a checkpoint. Lines of the input get a right check, which no mutation
// would find, but those that begin with '!', which are taken as they are. Beyond not crashing, what
// was read keeps the promises: no unit twice, no more synced than there are, and the same again
// when it is written and read.
#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_set>

#include "core/base/check.h"
#include "core/pipeline/journal.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace quantized;
  constexpr std::string_view kJob = "fuzz";
  std::string_view input(reinterpret_cast<const char*>(data), size);
  std::string text;
  while (!input.empty()) {
    const size_t length = std::min(input.find('\n'), input.size());
    const std::string_view line = input.substr(0, length);
    input.remove_prefix(std::min(length + 1, input.size()));
    text += line.starts_with('!') ? std::string(line.substr(1)) + '\n' : JournalLine(kJob, line);
  }
  const auto journal = ParseJournal(text, kJob);
  if (!journal.ok()) return 0;
  CHECK(journal->synced_units <= journal->units.size());
  std::unordered_set<uint64_t> seen;
  for (const UnitRecord& unit : journal->units) CHECK(seen.insert(unit.index).second);
  const auto again = ParseJournal(CompleteJournal(kJob, journal->units), kJob);
  CHECK(again.ok() && again->units == journal->units);
  CHECK(again->synced_units == journal->units.size());
  return 0;
}
