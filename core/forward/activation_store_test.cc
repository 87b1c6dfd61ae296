#include "core/forward/activation_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <numeric>
#include <vector>

#include "core/base/error.h"
#include "tests/support/paths.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ActivationStoreTest : public ::testing::TestWithParam<bool> {
 protected:
  ActivationStore Create(uint64_t rows, uint64_t width) {
    auto store = ActivationStore::Create(rows, width, GetParam() ? folder_ : fs::path());
    EXPECT_TRUE(store.ok()) << store.status();
    EXPECT_EQ(store->spilled(), GetParam());
    return *std::move(store);
  }

  testing::TempDir dir_;
  const fs::path folder_ = dir_.path() / "not" / "there yet";
};

TEST_P(ActivationStoreTest, IsZeroUntilWritten) {
  const ActivationStore store = Create(5, 3);
  EXPECT_EQ(store.rows(), 5u);
  EXPECT_EQ(store.width(), 3u);
  std::vector<float> all(15, 7);
  ASSERT_TRUE(store.Read(0, 5, all.data()).ok());
  EXPECT_THAT(all, Each(0.0f));
}

TEST_P(ActivationStoreTest, RowsKeepWhatIsWritten) {
  ActivationStore store = Create(4, 2);
  const std::vector<float> values = {1, 2, 3, 4};
  ASSERT_TRUE(store.Write(1, 2, values.data()).ok());
  std::vector<float> all(8), one(2);
  ASSERT_TRUE(store.Read(0, 4, all.data()).ok());
  EXPECT_THAT(all, ElementsAre(0, 0, 1, 2, 3, 4, 0, 0));
  ASSERT_TRUE(store.Read(2, 1, one.data()).ok());
  EXPECT_THAT(one, ElementsAre(3, 4));
  EXPECT_TRUE(store.Read(4, 0, nullptr).ok());
}

TEST_P(ActivationStoreTest, GathersAndScattersAnyRows) {
  ActivationStore store = Create(6, 2);
  std::vector<float> all(12);
  std::iota(all.begin(), all.end(), 0.0f);
  ASSERT_TRUE(store.Write(0, 6, all.data()).ok());
  // Runs, a step back, and the same row again.
  const std::vector<uint32_t> rows = {4, 5, 1, 2, 2};
  std::vector<float> gathered(10);
  ASSERT_TRUE(store.Gather(rows, gathered.data()).ok());
  EXPECT_THAT(gathered, ElementsAre(8, 9, 10, 11, 2, 3, 4, 5, 4, 5));

  const std::vector<uint32_t> to = {5, 0, 1};
  const std::vector<float> values = {-1, -2, -3, -4, -5, -6};
  ASSERT_TRUE(store.Scatter(to, values.data()).ok());
  ASSERT_TRUE(store.Read(0, 6, all.data()).ok());
  EXPECT_THAT(all, ElementsAre(-3, -4, -5, -6, 4, 5, 6, 7, 8, 9, -1, -2));
  EXPECT_TRUE(store.Gather({}, nullptr).ok());
  EXPECT_TRUE(store.Scatter({}, nullptr).ok());
}

TEST_P(ActivationStoreTest, HoldsNoRows) {
  ActivationStore store = Create(0, 8);
  EXPECT_TRUE(store.Read(0, 0, nullptr).ok());
}

TEST_P(ActivationStoreTest, MovesWithItsContents) {
  ActivationStore store = Create(1, 2);
  const std::vector<float> values = {5, 6};
  ASSERT_TRUE(store.Write(0, 1, values.data()).ok());
  const ActivationStore moved = std::move(store);
  std::vector<float> got(2);
  ASSERT_TRUE(moved.Read(0, 1, got.data()).ok());
  EXPECT_EQ(got, values);
}

INSTANTIATE_TEST_SUITE_P(, ActivationStoreTest, ::testing::Bool(),
                         [](const auto& param) { return param.param ? "InFile" : "InMemory"; });

TEST(SpilledStoreTest, HasNoNameInTheFolder) {
  testing::TempDir dir;
  const fs::path folder = dir.path() / "spill";
  const auto store = ActivationStore::Create(100, 10, folder);
  ASSERT_TRUE(store.ok()) << store.status();
  ASSERT_TRUE(fs::is_directory(folder));
  EXPECT_TRUE(fs::is_empty(folder));
}

TEST(SpilledStoreTest, AFolderThatCannotBeIsRefused) {
  testing::TempDir dir;
  std::ofstream(dir.path() / "file") << "x";
  const auto store = ActivationStore::Create(1, 1, dir.path() / "file" / "spill");
  ASSERT_FALSE(store.ok());
  EXPECT_EQ(ErrorOf(store.status()), Error::kIo) << store.status();
  EXPECT_THAT(std::string(store.status().message()),
              HasSubstr("create folder " + (dir.path() / "file").string()));
}

}  // namespace
}  // namespace quantized
