#include "daemon/hub/cache_care.h"

#include <sys/fsuid.h>
#include <unistd.h>

#include <fstream>

#include "core/base/ids.h"
#include "daemon/hub/hub_test.h"
#include "tests/support/sandbox.h"

namespace quantized {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

namespace fs = std::filesystem;

// Whom permissions bind: this thread, where it is root's, opens files as somebody else, who owns
// what is below `folder`.
class AsOwner {
 public:
  explicit AsOwner(const fs::path& folder) {
    if (::geteuid() != 0) return;
    EXPECT_EQ(::lchown(folder.c_str(), kNobody, kNobody), 0);
    for (const auto& entry : fs::recursive_directory_iterator(folder)) {
      EXPECT_EQ(::lchown(entry.path().c_str(), kNobody, kNobody), 0);
    }
    ::setfsuid(kNobody);
  }
  ~AsOwner() { ::setfsuid(::geteuid()); }

 private:
  static constexpr uid_t kNobody = 65534;
};

class CacheCareTest : public HubTest {
 protected:
  CacheCareTest() : model_(Model("me/model")), hub_cache_(cache()) {
    server_.Add(model_);
    EXPECT_TRUE(FetchModel(Context(), id_).ok());
  }

  fs::path blobs() const { return hub_cache_.RepositoryPath(id_) / "blobs"; }

