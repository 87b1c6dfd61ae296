// What the tests of this folder share: a Hub on the loopback, an empty cache, and time that passes
// without waiting.
#pragma once

#include <chrono>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/mutex.h"
#include "daemon/hub/fetch_model.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/hub_server.h"
#include "tests/support/paths.h"

namespace quantized {

// Remembers what was waited for.
class NoWaiter : public Waiter {
 public:
  bool Wait(std::chrono::milliseconds time, const std::stop_token& stop) override {
    const MutexLock lock(mutex_);
    waits_.push_back(time);
    waited_ += time;
    return !stop.stop_requested();
  }
  std::chrono::steady_clock::time_point Now() override {
    const MutexLock lock(mutex_);
    return std::chrono::steady_clock::now() + waited_;
  }
  std::vector<std::chrono::milliseconds> waits() {
    const MutexLock lock(mutex_);
    return waits_;
  }

 private:
  Mutex mutex_;
  std::vector<std::chrono::milliseconds> waits_ ABSL_GUARDED_BY(mutex_);
  std::chrono::milliseconds waited_ ABSL_GUARDED_BY(mutex_){0};
};

class HubTest : public ::testing::Test {
 protected:
  static constexpr uint64_t kChunkBytes = 64 << 10;
  static constexpr size_t kWeightBytes = 10 * kChunkBytes + 123;

  // A model of two shards.
  static testing::HubRepository Model(const std::string& name) {
    testing::HubRepository model{.name = name};
    model.AddFile("config.json", R"({"architectures":["LlamaForCausalLM"]})");
    model.AddFile("tokenizer.json", "{}");
    model.AddFile("README.md", "---\nlicense: mit\n---\n");
    model.AddFile("training/notes.txt", "not needed");
    model.AddFile("pytorch_model.bin", "a pickle");
    model.AddFile("model-00001-of-00002.safetensors", Weights(1));
    model.AddFile("model-00002-of-00002.safetensors", Weights(2));
    model.AddFile("model.safetensors.index.json",
                  R"({"weight_map":{"a":"model-00001-of-00002.safetensors",)"
                  R"("b":"model-00002-of-00002.safetensors"}})");
    return model;
  }

  // A file whose header says that one tensor of bytes follows.
  static std::string Weights(unsigned seed) {
    std::mt19937 random(seed);
    std::string bytes(kWeightBytes, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    const std::string header = R"({"a":{"dtype":"U8","shape":[9],"data_offsets":[0,9]}})";
    for (size_t i = 0; i < 8; ++i) bytes[i] = static_cast<char>(header.size() >> (8 * i));
    bytes.replace(8, header.size(), header);
    return bytes;
  }

  FetchContext Context() {
    FetchContext context{.settings = {.endpoint = server_.endpoint(),
                                      .token = "",
                                      .offline = false,
                                      .cache = cache(),
                                      .shared_cache = shared_cache()},
                         .waiter = waiter_};
    context.rules.chunk_bytes = kChunkBytes;
    context.stall_timeout = std::chrono::seconds(1);
    return context;
  }

  std::filesystem::path cache() const { return folder_.path() / "ours/hub"; }
  std::filesystem::path shared_cache() const { return folder_.path() / "theirs/hub"; }

  static std::string Contents(const std::filesystem::path& path) {
    const absl::StatusOr<std::string> text = ReadFile(path, 1 << 30);
    return text.ok() ? *text : "cannot be read";
  }

  // Whether `snapshot` holds the files of `model` that a quantization needs, byte for byte.
  static void ExpectWhole(const std::filesystem::path& snapshot,
                          const testing::HubRepository& model) {
    for (const auto& [path, file] : model.files) {
      const bool needed = path.find('/') == std::string::npos && !path.ends_with(".bin");
      EXPECT_EQ(std::filesystem::exists(snapshot / path), needed) << path;
      if (needed) {
        EXPECT_TRUE(Contents(snapshot / path) == file.bytes) << path;
      }
    }
  }

  testing::TempDir folder_;
  testing::HubServer server_;
  NoWaiter waiter_;
};

// The message of a failure.
inline std::string MessageOf(const absl::Status& status) {
  return std::string(status.message().data(), status.message().size());
}

}  // namespace quantized
