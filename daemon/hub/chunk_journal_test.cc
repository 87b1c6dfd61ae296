#include "daemon/hub/chunk_journal.h"

#include <fstream>

#include "daemon/hub/hub_test.h"

namespace quantized {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class ChunkJournalTest : public ::testing::Test {
 protected:
  ChunkJournal Open(ChunkJournal::Key key = {.hash = "abc", .size_bytes = 95, .chunk_bytes = 10}) {
    auto journal = ChunkJournal::Open(path(), key);
    EXPECT_TRUE(journal.ok()) << journal.status();
    return *std::move(journal);
  }
  std::filesystem::path path() const { return folder_.path() / "journal"; }
  std::string Text() const { return *ReadFile(path(), 1 << 20); }
  void Write(const std::string& text) { std::ofstream(path()) << text; }

  testing::TempDir folder_;
};

TEST_F(ChunkJournalTest, RemembersChunksOfThisBoot) {
  {
    ChunkJournal journal = Open();
    EXPECT_THAT(journal.chunks(), IsEmpty());
    for (const size_t chunk : {3, 0, 9}) EXPECT_TRUE(journal.Add(chunk).ok());
  }
  ChunkJournal journal = Open();
  EXPECT_THAT(journal.chunks(), ElementsAre(3, 0, 9));
  EXPECT_EQ(journal.received_bytes(), 25u);  // the last chunk is half of one
  EXPECT_TRUE(journal.Reset().ok());
  EXPECT_THAT(Open().chunks(), IsEmpty());
}

TEST_F(ChunkJournalTest, RemembersPartsUntilTheChunkIsIn) {
  {
    ChunkJournal journal = Open();
    EXPECT_TRUE(journal.AddPart(3, 2).ok());
    EXPECT_TRUE(journal.AddPart(3, 4).ok());
    EXPECT_TRUE(journal.AddPart(0, 5).ok());
    EXPECT_TRUE(journal.Add(3).ok());
    EXPECT_EQ(journal.received_bytes(), 15u);
  }
  for (int time = 0; time < 2; ++time) {
    EXPECT_EQ(ChunkJournal::PeekBytes(path(), {.hash = "abc", .size_bytes = 95, .chunk_bytes = 10}),
              15u);
    const ChunkJournal journal = Open();
    EXPECT_THAT(journal.chunks(), ElementsAre(3));
    EXPECT_THAT(journal.parts(), ElementsAre(std::pair(0, 5)));
  }
  ChunkJournal journal = Open();
  EXPECT_TRUE(journal.Reset().ok());
  EXPECT_THAT(Open().parts(), IsEmpty());
}

TEST_F(ChunkJournalTest, OfAnotherBootOnlyWhatWasSynced) {
  {
    ChunkJournal journal = Open();
    for (const size_t chunk : {3, 0}) EXPECT_TRUE(journal.Add(chunk).ok());
    EXPECT_TRUE(journal.AddPart(5, 5).ok());
    EXPECT_TRUE(journal.Synced(2).ok());
    EXPECT_TRUE(journal.Add(9).ok());
  }
  std::string text = Text();
  const size_t boot = text.find('\n') - 36;
  Write(text.replace(boot, 36, "00000000-0000-0000-0000-000000000000"));
  EXPECT_THAT(Open().chunks(), ElementsAre(3, 0));
  EXPECT_THAT(Open().parts(), IsEmpty());
}

// However often a download is taken up before the machine stops.
TEST_F(ChunkJournalTest, WhatWasSyncedStaysSo) {
  {
    ChunkJournal journal = Open();
    for (const size_t chunk : {3, 0}) EXPECT_TRUE(journal.Add(chunk).ok());
    EXPECT_TRUE(journal.Synced(2).ok());
  }
  {
    ChunkJournal journal = Open();
    EXPECT_TRUE(journal.Add(9).ok());
  }
  for (int boot = 0; boot < 2; ++boot) {
    std::string text = Text();
    const size_t at = text.find('\n') - 36;
    Write(text.replace(at, 36, "00000000-0000-0000-0000-000000000000"));
    EXPECT_THAT(Open().chunks(), ElementsAre(3, 0));
  }
}

// A second name of the old file shows that it was replaced and not emptied.
TEST_F(ChunkJournalTest, IsWrittenAfreshInPlaceOfTheOld) {
  EXPECT_TRUE(Open().Add(7).ok());
  const std::filesystem::path old = folder_.path() / "old";
  std::filesystem::create_hard_link(path(), old);
  const std::string before = Text();
  ChunkJournal journal = Open();
  EXPECT_TRUE(journal.Add(8).ok());
  EXPECT_EQ(*ReadFile(old, 1 << 20), before);
  EXPECT_THAT(Open().chunks(), ElementsAre(7, 8));
}

TEST_F(ChunkJournalTest, AnotherFilesJournalIsNone) {
  EXPECT_TRUE(Open().Add(1).ok());
  EXPECT_THAT(Open({.hash = "abd", .size_bytes = 95, .chunk_bytes = 10}).chunks(), IsEmpty());
  EXPECT_TRUE(Open().Add(1).ok());
  EXPECT_THAT(Open({.hash = "abc", .size_bytes = 95, .chunk_bytes = 20}).chunks(), IsEmpty());
}

TEST_F(ChunkJournalTest, ReadsAsFarAsItCan) {
  { Open(); }
  const std::string first = Text();
  for (const std::string bad :
       {"chunk 10\n", "chunk -1\n", "chunk\n", "chunk 1\n", "synced 7\n", "nonsense\n", "chunk 2",
        "\n", "chunk 2 3\n", "part 2\n", "part 2 3 4\n", "part 2 10\n", "part 9 5\n", "part 10 1\n",
        "part 1 5\n", "part 2 -1\n", "part 2 99999999999999999999\n", "synced 1 1\n"}) {
    Write(first + "chunk 1\n" + bad + "chunk 4\n");
    EXPECT_THAT(Open().chunks(), ElementsAre(1)) << bad;
    EXPECT_THAT(Open().parts(), IsEmpty()) << bad;
  }
  Write(first + "etag \"x y\"\nchunk 1\n");
  EXPECT_THAT(Open().chunks(), ElementsAre(1));
  for (const std::string& text : {std::string(), std::string("x"), std::string("\n\n\n"),
                                  first.substr(0, first.size() - 1)}) {
    Write(text);
    EXPECT_THAT(Open().chunks(), IsEmpty());
  }
}

}  // namespace
}  // namespace quantized
