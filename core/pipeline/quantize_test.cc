#include "core/pipeline/quantize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/gguf/reader.h"
#include "core/quantize/levels.h"
#include "kernels/codecs/codec.h"
#include "tests/support/paths.h"
#include "tests/support/quantize_job.h"
#include "tests/support/synthetic_model.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;
using gguf::GgufReader;
using kernels::TypeId;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

std::string Contents(const fs::path& path) { return *ReadFile(path, uint64_t{1} << 32); }

std::vector<std::byte> TensorBytes(const GgufReader& reader, const gguf::TensorInfo& tensor) {
  std::vector<std::byte> bytes(tensor.size_bytes);
  EXPECT_TRUE(reader.Read(tensor, 0, bytes).ok());
  return bytes;
}

const gguf::TensorInfo* Find(const GgufReader& reader, const std::string& name) {
  for (const gguf::TensorInfo& tensor : reader.tensors()) {
    if (tensor.name == name) return &tensor;
  }
  return nullptr;
}

class QuantizeTest : public ::testing::Test {
 protected:
  void SetUp() override { Write({}); }

  void Write(const testing::SyntheticModel& model) {
    const absl::Status status = testing::WriteSyntheticModel(model_, model);
    ASSERT_TRUE(status.ok()) << status;
  }

  // Overwrites bytes of the source's tensor `name`.
  void Poke(const std::string& name, uint64_t offset, std::span<const std::byte> bytes) {
    const auto reader = GgufReader::Open(model_);
    ASSERT_TRUE(reader.ok()) << reader.status();
    File file = *File::OpenForWrite(model_);
    ASSERT_TRUE(file.WriteAt(Find(**reader, name)->offset + offset, bytes).ok());
  }

  QuantizeRequest Request(const std::string& level) const {
    QuantizeRequest request;
    request.model_path = model_;
    request.model_name = "./source.gguf";
    request.outputs = {{.level = level, .path = output_}};
    request.checkpoint.directory = checkpoints_;
    return request;
  }

  void ExpectNothingLeft() const {
    EXPECT_FALSE(fs::exists(output_));
    EXPECT_FALSE(fs::exists(output_.string() + ".part"));
    EXPECT_FALSE(fs::exists(checkpoints_));
  }

  static void ExpectError(const absl::StatusOr<QuantizeResult>& result, Error error,
                          const ::testing::Matcher<std::string>& message) {
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(ErrorOf(result.status()), error) << result.status();
    EXPECT_THAT(std::string(result.status().message()), message);
  }

  testing::TempDir dir_;
  const fs::path model_ = dir_.path() / "source.gguf";
  const fs::path output_ = dir_.path() / "out" / "model.gguf";
  const fs::path checkpoints_ = dir_.path() / "checkpoints";
};

TEST_F(QuantizeTest, EachLevelEncodesEachTensorAsTheReferenceEncoderDoes) {
  const auto source = GgufReader::Open(model_);
  ASSERT_TRUE(source.ok()) << source.status();
  size_t made_levels = 0;
  for (const Recipe& recipe : AllRecipes()) {
    SCOPED_TRACE(std::string(recipe.name));
    QuantizeRequest request = Request(std::string(recipe.name));
    request.overwrite = true;
    const auto result = testing::RunQuantize(request);
    if (!result.ok()) {
      EXPECT_EQ(ErrorOf(result.status()), Error::kInvalidArgument);
      EXPECT_THAT(std::string(result.status().message()), HasSubstr("needs an importance matrix"));
      continue;
    }
    ++made_levels;
    EXPECT_EQ(result->level, recipe.name);
    EXPECT_EQ(result->file_size_bytes, fs::file_size(output_));
    const auto made = GgufReader::Open(output_);
    ASSERT_TRUE(made.ok()) << made.status();
    ASSERT_THAT((*made)->tensors(), SizeIs((*source)->tensors().size()));
    for (const gguf::TensorInfo& tensor : (*made)->tensors()) {
      SCOPED_TRACE(tensor.name);
      const gguf::TensorInfo* original = Find(**source, tensor.name);
      ASSERT_NE(original, nullptr);
      EXPECT_EQ(tensor.dims, original->dims);
      std::vector<std::byte> expected = TensorBytes(**source, *original);
      if (tensor.type != original->type) {
        uint64_t count = 1;
        for (const uint64_t dim : tensor.dims) count *= dim;
        std::vector<float> values(count);
        kernels::FindCodec(original->type)->decode(expected.data(), count, values.data());
        expected.assign(tensor.size_bytes, {});
        kernels::FindCodec(tensor.type)
            ->encode_ref(values.data(), nullptr, count / tensor.dims[0], tensor.dims[0],
                         expected.data());
      }
      EXPECT_TRUE(TensorBytes(**made, tensor) == expected);
    }
  }
  EXPECT_EQ(made_levels, AllRecipes().size() - 9);  // what needs a matrix
  EXPECT_FALSE(fs::exists(checkpoints_));
}

