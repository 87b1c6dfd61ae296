#include "core/pipeline/walk_snapshot.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <numeric>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/file.h"
#include "tests/support/paths.h"

namespace quantized {
namespace {

constexpr uint64_t kRows = 700, kWidth = 3;  // more than are read at once

ActivationStore Store(uint64_t rows = kRows) { return *ActivationStore::Create(rows, kWidth, ""); }

ActivationStore Filled() {
  ActivationStore store = Store();
  std::vector<float> values(kRows * kWidth);
  std::iota(values.begin(), values.end(), 0.5f);
  EXPECT_TRUE(store.Write(0, kRows, values.data()).ok());
  return store;
}

std::vector<float> ValuesOf(const ActivationStore& store) {
  std::vector<float> values(store.rows() * store.width());
  EXPECT_TRUE(store.Read(0, store.rows(), values.data()).ok());
  return values;
}

class WalkSnapshotTest : public ::testing::Test {
 protected:
  testing::TempDir dir_;
  const std::filesystem::path path_ = dir_.path() / "walk";
};

TEST_F(WalkSnapshotTest, WhatIsSavedIsLoaded) {
  ASSERT_TRUE(SaveWalk(path_, {3, "learned"}, Filled()).ok());
  ActivationStore hidden = Store();
  const auto walk = LoadWalk(path_, 9, hidden);
  ASSERT_TRUE(walk.ok()) << walk.status();
  ASSERT_TRUE(walk->has_value());
  EXPECT_EQ((*walk)->layers_done, 3u);
  EXPECT_EQ((*walk)->learned, "learned");
  EXPECT_EQ(ValuesOf(hidden), ValuesOf(Filled()));
}

TEST_F(WalkSnapshotTest, OneThatIsTooFarIsNone) {
  ASSERT_TRUE(SaveWalk(path_, {3, ""}, Filled()).ok());
  ActivationStore hidden = Store();
  const auto walk = LoadWalk(path_, 2, hidden);
  ASSERT_TRUE(walk.ok()) << walk.status();
  EXPECT_FALSE(walk->has_value());
  EXPECT_EQ(ValuesOf(hidden), ValuesOf(Store()));
}

TEST_F(WalkSnapshotTest, ALaterOneReplacesIt) {
  ASSERT_TRUE(SaveWalk(path_, {3, "learned"}, Filled()).ok());
  ASSERT_TRUE(SaveWalk(path_, {4, ""}, Store()).ok());
  ActivationStore hidden = Filled();
  const auto walk = LoadWalk(path_, 9, hidden);
  ASSERT_TRUE(walk.ok() && walk->has_value());
  EXPECT_EQ((*walk)->layers_done, 4u);
  EXPECT_EQ(ValuesOf(hidden), ValuesOf(Store()));
  EXPECT_FALSE(std::filesystem::exists(path_.string() + ".tmp"));
}

TEST_F(WalkSnapshotTest, NoneIsNone) {
  ActivationStore hidden = Store();
  const auto walk = LoadWalk(path_, 9, hidden);
  ASSERT_TRUE(walk.ok()) << walk.status();
  EXPECT_FALSE(walk->has_value());
}

TEST_F(WalkSnapshotTest, OfAnotherSizeIsNone) {
  ASSERT_TRUE(SaveWalk(path_, {3, "learned"}, Filled()).ok());
  for (const uint64_t rows : {kRows - 1, kRows + 1}) {
    ActivationStore hidden = Store(rows);
    const auto walk = LoadWalk(path_, 9, hidden);
    ASSERT_TRUE(walk.ok()) << walk.status();
    EXPECT_FALSE(walk->has_value()) << rows;
  }
}

TEST_F(WalkSnapshotTest, DamagedOnesAreNone) {
  ASSERT_TRUE(SaveWalk(path_, {3, "learned"}, Filled()).ok());
  const std::string whole = *ReadFile(path_, 1 << 20);
  const auto loads = [&](const std::string& bytes) {
    EXPECT_TRUE(WriteFileAtomically(path_, bytes).ok());
    ActivationStore hidden = Store();
    const auto walk = LoadWalk(path_, 9, hidden);
    EXPECT_TRUE(walk.ok()) << walk.status();
    const bool has_walk = walk.ok() && walk->has_value();
    EXPECT_EQ(ValuesOf(hidden), ValuesOf(has_walk ? Filled() : Store()));
    return has_walk;
  };
  ASSERT_TRUE(loads(whole));
  for (size_t place = 0; place < whole.size(); place += place < 64 ? 1 : 61) {
    std::string changed = whole;
    changed[place] = static_cast<char>(changed[place] ^ 1);
    EXPECT_FALSE(loads(changed)) << place;
    EXPECT_FALSE(loads(whole.substr(0, place))) << place;
  }
  EXPECT_FALSE(loads(whole + "x"));
}

TEST_F(WalkSnapshotTest, WhatCannotBeWrittenIsAnError) {
  const absl::Status status = SaveWalk(dir_.path() / "none" / "walk", {1, ""}, Filled());
  EXPECT_EQ(ErrorOf(status), Error::kIo);
}

}  // namespace
}  // namespace quantized
