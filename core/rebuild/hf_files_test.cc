// The way there and back: a directory, what it becomes as GGUF, what is rebuilt of that, and what
// this becomes in turn.
#include "core/rebuild/hf_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/hf/tokenizer/tokenizer.h"
#include "core/rebuild/model_config.h"
#include "core/rebuild/test_forward.h"
#include "core/rebuild/test_source.h"
#include "core/rebuild/tokenizer.h"
#include "core/source/hf_source.h"
#include "nlohmann/json.hpp"
#include "tests/support/paths.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::HasSubstr;
using tokenizer::Tokenizer;

json ReadJson(const fs::path& path) {
  const auto text = ReadFile(path, uint64_t{64} << 20);
  EXPECT_TRUE(text.ok()) << text.status();
  return json::parse(text.value_or("null"));
}

// The rebuilt files, and the weights of `original`, under its name.
fs::path WriteRebuilt(const std::vector<HfFile>& files, const fs::path& original,
                      const fs::path& folder) {
  const fs::path directory = folder / original.filename();
  fs::create_directory(directory);
  for (const HfFile& file : files) {
    const absl::Status written = WriteFileAtomically(directory / file.name, file.bytes);
    EXPECT_TRUE(written.ok()) << written;
  }
  for (const auto& entry : fs::directory_iterator(original)) {
    const std::string name = entry.path().filename();
    if (name.find(".safetensors") != std::string::npos) {
      fs::create_symlink(fs::absolute(entry.path()), directory / name);
    }
  }
  return directory;
}

// Every key that a model runs by; not its name, author and the like, which are no files' business.
bool IsCompared(std::string_view key) {
  return !key.starts_with("general.") || key.starts_with("general.sampling.") ||
         key == "general.architecture";
}

// The keys that differ, or that one of the two lacks.
std::set<std::string> Differences(const gguf::Metadata& a, const gguf::Metadata& b) {
  std::set<std::string> keys;
  const auto compare = [&](const gguf::Metadata& from, const gguf::Metadata& to) {
    for (const gguf::Metadata::Entry& entry : from.entries()) {
      const gguf::Value* other = to.Find(entry.key);
      if (IsCompared(entry.key) && (other == nullptr || *other != entry.value)) {
        keys.insert(entry.key);
      }
    }
  };
  compare(a, b);
  compare(b, a);
  return keys;
}

void ExpectSameIds(const Tokenizer& got, const Tokenizer& want,
                   std::optional<std::string_view> unlike_texts) {
  for (const std::string text : ReadJson(testing::GoldenDir() / "tokenizers" / "texts.json")) {
    if (unlike_texts && text.find(*unlike_texts) != std::string::npos) continue;
    SCOPED_TRACE(::testing::PrintToString(text));
    for (const bool special : {false, true}) {
      const auto ids = got.Encode(text, special), expected = want.Encode(text, special);
      ASSERT_TRUE(ids.ok() && expected.ok()) << ids.status() << expected.status();
      EXPECT_EQ(*ids, *expected);
      const auto decoded = got.Decode(*ids, /*skip_special=*/true);
      ASSERT_TRUE(decoded.ok()) << decoded.status();
      EXPECT_EQ(*decoded, *want.Decode(*ids, /*skip_special=*/true));
    }
  }
}

