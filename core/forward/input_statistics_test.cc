#include "core/forward/input_statistics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

namespace quantized {
namespace {

using Chunk = InputAccumulator::Chunk;
using ::testing::Each;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// Around the edges of tiles (256) and column pieces (64).
constexpr size_t kWidths[] = {1, 31, 63, 64, 65, 255, 256, 257, 320, 513};
// Tokens of the chunks: of pieces of a batch, one without any among them.
constexpr size_t kCounts[] = {17, 1, 0, 40, 5};

struct Inputs {
  explicit Inputs(size_t width) {
    std::mt19937 random(static_cast<uint32_t>(width));
    std::normal_distribution<float> normal;
    for (const size_t count : kCounts) {
      values.emplace_back(count * width);
      for (float& value : values.back()) value = normal(random);
      // Channels of real activations are not alike.
      for (size_t i = 0; i < values.back().size(); i += width) values.back()[i] *= 100;
    }
    for (size_t i = 0; i < values.size(); ++i) chunks.push_back({values[i].data(), kCounts[i]});
  }
  std::vector<std::vector<float>> values;
  std::vector<Chunk> chunks;
};

InputStatistics Sum(StatisticsKind kind, size_t width, std::span<const Chunk> chunks,
                    size_t at_once, size_t thread_count) {
  ThreadPool threads(thread_count);
  InputAccumulator sums(kind, width);
  for (size_t i = 0; i < chunks.size(); i += at_once) {
    sums.Add(chunks.subspan(i, std::min(at_once, chunks.size() - i)), threads);
  }
  return std::move(sums).Finish();
}

template <class T>
bool SameBits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

TEST(InputStatisticsTest, AreThoseOfDoublePrecision) {
  for (const size_t width : kWidths) {
    SCOPED_TRACE(width);
    const Inputs inputs(width);
    const InputStatistics got = Sum(StatisticsKind::kGram, width, inputs.chunks, 5, 2);
    ASSERT_EQ(got.tokens, 63u);
    ASSERT_EQ(got.gram.rows, width);
    ASSERT_EQ(got.gram.cols, width);
    ASSERT_THAT(got.squares, SizeIs(width));
    ASSERT_THAT(got.magnitudes, SizeIs(width));
    std::vector<double> gram(width * width), magnitudes(width);
    for (const Chunk& chunk : inputs.chunks) {
      for (size_t row = 0; row < chunk.count; ++row) {
        const float* x = chunk.rows + row * width;
        for (size_t i = 0; i < width; ++i) {
          magnitudes[i] += std::fabs(x[i]) / 63.0;
          for (size_t j = 0; j < width; ++j) gram[i * width + j] += double{x[i]} * x[j] / 63;
        }
      }
    }
    double worst = 0, asymmetry = 0;
    for (size_t i = 0; i < width; ++i) {
      EXPECT_NEAR(got.squares[i], gram[i * width + i], 1e-6 * gram[i * width + i]);
      EXPECT_NEAR(got.magnitudes[i], magnitudes[i], 1e-6 * magnitudes[i]);
      for (size_t j = 0; j < width; ++j) {
        const double size = std::sqrt(gram[i * width + i] * gram[j * width + j]);
        worst = std::max(worst, std::fabs(got.gram.at(i, j) - gram[i * width + j]) / size);
        if (got.gram.at(i, j) != got.gram.at(j, i)) asymmetry = 1;
      }
    }
    EXPECT_LT(worst, 1e-6);
    EXPECT_EQ(asymmetry, 0);
  }
}

TEST(InputStatisticsTest, DependNeitherOnThreadsNorOnGroupingOfChunks) {
  for (const size_t width : kWidths) {
    SCOPED_TRACE(width);
    const Inputs inputs(width);
    const InputStatistics want = Sum(StatisticsKind::kGram, width, inputs.chunks, 5, 1);
    for (const size_t threads : {1, 2, 5}) {
      for (const size_t at_once : {1, 2, 3, 5}) {
        SCOPED_TRACE(::testing::Message() << threads << " threads, " << at_once << " at once");
        const InputStatistics got =
            Sum(StatisticsKind::kGram, width, inputs.chunks, at_once, threads);
        EXPECT_EQ(got.tokens, want.tokens);
        EXPECT_TRUE(SameBits(got.gram.values, want.gram.values));
        EXPECT_TRUE(SameBits(got.squares, want.squares));
        EXPECT_TRUE(SameBits(got.magnitudes, want.magnitudes));
      }
    }
  }
}

TEST(InputStatisticsTest, HoldWhatTheKindSays) {
  const Inputs inputs(65);
  const InputStatistics gram = Sum(StatisticsKind::kGram, 65, inputs.chunks, 2, 2);
  const InputStatistics squares = Sum(StatisticsKind::kSquares, 65, inputs.chunks, 2, 2);
  EXPECT_TRUE(SameBits(squares.squares, gram.squares));
  EXPECT_EQ(squares.tokens, gram.tokens);
  EXPECT_TRUE(squares.gram.empty());
  EXPECT_THAT(squares.magnitudes, IsEmpty());
  const InputStatistics none = Sum(StatisticsKind::kNone, 65, inputs.chunks, 2, 2);
  EXPECT_TRUE(none.gram.empty());
  EXPECT_THAT(none.squares, IsEmpty());
  EXPECT_THAT(none.magnitudes, IsEmpty());
}

TEST(InputStatisticsTest, WithoutTokensAreZero) {
  const float unused = 0;
  const Chunk nothing[] = {{&unused, 0}};
  for (const size_t chunks : {0, 1}) {
    SCOPED_TRACE(chunks);
    const InputStatistics got =
        Sum(StatisticsKind::kGram, 70, std::span(nothing).first(chunks), 1, 2);
    EXPECT_EQ(got.tokens, 0u);
    ASSERT_THAT(got.gram.values, SizeIs(70 * 70));
    EXPECT_THAT(got.gram.values, Each(0.0f));
    EXPECT_THAT(got.squares, Each(0.0));
    EXPECT_THAT(got.magnitudes, Each(0.0));
  }
}

}  // namespace
}  // namespace quantized