TEST_F(QuantizeTest, MetadataIsTheSourcesWithTwoKeysAtTheEnd) {
  ASSERT_TRUE(testing::RunQuantize(Request("q4_k_m")).ok());
  const auto source = GgufReader::Open(model_), made = GgufReader::Open(output_);
  ASSERT_TRUE(made.ok()) << made.status();
  gguf::Metadata expected = (*source)->metadata();
  expected.SetLast("general.quantization_version", uint32_t{2});
  expected.SetLast("general.file_type", uint32_t{15});
  EXPECT_EQ((*made)->metadata(), expected);
}

TEST_F(QuantizeTest, BytesDoNotDependOnThreads) {
  Write({.hidden = 512, .feed_forward = 768, .vocabulary = 600});
  std::string first;
  for (const size_t threads : {1, 2, 5}) {
    SCOPED_TRACE(threads);
    QuantizeRequest request = Request("Q4_K_M");
    request.overwrite = true;
    ASSERT_TRUE(testing::RunQuantize(request, threads).ok());
    if (first.empty()) first = Contents(output_);
    EXPECT_TRUE(Contents(output_) == first);
  }
}

TEST_F(QuantizeTest, TellsWhatItDoes) {
  testing::RecordingSink sink;
  const auto result = testing::RunQuantize(Request("Q4_K_M"), sink);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(sink.phases, ElementsAre(Phase::kProbe, Phase::kLoad, Phase::kQuantize,
                                       Phase::kValidate, Phase::kPublish));
  EXPECT_THAT(sink.messages, ElementsAre("Loading model: ./source.gguf",
                                         "Architecture: LlamaForCausalLM (2 layers)",
                                         "Quantizing to GGUF Q4_K_M", "Validating output..."));
  EXPECT_THAT(sink.warnings, IsEmpty());
  ASSERT_THAT(sink.progress, ::testing::Not(IsEmpty()));
  EXPECT_EQ(sink.progress.front().done, 0u);
  uint64_t most = 0, bytes = 0;
  for (const auto& progress : sink.progress) {
    EXPECT_EQ(progress.total, 2u);
    EXPECT_EQ(progress.unit, "layers");
    most = std::max(most, progress.done);
    bytes = std::max(bytes, progress.bytes_written);
  }
  EXPECT_EQ(most, 2u);
  EXPECT_LT(bytes, result->file_size_bytes);
  EXPECT_GT(bytes, result->file_size_bytes * 9 / 10);
  EXPECT_THAT(sink.checkpoints, Contains(result->tensors));
  EXPECT_EQ(result->layers_processed, 2u);
  EXPECT_EQ(result->original_dtype, "float16");
  EXPECT_EQ(result->units_reused, 0u);
  EXPECT_GT(result->bits_per_weight, 4.5);
  EXPECT_LT(result->bits_per_weight, 8);
}