// What a GGUF file cannot tell of a model, and so does not come back.
struct Loss {
  std::string_view model;
  std::set<std::string> keys = {};  // that differ
  bool runs_otherwise = false;      // its forward pass differs
  // Texts that hold this are split otherwise; all hold an empty one.
  std::optional<std::string_view> unlike_texts = {};
};
const Loss kLosses[] = {
    // Mistral's configuration does without the length of a head; Llama's has it.
    {"mistral-null-kv", {"llama.attention.key_length", "llama.attention.value_length"}},
    // … and its window is written nowhere.
    {"mistral-no-head-dim",
     {"llama.attention.key_length", "llama.attention.value_length"},
     /*runs_otherwise=*/true},
    // Without a model type no class has put in what runtimes take for granted.
    {"plain-7B",
     {"llama.attention.key_length", "llama.attention.value_length", "llama.rope.freq_base"}},
    // Their class scales scores for heads of 256, runtimes for those that the model has.
    {"gemma-2-f16", {}, true, "  "},
    {"gemma-3-f16", {}, true, "  "},
    {"gemma-3-oov-rows", {}, true, "  "},
    // The merges of these tiny vocabularies put the user-defined piece of two blanks last, which
    // SentencePiece, and Gemma's own files, put first.
    {"gemma-3-4b-it", {}, false, "  "},
    {"gemma-2-tiny-it", {}, false, "  "},
    {"gemma-3-tiny-it", {}, false, "  "},
    // The name of another pre-tokenizer was forced upon it.
    {"Phi-4-bpe", {}, false, ""},
    // The class lets weights of experts be, where config.json does not say; runtimes never do.
    {"Qwen3-MoE-tied", {}, true},
};

const Loss& LossOf(std::string_view model) {
  static const Loss kNone;
  for (const Loss& loss : kLosses) {
    if (loss.model == model) return loss;
  }
  return kNone;
}

// What is refused, and why.
struct Refusal {
  std::string_view model, message;
};
constexpr Refusal kRefusals[] = {
    // No class has a longrope with the scores' factor of yarn.
    {"Phi-3-yarn", "phi3.rope.scaling.attn_factor: found 1.27726, expected 1.1547"},
    // Its class has biases of query, key, value and output, or none.
    {"Qwen3-Embedding-0.6B", "tensor blk.0.attn_v.bias: found nothing, expected a bias"},
};

void ExpectRoundTrip(const fs::path& original, const std::string& pre_tokenizer) {
  const Loss& loss = LossOf(original.filename().string());
  const SourceOptions options{.pre_tokenizer = pre_tokenizer};
  const auto source = OpenHfSource(original, options);
  ASSERT_TRUE(source.ok()) << source.status();
  const auto files = RebuildHfFiles(**source);
  for (const Refusal& refusal : kRefusals) {
    if (refusal.model != original.filename().string()) continue;
    ASSERT_FALSE(files.ok());
    EXPECT_EQ(ErrorOf(files.status()), Error::kUnsupportedConversion);
    EXPECT_THAT(files.status().ToString(), HasSubstr(std::string(refusal.message)));
    EXPECT_EQ(SuggestionOf(files.status()), "Convert to another level of gguf");
    return;
  }
  ASSERT_TRUE(files.ok()) << files.status();
  const testing::TempDir folder;
  const fs::path directory = WriteRebuilt(*files, original, folder.path());

  const auto again = OpenHfSource(directory, options);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(Differences((*source)->metadata(), (*again)->metadata()), loss.keys);
  ASSERT_EQ((*again)->tensors().size(), (*source)->tensors().size());

  const auto rebuilt = RebuildConfig(**source);
  ASSERT_TRUE(rebuilt.ok()) << rebuilt.status();
  if (!loss.runs_otherwise) {
    testing::ExpectSameForward(*rebuilt->architecture, rebuilt->config, *HfConfig::Read(original));
  }

  const json config = ReadJson(original / "config.json");
  const auto want = Tokenizer::FromDirectory(original, config.value("model_type", ""));
  ASSERT_TRUE(want.ok()) << want.status();
  const auto loaded = Tokenizer::FromDirectory(directory, rebuilt->architecture->model_type);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  auto file = RebuildTokenizer(*rebuilt->architecture, (*source)->metadata());
  ASSERT_TRUE(file.ok()) << file.status();
  const auto made = Tokenizer::Create(*std::move(file));
  ASSERT_TRUE(made.ok()) << made.status();
  ExpectSameIds(**loaded, **want, loss.unlike_texts);
  ExpectSameIds(**made, **want, loss.unlike_texts);
}

