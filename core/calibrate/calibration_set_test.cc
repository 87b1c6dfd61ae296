#include "core/calibrate/calibration_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>

#include "core/base/error.h"
#include "core/base/file.h"
#include "tests/support/paths.h"
#include "tests/support/recording_sink.h"

namespace quantized {
namespace {

using ::quantized::testing::GoldenDir;
using ::quantized::testing::RecordingSink;
using ::quantized::testing::SmolLm2Dir;
using ::quantized::testing::TempDir;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr uint32_t kEos = 9999, kBos = 8888;

// Document d holds the ids 1000 d, 1000 d + 1, …
TokenizedDocuments Numbered(const std::vector<size_t>& sizes, std::vector<uint32_t> prefix = {}) {
  TokenizedDocuments data;
  data.description = "d.txt";
  data.marks = {kEos, std::move(prefix)};
  for (size_t d = 0; d < sizes.size(); ++d) {
    TokenIds ids;
    for (size_t i = 0; i < sizes[d]; ++i) ids.push_back(static_cast<uint32_t>(1000 * d + i));
    data.documents.push_back(std::move(ids));
  }
  return data;
}

std::filesystem::path ModelDir(const std::string& name) {
  return GoldenDir() / "tokenizers" / "models" / name;
}

struct Job {
  explicit Job(size_t count) : threads(count) {}
  JobContext context() { return {stop.get_token(), sink, threads}; }
  std::stop_source stop;
  RecordingSink sink;
  ThreadPool threads;
};

TEST(CalibrationSetTest, ASingleDocumentIsCutInOrder) {
  const auto set = MakeCalibrationSet(Numbered({10}), {.samples = 2, .sequence_length = 4});
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_THAT(set->windows, ElementsAre(ElementsAre(0, 1, 2, 3), ElementsAre(4, 5, 6, 7)));
  EXPECT_EQ(set->description, "d.txt");
  EXPECT_EQ(set->documents, 1u);
  EXPECT_EQ(set->tokens_available, 10u);
  EXPECT_THAT(set->warnings, IsEmpty());
  // sha256 of the eight ids as little-endian words, by Python's hashlib.
  EXPECT_EQ(set->hash, "ff1f6ee5d67458cfac950f62e93042e21fcb867e2234dcc8721801231064ad40");
}

// Chat templates often begin with it.
TEST(CalibrationSetTest, ADocumentThatBeginsWithBosGetsNoSecondOne) {
  TokenizedDocuments data = Numbered({8}, {kBos});
  data.documents[0][0] = kBos;
  const auto set = MakeCalibrationSet(data, {.samples = 2, .sequence_length = 4});
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_THAT(set->windows, ElementsAre(ElementsAre(kBos, 1, 2, 3), ElementsAre(kBos, 4, 5, 6)));
}

TEST(CalibrationSetTest, EosStandsBetweenDocumentsAndBosBeforeWindows) {
  const auto set =
      MakeCalibrationSet(Numbered({3, 3, 3}, {kBos}), {.samples = 3, .sequence_length = 5});
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_EQ(set->tokens_available, 11u);
  ASSERT_THAT(set->windows, SizeIs(2));
  EXPECT_THAT(set->warnings, ElementsAre("calibration data d.txt: 2 windows of 5 tokens instead of "
                                         "3: the data have only 11 tokens"));
  TokenIds joined;
  for (const auto& window : set->windows) {
    EXPECT_EQ(window[0], kBos);
    joined.insert(joined.end(), window.begin() + 1, window.end());
  }
  // Whatever the order, documents stay whole, with EOS after each third id.
  ASSERT_THAT(joined, SizeIs(8));
  EXPECT_EQ(joined[3], kEos);
  EXPECT_EQ(joined[7], kEos);
  EXPECT_EQ(joined[1], joined[0] + 1);
  EXPECT_EQ(joined[6], joined[4] + 2);
}

TEST(CalibrationSetTest, TheSeedDecidesTheOrder) {
  const TokenizedDocuments data = Numbered(std::vector<size_t>(50, 7));
  const auto first_ids = [&](uint64_t seed) {
    const auto set = MakeCalibrationSet(data, {.samples = 5, .sequence_length = 8, .seed = seed});
    std::vector<uint32_t> ids;
    for (const auto& window : set.value().windows) ids.push_back(window[0]);
    return ids;
  };
  // Fixed: another machine, compiler or version must give the same.
  EXPECT_THAT(first_ids(0), ElementsAre(36000, 37000, 44000, 20000, 38000));
  EXPECT_THAT(first_ids(1), ElementsAre(0, 40000, 42000, 34000, 26000));
}

TEST(CalibrationSetTest, WithoutEosDocumentsAreJoinedAsTheyAre) {
  TokenizedDocuments data = Numbered({2, 2});
  data.marks.eos.reset();
  const auto set = MakeCalibrationSet(data, {.samples = 1, .sequence_length = 4});
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_EQ(set->tokens_available, 4u);
}

TEST(CalibrationSetTest, HeldOutWindowsShareNoDocument) {
  for (const uint64_t seed : {0, 1, 2, 3}) {
    for (const size_t size : {3, 7, 8, 9, 40}) {
      SCOPED_TRACE(::testing::Message() << "seed " << seed << ", documents of " << size);
      const TokenizedDocuments data = Numbered(std::vector<size_t>(60, size));
      const CalibrationOptions options = {.samples = 6, .sequence_length = 8, .seed = seed};
      const auto set = MakeCalibrationSet(data, options);
      const auto held_out = MakeHeldOutSet(data, options, 5);
      ASSERT_TRUE(set.ok() && held_out.ok());
      ASSERT_THAT(held_out->windows, SizeIs(5));
      EXPECT_THAT(held_out->warnings, IsEmpty());
      EXPECT_NE(held_out->hash, set->hash);
      std::set<uint32_t> used;
      for (const auto& window : set->windows) {
        for (const uint32_t id : window) used.insert(id == kEos ? kEos : id / 1000);
      }
      for (const auto& window : held_out->windows) {
        EXPECT_THAT(window, SizeIs(8));
        for (const uint32_t id : window) {
          if (id == kEos) continue;
          EXPECT_FALSE(used.contains(id / 1000)) << id;
        }
      }
    }
  }
}

TEST(CalibrationSetTest, HeldOutWindowsOfASingleDocumentAreItsTail) {
  const auto held_out = MakeHeldOutSet(Numbered({20}), {.samples = 2, .sequence_length = 4}, 3);
  ASSERT_TRUE(held_out.ok()) << held_out.status();
  EXPECT_THAT(held_out->windows, ElementsAre(ElementsAre(8, 9, 10, 11), ElementsAre(12, 13, 14, 15),
                                             ElementsAre(16, 17, 18, 19)));
  const auto nothing = MakeHeldOutSet(Numbered({10}), {.samples = 9, .sequence_length = 4}, 3);
  ASSERT_TRUE(nothing.ok()) << nothing.status();
  EXPECT_THAT(nothing->windows, IsEmpty());
  EXPECT_THAT(nothing->warnings,
              ElementsAre("calibration data d.txt: 0 held-out windows of 4 tokens instead of 3: "
                          "the calibration takes the rest"));
}

TEST(CalibrationSetTest, WithoutSamplesAllIsHeldOut) {
  const auto held_out = MakeHeldOutSet(Numbered({6, 6}), {.samples = 0, .sequence_length = 4}, 4);
  ASSERT_TRUE(held_out.ok()) << held_out.status();
  EXPECT_THAT(held_out->windows, SizeIs(3));
  EXPECT_THAT(held_out->warnings,
              ElementsAre("calibration data d.txt: 3 held-out windows of 4 tokens instead of 4: "
                          "the data have no more"));
}

TEST(CalibrationSetTest, RefusesTooLittleAndBadOptions) {
  const auto refusal = [](const TokenizedDocuments& data, CalibrationOptions options) {
    const auto set = MakeCalibrationSet(data, options);
    EXPECT_EQ(ErrorOf(set.status()), Error::kInvalidArgument);
    return std::string(set.status().message());
  };
  EXPECT_EQ(refusal(Numbered({3, 3}), {.samples = 1, .sequence_length = 8}),
            "calibration data d.txt: found 7 tokens, expected 8 at least");
  EXPECT_EQ(refusal(Numbered({}), {.samples = 1, .sequence_length = 8}),
            "calibration data d.txt: found 0 tokens, expected 8 at least");
  EXPECT_EQ(refusal(Numbered({9}), {.samples = 0}),
            "calibration samples: found 0, expected 1 to 1048576");
  EXPECT_EQ(refusal(Numbered({9}), {.sequence_length = 0}),
            "calibration sequence length: found 0, expected 1 to 1048576");
  EXPECT_EQ(refusal(Numbered({9}), {.sequence_length = 2'000'000}),
            "calibration sequence length: found 2000000, expected 1 to 1048576");
  EXPECT_EQ(refusal(Numbered({9}, {kBos}), {.sequence_length = 1}),
            "calibration sequence length: found 1, expected more than the 1 tokens that the "
            "tokenizer puts before each text");
  EXPECT_EQ(ErrorOf(MakeHeldOutSet(Numbered({9}), {}, 0).status()), Error::kInvalidArgument);
}

TEST(CalibrationSetTest, TellsDegenerateData) {
  TokenizedDocuments same = Numbered({});
  same.documents = {TokenIds(1000, 7)};
  const auto refused = MakeCalibrationSet(same, {.samples = 10, .sequence_length = 100});
  EXPECT_EQ(ErrorOf(refused.status()), Error::kInvalidArgument);
  EXPECT_EQ(std::string(refused.status().message()),
            "calibration data d.txt: found token 7 1000 times among 1000 tokens, expected text");
  TokenizedDocuments poor = Numbered({});
  poor.documents = {TokenIds()};
  for (uint32_t i = 0; i < 12'000; ++i) poor.documents[0].push_back(i % 99);
  const auto warned = MakeCalibrationSet(poor, {.samples = 12, .sequence_length = 1000});
  ASSERT_TRUE(warned.ok()) << warned.status();
  EXPECT_THAT(warned->warnings,
              ElementsAre("calibration data d.txt: the first 10000 tokens have only 99 different "
                          "ones; such data measure a model badly"));
  // Of less data as much less is asked.
  const auto words = MakeCalibrationSet(poor, {.samples = 16, .sequence_length = 256});
  ASSERT_TRUE(words.ok()) << words.status();
  EXPECT_THAT(words->warnings, IsEmpty());
  for (uint32_t& id : poor.documents[0]) id %= 2;
  const auto two = MakeCalibrationSet(poor, {.samples = 16, .sequence_length = 256});
  ASSERT_TRUE(two.ok()) << two.status();
  EXPECT_THAT(two->warnings,
              ElementsAre("calibration data d.txt: the first 4096 tokens have only 2 different "
                          "ones; such data measure a model badly"));
  for (uint32_t i = 0; i < 12'000; ++i) poor.documents[0][i] = i % 99;
  for (uint32_t& id : poor.documents[0]) id = id == 0 ? 0 : id + 200;
  poor.documents[0][50] = 100;  // 100 different ones are enough
  EXPECT_THAT(MakeCalibrationSet(poor, {.samples = 12, .sequence_length = 1000})->warnings,
              IsEmpty());
}

// --- with tokenizers ---

TEST(CalibrationSetTest, MarksAreThoseOfTheModel) {
  struct Case {
    const char* model;
    const char* model_type;
    const char* eos;  // its text
    const char* bos;  // null: none is added
  };
  for (const Case& c : {Case{"Llama-3.2-tiny-Instruct", "llama", "<|eot_id|>", "<|begin_of_text|>"},
                        Case{"llama2-spm-sharded", "llama", "</s>", "<s>"},
                        Case{"Qwen2.5-tiny-Instruct", "qwen2", "<|im_end|>", nullptr},
                        Case{"Qwen3-tiny", "qwen3", "<|im_end|>", nullptr},
                        Case{"gemma-3-tiny-it", "gemma3_text", "<eos>", "<bos>"},
                        Case{"gpt2-tiny", "gpt2", "<|endoftext|>", nullptr}}) {
    SCOPED_TRACE(c.model);
    const auto tokenizer = tokenizer::Tokenizer::FromDirectory(ModelDir(c.model), c.model_type);
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    const auto marks = ReadTextMarks(ModelDir(c.model), **tokenizer);
    ASSERT_TRUE(marks.ok()) << marks.status();
    ASSERT_TRUE(marks->eos.has_value());
    EXPECT_EQ((*tokenizer)->TextOf(*marks->eos), c.eos);
    ASSERT_THAT(marks->prefix, SizeIs(c.bos == nullptr ? 0 : 1));
    if (c.bos == nullptr) continue;
    EXPECT_EQ((*tokenizer)->TextOf(marks->prefix[0]), c.bos);
  }
}

TEST(CalibrationSetTest, EosMayStandInConfigJson) {
  const TempDir dir;
  std::filesystem::copy(ModelDir("gpt2-tiny") / "tokenizer.json", dir.path() / "tokenizer.json");
  const auto tokenizer = tokenizer::Tokenizer::FromDirectory(dir.path(), "other");
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  const auto eos = [&](std::string_view config) {
    EXPECT_TRUE(WriteFileAtomically(dir.path() / "config.json", config).ok());
    return ReadTextMarks(dir.path(), **tokenizer);
  };
  EXPECT_EQ(eos(R"({"eos_token_id": 5})")->eos, 5u);
  EXPECT_EQ(eos(R"({"eos_token_id": [6, 7]})")->eos, 6u);
  EXPECT_EQ(eos("{}")->eos, std::nullopt);
  EXPECT_EQ(std::string(eos(R"({"eos_token_id": 999999})").status().message()),
            "config.json: eos_token_id: found 999999, expected an id of the tokenizer, below " +
                std::to_string((*tokenizer)->end_id()));
}

TEST(CalibrationSetTest, IdsDoNotDependOnThreads) {
  std::string hash;
  for (const size_t threads : {1, 2, 5}) {
    Job job(threads);
    const auto data =
        LoadCalibrationData(std::nullopt, ModelDir("Qwen3-tiny"), "qwen3", job.context());
    ASSERT_TRUE(data.ok()) << data.status();
    EXPECT_EQ(data->description, "built-in text");
    const auto set = MakeCalibrationSet(*data, {});
    ASSERT_TRUE(set.ok()) << set.status();
    EXPECT_THAT(set->windows, SizeIs(256));
    EXPECT_THAT(set->warnings, IsEmpty());
    if (hash.empty()) hash = set->hash;
    EXPECT_EQ(set->hash, hash);
  }
}

TEST(CalibrationSetTest, ConversationsGoThroughTheModelsTemplate) {
  const TempDir dir;
  for (const auto& entry : std::filesystem::directory_iterator(ModelDir("Qwen3-tiny"))) {
    std::filesystem::copy(entry.path(), dir.path() / entry.path().filename());
  }
  std::ofstream(dir.path() / "data.jsonl") << "{\"messages\": [{\"role\": \"user\", \"content\": "
                                              "\"the\"}]}\n\"the\"\n{\"input_ids\": [5]}\n";
  Job job(2);
  const auto data =
      LoadCalibrationData(dir.path() / "data.jsonl", dir.path(), "qwen3", job.context());
  ASSERT_TRUE(data.ok()) << data.status();
  ASSERT_THAT(data->documents, SizeIs(3));
  const auto tokenizer = tokenizer::Tokenizer::FromDirectory(dir.path(), "qwen3");
  EXPECT_EQ((*tokenizer)->Decode(data->documents[0], false).value(),
            "<|im_start|>user\nthe<|im_end|>\n");
  EXPECT_EQ(data->documents[1], (*tokenizer)->Encode("the", false).value());
  EXPECT_THAT(data->documents[2], ElementsAre(5));

  std::ofstream(dir.path() / "data.jsonl") << "\"the\"\n{\"input_ids\": [5, 99999]}\n";
  const auto strange =
      LoadCalibrationData(dir.path() / "data.jsonl", dir.path(), "qwen3", job.context());
  EXPECT_EQ(ErrorOf(strange.status()), Error::kInvalidArgument);
  EXPECT_THAT(std::string(strange.status().message()),
              HasSubstr("data.jsonl: line 2: input_ids[1]: found 99999, expected an id of the "
                        "model's tokenizer, below "));
}

TEST(CalibrationSetTest, ConversationsNeedATemplate) {
  const TempDir dir;
  std::ofstream(dir.path() / "data.jsonl")
      << "{\"messages\": [{\"role\": \"user\", \"content\": \"the\"}]}\n";
  Job job(1);
  const auto data =
      LoadCalibrationData(dir.path() / "data.jsonl", ModelDir("gpt2-tiny"), "gpt2", job.context());
  EXPECT_EQ(ErrorOf(data.status()), Error::kInvalidArgument);
  EXPECT_EQ(std::string(data.status().message()),
            "data.jsonl: line 1: found a conversation, expected text: the model has no chat "
            "template");
}

TEST(CalibrationSetTest, StopsWhenAsked) {
  Job job(2);
  job.stop.request_stop();
  const auto data = LoadCalibrationData(std::nullopt, ModelDir("gpt2-tiny"), "gpt2", job.context());
  EXPECT_EQ(ErrorOf(data.status()), Error::kCancelled);
}

TEST(CalibrationSetTest, TheBuiltInTextIsEnoughForARealTokenizer) {
  const auto model = SmolLm2Dir();
  if (!model.has_value()) GTEST_SKIP() << "no SmolLM2: tests/support/make_smollm2.sh makes it";
  Job job(2);
  const auto data = LoadCalibrationData(std::nullopt, *model, "llama", job.context());
  ASSERT_TRUE(data.ok()) << data.status();
  const auto set = MakeCalibrationSet(*data, {});
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_THAT(set->windows, SizeIs(256));
  EXPECT_THAT(set->warnings, IsEmpty());
  EXPECT_THAT(MakeHeldOutSet(*data, {}, 16)->windows, SizeIs(16));
}

}  // namespace
}  // namespace quantized