  testing::HubRepository model_;
  HubId id_{.name = "me/model"};
  HubCache hub_cache_;
};

TEST_F(CacheCareTest, Lists) {
  fs::create_directories(cache() / "datasets--me--data");
  fs::create_directories(cache() / "models--..");
  const auto listed = ListCache(hub_cache_);
  ASSERT_TRUE(listed.ok()) << listed.status();
  const std::vector<CachedRepository>& list = *listed;
  ASSERT_EQ(list.size(), 1u);
  EXPECT_EQ(list[0].name, "me/model");
  ASSERT_EQ(list[0].snapshots.size(), 1u);
  EXPECT_EQ(list[0].snapshots[0].commit, model_.Commit());
  EXPECT_THAT(list[0].snapshots[0].revisions, ElementsAre("main"));
  EXPECT_EQ(list[0].snapshots[0].files, 6u);
  EXPECT_EQ(list[0].snapshots[0].size_bytes, list[0].size_bytes);
  EXPECT_EQ(list[0].incomplete_bytes, 0u);
}

TEST_F(CacheCareTest, VerifyReportsAndRemovesOnDemand) {
  EXPECT_THAT(VerifyCache(hub_cache_, false, {})->wrong, IsEmpty());
  const fs::path blob = blobs() / model_.files["model-00001-of-00002.safetensors"].sha256;
  std::fstream(blob, std::ios::in | std::ios::out).write("wrong", 5);
  fs::remove(blobs() / model_.files["tokenizer.json"].blob_id);
  const fs::path broken = hub_cache_.SnapshotPath(id_, model_.Commit()) / "tokenizer.json";
  EXPECT_THAT(VerifyCache(hub_cache_, false, {})->wrong, ElementsAre(blob, broken));
  EXPECT_TRUE(fs::exists(blob));
  EXPECT_THAT(VerifyCache(hub_cache_, true, {})->wrong, ElementsAre(blob, broken));
  EXPECT_THAT(VerifyCache(hub_cache_, false, {})->wrong, IsEmpty());
  const auto again = FetchModel(Context(), id_);
  ASSERT_TRUE(again.ok()) << again.status();
  ExpectWhole(again->path, model_);
}

TEST_F(CacheCareTest, PruneRemovesWhatNobodyNeeds) {
  EXPECT_EQ(PruneCache(hub_cache_, {})->files, 0u);
  const std::string old = std::string(40, 'a'), busy = std::string(40, 'b');
  for (const std::string& name :
       {old, old + ".chunks.incomplete", old + ".chunks.journal", old + ".12345678.incomplete",
        busy + ".chunks.incomplete", std::string("something")}) {
    std::ofstream(blobs() / name) << "x";
  }
  const auto lock = CacheLock::Take(hub_cache_.LockPath(id_, busy), {});
  ASSERT_TRUE(lock.ok());
  EXPECT_EQ(PruneCache(hub_cache_, {})->files, 4u);
  EXPECT_FALSE(fs::exists(blobs() / old));
  EXPECT_TRUE(fs::exists(blobs() / (busy + ".chunks.incomplete")));
  EXPECT_TRUE(fs::exists(blobs() / "something"));
  EXPECT_THAT(VerifyCache(hub_cache_, false, {})->wrong, IsEmpty());
}

TEST_F(CacheCareTest, PruneByAge) {
  const fs::path snapshot = hub_cache_.SnapshotPath(id_, model_.Commit());
  EXPECT_THAT(PruneCache(hub_cache_, std::chrono::hours(24))->snapshots, IsEmpty());
  fs::last_write_time(snapshot, fs::file_time_type::clock::now() - std::chrono::hours(25));
  const auto pruned = PruneCache(hub_cache_, std::chrono::hours(24));
  EXPECT_THAT(pruned->snapshots, ElementsAre("me/model@" + model_.Commit()));
  EXPECT_EQ(pruned->files, 6u);
  EXPECT_FALSE(fs::exists(hub_cache_.RepositoryPath(id_)));
}

TEST(TemporaryNameTest, OnlyWhatIsMadeBesideItsPlace) {
  const std::string ulid = NewUlid();
  for (const std::string& name :
       {"main." + ulid + ".tmp", "main." + ulid + ".tmp.tmp", "a.b.json." + ulid + ".tmp"}) {
    EXPECT_TRUE(IsTemporaryName(name)) << name;
  }
  for (const std::string& name :
       {std::string("main"), std::string("main.tmp"), std::string(".tmp"), std::string(),
        "main." + ulid, ulid + ".tmp", "main." + ulid + ".txt", "main." + ulid + "0.tmp"}) {
    EXPECT_FALSE(IsTemporaryName(name)) << name;
  }
}

TEST_F(CacheCareTest, WhatAKilledProcessLeftCountsForNothingAndIsPruned) {
  const fs::path repository = hub_cache_.RepositoryPath(id_);
  const fs::path snapshot = hub_cache_.SnapshotPath(id_, model_.Commit());
  const std::string suffix = "." + NewUlid() + ".tmp";
  const auto leave = [&] {
    for (const fs::path& file :
         {repository / ("refs/main" + suffix), repository / ("refs/main" + suffix + ".tmp"),
          fs::path(hub_cache_.TreePath(id_, model_.Commit()).string() + suffix)}) {
      std::ofstream(file) << model_.Commit();
    }
    fs::create_symlink("../../blobs/nothing", snapshot / ("config.json" + suffix));
  };
  leave();
  const auto last_used = fs::file_time_type::clock::now() - std::chrono::hours(25);
  fs::last_write_time(snapshot, last_used);

  const auto listed = ListCache(hub_cache_);
  ASSERT_TRUE(listed.ok()) << listed.status();
  EXPECT_THAT((*listed)[0].snapshots[0].revisions, ElementsAre("main"));
  EXPECT_EQ((*listed)[0].snapshots[0].files, 6u);
  EXPECT_THAT(VerifyCache(hub_cache_, false, {})->wrong, IsEmpty());

  // A blob to which nothing else leads goes with its link.
  const fs::path blob = blobs() / std::string(40, 'a');
  std::ofstream(blob) << "x";
  fs::create_symlink(blob, snapshot / ("tokenizer.json" + suffix));
  fs::last_write_time(snapshot, last_used);
  EXPECT_EQ(PruneCache(hub_cache_, {})->files, 6u);
  EXPECT_FALSE(fs::exists(blob));
  for (const std::string& file : testing::FilesBelow(repository)) {
    EXPECT_FALSE(file.ends_with(".tmp")) << file;
  }
  ExpectWhole(snapshot, model_);

  // That was no use of the model; nor does what is left keep it.
  leave();
  fs::last_write_time(snapshot, last_used);
  EXPECT_EQ(PruneCache(hub_cache_, std::chrono::hours(26))->files, 4u);
  const auto pruned = PruneCache(hub_cache_, std::chrono::hours(24));
  EXPECT_THAT(pruned->snapshots, ElementsAre("me/model@" + model_.Commit()));
  EXPECT_FALSE(fs::exists(repository));
}

// A folder where the file should be lets it be written, but not renamed.
TEST_F(CacheCareTest, AWriteThatFailsLeavesNothing) {
  const HubId id{.name = "me/other"};
  const std::string commit(40, 'a');
  const RemoteFile file{.path = "config.json", .size_bytes = 1, .blob_id = std::string(40, 'b')};
  fs::create_directories(hub_cache_.RepositoryPath(id) / "refs/main");
  fs::create_directories(hub_cache_.TreePath(id, commit));
  fs::create_directories(hub_cache_.SnapshotPath(id, commit) / file.path);
  EXPECT_EQ(ErrorOf(hub_cache_.WriteRef(id, commit)), Error::kIo);
  EXPECT_EQ(ErrorOf(hub_cache_.WriteTree(id, {.commit = commit, .files = {file}})), Error::kIo);
  EXPECT_EQ(ErrorOf(hub_cache_.Link(id, commit, file)), Error::kIo);
  EXPECT_THAT(testing::FilesBelow(hub_cache_.RepositoryPath(id)), IsEmpty());
}

// However old, what is being fetched stays.
TEST_F(CacheCareTest, PruneLeavesAloneWhatIsFetched) {
  ASSERT_TRUE(RemoveAll(cache()).ok());
  const auto prune = [&] {
    const auto pruned = PruneCache(hub_cache_, std::chrono::hours(0));
    ASSERT_TRUE(pruned.ok()) << pruned.status();
    EXPECT_THAT(pruned->snapshots, IsEmpty());
    if (!fs::exists(hub_cache_.RepositoryPath(id_))) return;  // nothing is there yet
    EXPECT_THAT(pruned->skipped, ElementsAre("me/model: it is being fetched"));
  };
  // Before there is a file, and at every piece of one.
  server_.Override([prune](const testing::HubRequest& request) -> std::optional<std::string> {
    if (request.path.starts_with("/api/")) prune();
    return std::nullopt;
  });
  FetchContext context = Context();
  context.on_progress = [&](const FetchProgress&) { prune(); };
  const auto fetched = FetchModel(context, id_);
  ASSERT_TRUE(fetched.ok()) << fetched.status();
  ExpectWhole(fetched->path, model_);
  EXPECT_EQ(hub_cache_.CommitOf(id_), model_.Commit());
  const auto pruned = PruneCache(hub_cache_, std::chrono::hours(0));
  EXPECT_EQ(pruned->snapshots.size(), 1u);
  EXPECT_THAT(pruned->skipped, IsEmpty());
}

// Whoever removes files without a lock makes no snapshot that only seems whole.
TEST_F(CacheCareTest, ARefNamesAWholeSnapshotOnly) {
  ASSERT_TRUE(RemoveAll(cache()).ok());
  FetchContext context = Context();
  context.on_progress = [&](const FetchProgress& progress) {
    if (progress.done_bytes < progress.total_bytes) return;
    std::error_code ignored;
    fs::remove(hub_cache_.SnapshotPath(id_, model_.Commit()) / "config.json", ignored);
  };
  const auto fetched = FetchModel(context, id_);
  EXPECT_EQ(ErrorOf(fetched.status()), Error::kIo) << fetched.status();
  EXPECT_THAT(MessageOf(fetched.status()), ::testing::HasSubstr("config.json"));
  EXPECT_EQ(hub_cache_.CommitOf(id_), std::nullopt);
}

// A link that does not show may lead to any blob.
TEST_F(CacheCareTest, PruneLeavesAloneWhatItCannotReadWholly) {
  const fs::path snapshots = hub_cache_.RepositoryPath(id_) / "snapshots";
  const size_t blobs_before =
      static_cast<size_t>(std::distance(fs::directory_iterator(blobs()), fs::directory_iterator()));
  for (const fs::path& closed : {snapshots, snapshots / model_.Commit()}) {
    SCOPED_TRACE(closed);
    {
      const AsOwner owner(folder_.path());
      fs::permissions(closed, fs::perms::none);
      for (const auto older_than :
           {std::optional<std::chrono::hours>(), std::optional(std::chrono::hours(0))}) {
        const auto pruned = PruneCache(hub_cache_, older_than);
        ASSERT_TRUE(pruned.ok()) << pruned.status();
        EXPECT_EQ(pruned->files, 0u);
        EXPECT_THAT(pruned->snapshots, IsEmpty());
        EXPECT_THAT(pruned->skipped, ElementsAre(::testing::HasSubstr("me/model: cannot read")));
      }
      EXPECT_EQ(ErrorOf(ListCache(hub_cache_).status()), Error::kIo);
      const auto verified = VerifyCache(hub_cache_, true, {});
      ASSERT_TRUE(verified.ok()) << verified.status();
      EXPECT_THAT(verified->wrong, IsEmpty());
      EXPECT_THAT(verified->unreadable, ElementsAre(snapshots));
      fs::permissions(closed, fs::perms::owner_all);
    }
    EXPECT_EQ(static_cast<size_t>(
                  std::distance(fs::directory_iterator(blobs()), fs::directory_iterator())),
              blobs_before);
  }
  ExpectWhole(snapshots / model_.Commit(), model_);
}

TEST_F(CacheCareTest, VerifyGoesOnAfterABlobThatCannotBeRead) {
  const fs::path closed = blobs() / model_.files["model-00001-of-00002.safetensors"].sha256;
  const fs::path wrong = blobs() / model_.files["model-00002-of-00002.safetensors"].sha256;
  std::fstream(wrong, std::ios::in | std::ios::out).write("wrong", 5);
  const AsOwner owner(folder_.path());
  fs::permissions(closed, fs::perms::none);
  for (const bool remove : {false, true}) {
    const auto verified = VerifyCache(hub_cache_, remove, {});
    ASSERT_TRUE(verified.ok()) << verified.status();
    EXPECT_EQ(verified->files, 6u);
    EXPECT_THAT(verified->wrong, ElementsAre(wrong));
    EXPECT_THAT(verified->unreadable, ElementsAre(closed));
    EXPECT_TRUE(fs::exists(closed));
  }
  EXPECT_FALSE(fs::exists(wrong));
}

}  // namespace
}  // namespace quantized