TEST_F(QuantizeTest, SubstitutedTypesAreToldOnceForEachKind) {
  Write({.hidden = 96, .feed_forward = 512, .vocabulary = 300, .heads = 4, .kv_heads = 4});
  testing::RecordingSink sink;
  const auto result = testing::RunQuantize(Request("Q4_K_M"), sink);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(sink.warnings, Contains(AllOf(HasSubstr("Q5_0 instead of Q4_K"), HasSubstr("96"))));
  EXPECT_THAT(sink.warnings, Contains(HasSubstr("2 tensors (output.weight, …) are Q8_0")));
  EXPECT_GT(result->substitutions.size(), sink.warnings.size());
}

TEST_F(QuantizeTest, AnExistingOutputIsKept) {
  fs::create_directories(output_.parent_path());
  ASSERT_TRUE(WriteFileAtomically(output_, "precious").ok());
  ExpectError(testing::RunQuantize(Request("Q8_0")), Error::kInvalidArgument,
              HasSubstr("exists already"));
  EXPECT_EQ(Contents(output_), "precious");
  EXPECT_FALSE(fs::exists(output_.string() + ".part"));

  QuantizeRequest request = Request("Q8_0");
  request.overwrite = true;
  ASSERT_TRUE(testing::RunQuantize(request).ok());
  EXPECT_EQ(Contents(output_).substr(0, 4), "GGUF");
}

TEST_F(QuantizeTest, TheSameJobAgainAnswersWithItsStoredResult) {
  const auto first = testing::RunQuantize(Request("Q8_0"));
  ASSERT_TRUE(first.ok()) << first.status();
  const auto written = fs::last_write_time(output_);
  QuantizeRequest request = Request("Q8_0");
  request.outputs[0].previous = *first;
  const auto second = testing::RunQuantize(request);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_TRUE(second->already_done);
  EXPECT_EQ(second->fingerprint, first->fingerprint);
  EXPECT_EQ(fs::last_write_time(output_), written);

  // Another level, or a changed file, is not the same job any more.
  request.outputs[0].level = "Q4_0";
  ExpectError(testing::RunQuantize(request), Error::kInvalidArgument, HasSubstr("exists already"));
  request.outputs[0].level = "Q8_0";
  File output = *File::OpenForWrite(output_);
  ASSERT_TRUE(output.Truncate(fs::file_size(output_) - 1).ok());
  ExpectError(testing::RunQuantize(request), Error::kInvalidArgument, HasSubstr("exists already"));
}

TEST_F(QuantizeTest, ARetriedJobKnowsItsOwnOutput) {
  const auto first = testing::RunQuantize(Request("Q8_0"));
  ASSERT_TRUE(first.ok()) << first.status();
  QuantizeRequest request = Request("Q8_0");
  request.retried = true;
  const auto second = testing::RunQuantize(request);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_FALSE(second->already_done);
  EXPECT_EQ(second->file_size_bytes, first->file_size_bytes);

  request.outputs[0].level = "Q4_0";
  ExpectError(testing::RunQuantize(request), Error::kInvalidArgument, HasSubstr("exists already"));
}

TEST_F(QuantizeTest, TheSourceIsNeverReplaced) {
  QuantizeRequest request = Request("Q8_0");
  request.outputs[0].path = model_;
  request.overwrite = true;
  const std::string before = Contents(model_);
  ExpectError(testing::RunQuantize(request), Error::kInvalidArgument, HasSubstr("made from"));
  EXPECT_TRUE(Contents(model_) == before);

  // Nor where the folder is given that holds it alone.
  request.model_path = model_.parent_path();
  ExpectError(testing::RunQuantize(request), Error::kInvalidArgument, HasSubstr("made from"));
  EXPECT_TRUE(Contents(model_) == before);
}

TEST_F(QuantizeTest, AFolderInTheOutputsPlaceIsRefused) {
  fs::create_directories(output_);
  QuantizeRequest request = Request("Q8_0");
  request.overwrite = true;
  ExpectError(testing::RunQuantize(request), Error::kInvalidArgument, HasSubstr("is a folder"));
}

