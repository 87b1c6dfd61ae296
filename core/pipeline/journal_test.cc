#include "core/pipeline/journal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/base/error.h"

namespace quantized {
namespace {

using ::testing::ElementsAreArray;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::string_view kJob =
    "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

const std::vector<UnitRecord> kUnits = {
    {3, 4096, 512, 0xfedcba9876543210}, {0, 32, 64, 1}, {18446744073709551615u, 1, 0, 0}};

std::string WithUnits(size_t count) {
  std::string text = JournalHeader(kJob);
  for (size_t i = 0; i < count; ++i) text += JournalUnit(kJob, kUnits[i]);
  return text;
}

TEST(JournalTest, ReadsBackWhatWasWritten) {
  const auto contents = ParseJournal(CompleteJournal(kJob, kUnits), kJob);
  ASSERT_TRUE(contents.ok()) << contents.status();
  EXPECT_THAT(contents->units, ElementsAreArray(kUnits));
  EXPECT_EQ(contents->synced_units, kUnits.size());
}

TEST(JournalTest, NothingAtAllIsAnEmptyJournal) {
  for (const std::string& text :
       {std::string(), JournalHeader(kJob), JournalHeader(kJob).substr(0, 9)}) {
    const auto contents = ParseJournal(text, kJob);
    ASSERT_TRUE(contents.ok()) << contents.status();
    EXPECT_THAT(contents->units, IsEmpty());
  }
}

TEST(JournalTest, UnitsAfterTheMarkAreNotSynced) {
  const std::string text = WithUnits(2) + JournalSyncedMark(kJob, 1) + JournalUnit(kJob, kUnits[2]);
  const auto contents = ParseJournal(text, kJob);
  ASSERT_TRUE(contents.ok()) << contents.status();
  EXPECT_EQ(contents->units.size(), 3u);
  EXPECT_EQ(contents->synced_units, 1u);
}

// A crash may cut the journal anywhere: what is left are the first units.
TEST(JournalTest, CutAnywhereGivesAPrefix) {
  const std::string text = WithUnits(1) + JournalSyncedMark(kJob, 1) + JournalUnit(kJob, kUnits[1]);
  size_t units = 0;
  for (size_t size = 0; size <= text.size(); ++size) {
    const auto contents = ParseJournal(text.substr(0, size), kJob);
    ASSERT_TRUE(contents.ok()) << size << ": " << contents.status();
    ASSERT_GE(contents->units.size(), units) << size;
    units = contents->units.size();
    for (size_t i = 0; i < units; ++i) ASSERT_EQ(contents->units[i], kUnits[i]) << size;
  }
  EXPECT_EQ(units, 2u);
}

// A changed byte is damage before the mark, and the end of the journal after it; never another
// unit.
TEST(JournalTest, EachChangedByteIsNoticed) {
  const std::string before = WithUnits(2);
  const std::string mark = JournalSyncedMark(kJob, 2);
  const std::string text = before + mark + JournalUnit(kJob, kUnits[2]);
  for (size_t i = 0; i < text.size(); ++i) {
    std::string changed = text;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    const auto contents = ParseJournal(changed, kJob);
    // Without the end of its line the last unit takes the mark with it, and nothing is promised.
    const bool promised = i + 1 < before.size();
    ASSERT_EQ(contents.ok(), !promised) << i;
    if (promised) {
      EXPECT_EQ(ErrorOf(contents.status()), Error::kCheckpoint) << i;
      EXPECT_THAT(std::string(contents.status().message()), HasSubstr("journal line")) << i;
    } else {
      ASSERT_LE(contents->units.size(), 2u) << i;
      for (size_t u = 0; u < contents->units.size(); ++u) {
        ASSERT_EQ(contents->units[u], kUnits[u]) << i;
      }
    }
  }
}

TEST(JournalTest, LinesOfAnotherJobDoNotCheck) {
  const auto contents = ParseJournal(CompleteJournal(kJob, kUnits), "another");
  ASSERT_TRUE(contents.ok()) << contents.status();
  EXPECT_THAT(contents->units, IsEmpty());
}

TEST(JournalTest, ImpossibleLinesAreDamage) {
  for (const auto& [text, what] :
       {std::pair{WithUnits(1) + JournalSyncedMark(kJob, 2), "counts 2 units, found 1"},
        std::pair{WithUnits(1) + JournalUnit(kJob, kUnits[0]), "unit 3 comes twice"},
        std::pair{JournalUnit(kJob, kUnits[0]), "is not the start"}}) {
    const auto contents = ParseJournal(text, kJob);
    ASSERT_FALSE(contents.ok()) << what;
    EXPECT_EQ(ErrorOf(contents.status()), Error::kCheckpoint);
    EXPECT_THAT(std::string(contents.status().message()), HasSubstr(what));
  }
}

}  // namespace
}  // namespace quantized