// The small model of that name, as it would be in a GGUF file.
testing::TestSource SourceOf(std::string_view model, const std::string& pre_tokenizer) {
  const auto source = OpenHfSource(testing::GoldenDir() / "hf2gguf/models" / model,
                                   {.pre_tokenizer = pre_tokenizer});
  EXPECT_TRUE(source.ok()) << source.status();
  return testing::CopyOf(**source);
}

json FileOf(const std::vector<HfFile>& files, std::string_view name) {
  const auto found = std::ranges::find(files, name, &HfFile::name);
  return found == files.end() ? json() : json::parse(found->bytes);
}

TEST(HfFilesTest, GenerationStopsWhereRuntimesStop) {
  const auto files = RebuildHfFiles(SourceOf("Llama-3.9-1B-Instruct", "llama-bpe"));
  ASSERT_TRUE(files.ok()) << files.status();
  // <|eot_id|>, the file's end of text, and <|end_of_text|>.
  EXPECT_EQ(FileOf(*files, "generation_config.json"), json({{"bos_token_id", 400},
                                                            {"eos_token_id", {405, 401}},
                                                            {"do_sample", true},
                                                            {"repetition_penalty", 1.05},
                                                            {"temperature", 1.0},
                                                            {"top_k", 50},
                                                            {"top_p", 0.9}}));
}

TEST(HfFilesTest, ModelsThatPoolSayHow) {
  testing::TestSource source = SourceOf("qwen2-yarn", "qwen2");
  source.keys.Set("qwen2.pooling_type", uint32_t{3});
  const auto files = RebuildHfFiles(source);
  ASSERT_TRUE(files.ok()) << files.status();
  EXPECT_EQ(FileOf(*files, "1_Pooling/config.json")["pooling_mode_lasttoken"], true);
  EXPECT_EQ(FileOf(*files, "modules.json").size(), 2u);
  source.keys.Set("qwen2.pooling_type", uint32_t{4});
  EXPECT_THAT(std::string(RebuildHfFiles(source).status().message()),
              HasSubstr("qwen2.pooling_type: found 4, expected 1, 2 or 3"));
}

TEST(HfFilesTest, RefuseTokensThatAreNotTheEmbeddings) {
  testing::TestSource source = SourceOf("qwen2-yarn", "qwen2");
  source.Find("token_embd.weight")->dims[1] = 500;
  EXPECT_THAT(std::string(RebuildHfFiles(source).status().message()),
              HasSubstr("tokenizer.ggml.tokens: found 427, expected as many as token_embd.weight "
                        "has rows, 500"));
  EXPECT_FALSE(RebuildHfFiles(SourceOf("qwen2-yarn", "qwen2"), "no-name").ok());
}

std::string PreTokenizerOf(const fs::path& golden) {
  const json hint = ReadJson(golden).value("pre_hint", json());
  return hint.is_string() ? hint.get<std::string>() : "";
}

TEST(HfFilesTest, ComeBackFromSmallModels) {
  size_t models = 0;
  for (const auto& entry : fs::directory_iterator(testing::GoldenDir() / "hf2gguf/models")) {
    if (!entry.is_directory()) continue;
    SCOPED_TRACE(entry.path().filename());
    ExpectRoundTrip(entry.path(), PreTokenizerOf(entry.path().string() + ".json"));
    ++models;
  }
  EXPECT_EQ(models, 20u);
}

TEST(HfFilesTest, ComeBackFromTheLargeSet) {
  const auto large = testing::LargeGoldenDir();
  if (!large) GTEST_SKIP() << "QUANTIZED_GOLDEN names no folder with the large golden data";
  const fs::path root = *large / "hf2gguf";
  size_t models = 0;
  for (const auto& entry : fs::directory_iterator(root / "models")) {
    const auto config = HfConfig::Read(entry.path());
    if (!config.ok() || FindArchitecture(config->architecture()) == nullptr) continue;
    SCOPED_TRACE(entry.path().filename());
    const std::string name = entry.path().filename();
    ExpectRoundTrip(entry.path(), PreTokenizerOf(root / "golden" / (name + ".json")));
    ++models;
  }
  EXPECT_EQ(models, 10u);
}

}  // namespace
}  // namespace quantized