TEST_F(QuantizeTest, BadValuesInTheSourceAreNamedAndNothingStays) {
  const uint16_t bad[] = {0x7e00, 0xfc00};
  for (const auto& [half, name] : {std::pair{bad[0], "NaN"}, std::pair{bad[1], "infinity"}}) {
    Write({});
    // Row 5, column 3 of an F16 matrix with rows of 256 values.
    Poke("blk.1.ffn_up.weight", (5 * 256 + 3) * sizeof(half), std::as_bytes(std::span(&half, 1)));
    ExpectError(testing::RunQuantize(Request("Q4_K_M")), Error::kValidationFailed,
                AllOf(HasSubstr("source.gguf"), HasSubstr("blk.1.ffn_up.weight"),
                      HasSubstr("row 5"), HasSubstr(std::string(name) + " at column 3")));
    ExpectNothingLeft();
    EXPECT_FALSE(fs::exists(output_.parent_path())) << "made for this job only";
  }
}

TEST_F(QuantizeTest, ABadValueInACopiedTensorIsFoundToo) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  Poke("blk.0.attn_norm.weight", 8, std::as_bytes(std::span(&nan, 1)));
  ExpectError(testing::RunQuantize(Request("F16")), Error::kValidationFailed,
              AllOf(HasSubstr("blk.0.attn_norm.weight"), HasSubstr("NaN at column 2")));
  ExpectNothingLeft();
}

TEST_F(QuantizeTest, AValueTooLargeForTheTypeIsNamed) {
  Write({.type = TypeId::kF32});
  const float huge = 3e38f;
  Poke("blk.0.ffn_down.weight", (7 * 768 + 1) * sizeof(huge), std::as_bytes(std::span(&huge, 1)));
  for (const char* level : {"F16", "Q8_0", "Q4_0", "Q4_K_M"}) {
    SCOPED_TRACE(level);
    ExpectError(testing::RunQuantize(Request(level)), Error::kValidationFailed,
                AllOf(HasSubstr("blk.0.ffn_down.weight"), HasSubstr("row 7"), HasSubstr("3e+38")));
    ExpectNothingLeft();
  }
}

// The promise behind "validation_status": any byte that changes between write and validation.
TEST_F(QuantizeTest, AByteFlippedBeforeValidationIsFound) {
  uint64_t size = 0;
  {
    const auto result = testing::RunQuantize(Request("Q4_K_M"));
    ASSERT_TRUE(result.ok()) << result.status();
    size = result->file_size_bytes;
    fs::remove_all(output_.parent_path());
  }
  // Header, tensor infos, and tensors from the first to the last byte.
  for (const uint64_t at :
       {uint64_t{0}, uint64_t{25}, uint64_t{1000}, size / 4, size / 2, size * 3 / 4, size - 1}) {
    SCOPED_TRACE(at);
    testing::RecordingSink sink;
    sink.on_phase = [&](Phase phase) {
      if (phase != Phase::kValidate) return;
      File part = *File::OpenForWrite(output_.string() + ".part");
      std::byte byte;
      ASSERT_TRUE(part.ReadAt(at, std::span(&byte, 1)).ok());
      byte ^= std::byte{1};
      ASSERT_TRUE(part.WriteAt(at, std::span(&byte, 1)).ok());
    };
    ExpectError(testing::RunQuantize(Request("Q4_K_M"), sink), Error::kValidationFailed,
                HasSubstr("model.gguf.part"));
    ExpectNothingLeft();
  }
}

TEST_F(QuantizeTest, PaddingIsValidatedToo) {
  Write({.hidden = 96, .feed_forward = 96, .vocabulary = 65, .heads = 4, .kv_heads = 4});
  testing::RecordingSink sink;
  sink.on_phase = [&](Phase phase) {
    if (phase != Phase::kValidate) return;
    const auto reader = GgufReader::Open(output_.string() + ".part");
    ASSERT_TRUE(reader.ok()) << reader.status();
    const gguf::TensorInfo* output = Find(**reader, "output.weight");
    ASSERT_NE(output->size_bytes % 32, 0u);
    File part = *File::OpenForWrite(output_.string() + ".part");
    const std::byte one{1};
    ASSERT_TRUE(part.WriteAt(output->offset + output->size_bytes, std::span(&one, 1)).ok());
  };
  ExpectError(testing::RunQuantize(Request("Q8_0"), sink), Error::kValidationFailed,
              HasSubstr("output.weight"));
}

