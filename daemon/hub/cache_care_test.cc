#include "daemon/hub/cache_care.h"

#include <fstream>

#include "daemon/hub/hub_test.h"

namespace quantized {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

namespace fs = std::filesystem;

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
  const auto list = ListCache(hub_cache_);
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
  const auto lock = BlobLock::Take(hub_cache_.LockPath(id_, busy), {});
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

}  // namespace
}  // namespace quantized
