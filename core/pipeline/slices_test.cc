#include "core/pipeline/slices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/mutex.h"
#include "tests/support/recording_sink.h"

namespace quantized {
namespace {

OutputTensor Tensor(uint64_t rows, uint64_t cols) {
  OutputTensor tensor;
  tensor.rows = rows;
  tensor.cols = cols;
  return tensor;
}

// Of one slice, of several with a rest, of exact slices, of rows longer than a slice, of one value.
const std::vector<OutputTensor> kTensors = {Tensor(10, 64), Tensor(1000, 1000), Tensor(512, 1024),
                                            Tensor(3, 2 * kSliceValues), Tensor(1, 1)};

TEST(SlicesTest, CoverEachRowOnceInOrder) {
  testing::RecordingSink sink;
  for (const size_t threads : {1, 2, 5}) {
    SCOPED_TRACE(threads);
    ThreadPool pool(threads);
    JobContext context{{}, sink, pool};
    Mutex mutex;
    std::set<std::pair<size_t, uint64_t>> seen;
    const absl::Status status =
        ForEachSlice(kTensors, {}, context, [&](const Slice& slice, SliceBuffers&) -> absl::Status {
          MutexLock lock(mutex);
          EXPECT_EQ(slice.first_row, slice.index * SliceRows(kTensors[slice.tensor]));
          for (uint64_t row = 0; row < slice.rows; ++row) {
            EXPECT_TRUE(seen.emplace(slice.tensor, slice.first_row + row).second);
          }
          return absl::OkStatus();
        });
    ASSERT_TRUE(status.ok()) << status;
    uint64_t rows = 0;
    for (const OutputTensor& tensor : kTensors) rows += tensor.rows;
    EXPECT_EQ(seen.size(), rows);
  }
}

TEST(SlicesTest, SkippedTensorsAreNotHandedOut) {
  testing::RecordingSink sink;
  ThreadPool pool(2);
  JobContext context{{}, sink, pool};
  const std::vector<uint8_t> skip = {1, 0, 1, 1, 1};
  const absl::Status status =
      ForEachSlice(kTensors, skip, context, [&](const Slice& slice, SliceBuffers&) {
        EXPECT_EQ(slice.tensor, 1u);
        return absl::OkStatus();
      });
  EXPECT_TRUE(status.ok()) << status;
}

// Whichever thread is quicker, the failure that a person sees is the first in the file.
TEST(SlicesTest, TheFirstFailureInOrderIsReturned) {
  testing::RecordingSink sink;
  for (int round = 0; round < 50; ++round) {
    ThreadPool pool(4);
    JobContext context{{}, sink, pool};
    const absl::Status status =
        ForEachSlice(kTensors, {}, context, [&](const Slice& slice, SliceBuffers&) -> absl::Status {
          if (slice.tensor < 1 || (slice.tensor == 1 && slice.index < 2)) return absl::OkStatus();
          return MakeError(Error::kIo,
                           std::to_string(slice.tensor) + "/" + std::to_string(slice.index));
        });
    ASSERT_EQ(status.message(), "1/2");
  }
}

TEST(SlicesTest, StopEndsTheWork) {
  testing::RecordingSink sink;
  ThreadPool pool(1);
  std::stop_source stop;
  JobContext context{stop.get_token(), sink, pool};
  int slices = 0;
  const absl::Status status = ForEachSlice(kTensors, {}, context, [&](const Slice&, SliceBuffers&) {
    if (++slices == 2) stop.request_stop();
    return absl::OkStatus();
  });
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(ErrorOf(status), Error::kCancelled);
  EXPECT_EQ(slices, 2);
}

TEST(UnitHasherTest, OrderOfSlicesDoesNotMatterTheirBytesDo) {
  const std::vector<OutputTensor> tensors = {Tensor(1000, 1000)};
  ASSERT_EQ(SliceCount(tensors[0]), 4u);
  std::vector<std::vector<std::byte>> bytes(4);
  for (size_t i = 0; i < 4; ++i) bytes[i].assign(100 + i, std::byte(i));
  const auto hash = [&](const std::vector<uint64_t>& order) {
    UnitHasher hasher(tensors);
    std::optional<uint64_t> result;
    for (const uint64_t index : order) {
      EXPECT_FALSE(result) << "before the last slice";
      result = hasher.Add({.tensor = 0, .index = index}, bytes[index]);
    }
    return result;
  };
  const std::optional<uint64_t> in_order = hash({0, 1, 2, 3});
  ASSERT_TRUE(in_order);
  EXPECT_EQ(hash({3, 1, 0, 2}), in_order);
  std::swap(bytes[0], bytes[1]);
  EXPECT_NE(hash({0, 1, 2, 3}), in_order);
}

}  // namespace
}  // namespace quantized