TEST_F(QuantizeTest, TensorsOutsideLayersAloneCountAsTensors) {
  Write({.layers = 0});
  testing::RecordingSink sink;
  const auto result = testing::RunQuantize(Request("Q8_0"), sink);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(sink.progress.back().unit, "tensors");
  EXPECT_EQ(sink.progress.back().total, 3u);
}

TEST_F(QuantizeTest, AQuantizedSourceIsNotEncodedAgain) {
  ASSERT_TRUE(testing::RunQuantize(Request("Q8_0")).ok());
  QuantizeRequest request = Request("Q4_0");
  request.model_path = output_;
  request.outputs[0].path = dir_.path() / "again.gguf";
  ExpectError(testing::RunQuantize(request), Error::kInvalidArgument,
              HasSubstr("output.weight is Q8_0 already"));
  request.outputs[0].level = "Q8_0";  // nothing to encode: the same tensors
  ASSERT_TRUE(testing::RunQuantize(request).ok());
}

TEST_F(QuantizeTest, WithoutCheckpointsNothingButTheOutputIsWritten) {
  QuantizeRequest request = Request("Q8_0");
  request.checkpoint.enabled = false;
  testing::RecordingSink sink;
  bool seen = false;
  sink.on_phase = [&](Phase) { seen |= fs::exists(checkpoints_); };
  ASSERT_TRUE(testing::RunQuantize(request, sink).ok());
  EXPECT_FALSE(seen);
  EXPECT_THAT(sink.checkpoints, IsEmpty());
  EXPECT_EQ(std::distance(fs::directory_iterator(output_.parent_path()), {}), 1);
}

// Runs `body` in a child process; its exit code.
template <typename Body>
int InChild(Body body) {
  const pid_t pid = fork();
  if (pid == 0) _exit(body());
  int status = 0;
  waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

TEST_F(QuantizeTest, TooLittleDiskIsToldBeforeAnyWork) {
  constexpr int kNoNamespaces = 77;
  const int code = InChild([this] {
    fs::create_directories(output_.parent_path());
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0 ||
        mount("none", output_.parent_path().c_str(), "tmpfs", 0, "size=64k") != 0) {
      return kNoNamespaces;
    }
    testing::RecordingSink sink;
    const auto result = testing::RunQuantize(Request("Q8_0"), sink, 1);
    if (result.ok() || ErrorOf(result.status()) != Error::kDiskFull) return 1;
    const std::string message(result.status().message());
    if (message.find("65536 bytes) are free") == std::string::npos) return 2;
    return fs::is_empty(output_.parent_path()) && sink.phases.back() == Phase::kProbe ? 0 : 3;
  });
  if (code == kNoNamespaces) GTEST_SKIP() << "this user may not mount a small file system";
  EXPECT_EQ(code, 0);
  EXPECT_FALSE(fs::exists(checkpoints_));
}

TEST_F(QuantizeTest, TooLittleMemoryIsToldBeforeAnyWork) {
  const int code = InChild([this] {
    testing::RecordingSink sink;
    ThreadPool pool(2);
    JobContext context{{}, sink, pool};
    rlimit limit;
    getrlimit(RLIMIT_AS, &limit);
    // What is mapped now and 16 MB more.
    uint64_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    limit.rlim_cur = pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE)) + (16 << 20);
    if (setrlimit(RLIMIT_AS, &limit) != 0) return 9;
    const absl::Status status = Quantize(Request("Q8_0"), context).status;
    if (status.ok() || ErrorOf(status) != Error::kOutOfMemory) return 1;
    const std::string message(status.message());
    return message.find("of memory") != std::string::npos && !fs::exists(output_.parent_path()) ? 0
                                                                                                : 2;
  });
  EXPECT_EQ(code, 0);
}

}  // namespace
}  // namespace quantized
