#include "core/hf/tokenizer/tokenizer_metadata.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <fstream>
#include <set>
#include <span>

#include "core/base/error.h"
#include "core/base/sha256.h"
#include "core/hf/tokenizer/pre_tokenizer.h"
#include "core/hf/tokenizer/pre_tokenizer_name.h"
#include "core/hf/tokenizer/test_json.h"
#include "nlohmann/json.hpp"
#include "tests/support/paths.h"

namespace quantized {
namespace {

using testing::GoldenDir;
using ::testing::HasSubstr;
using testing::LargeGoldenDir;
using testing::TempDir;

// An array's SHA-256 as the goldens have it: the payload as it stands in a GGUF file.
std::string PayloadHash(const gguf::Array& array) {
  Sha256 sha;
  const auto update = [&](const auto& values) {
    for (const auto& value : values) {
      if constexpr (std::is_same_v<std::decay_t<decltype(value)>, std::string>) {
        const uint64_t size = value.size();
        sha.Update(std::as_bytes(std::span(&size, 1)));
        sha.Update(value);
      } else {
        sha.Update(std::as_bytes(std::span(&value, 1)));
      }
    }
  };
  std::visit(update, array);
  return sha.HexDigest();
}

// The entry as the goldens write it, without the parts that only help a reader.
nlohmann::json Described(const gguf::Metadata::Entry& entry) {
  nlohmann::json out = {{"key", entry.key}};
  if (const auto* text = std::get_if<std::string>(&entry.value)) {
    out["type"] = "string";
    out["value"] = *text;
  } else if (const auto* number = std::get_if<uint32_t>(&entry.value)) {
    out["type"] = "uint32";
    out["value"] = *number;
  } else if (const auto* flag = std::get_if<bool>(&entry.value)) {
    out["type"] = "bool";
    out["value"] = *flag;
  } else if (const auto* array = std::get_if<gguf::Array>(&entry.value)) {
    out["type"] = "array";
    out["n"] = std::visit([](const auto& values) { return values.size(); }, *array);
    out["sha256"] = PayloadHash(*array);
  } else {
    ADD_FAILURE() << entry.key << " has a type that no tokenizer key has";
  }
  return out;
}

std::vector<std::string> Described(const gguf::Metadata& metadata) {
  std::vector<std::string> entries;
  for (const auto& entry : metadata.entries()) entries.push_back(Described(entry).dump());
  return entries;
}

// The tokenizer's part of a golden list of key-values, in the same form.
std::vector<std::string> Expected(const nlohmann::json& kv) {
  std::vector<std::string> entries;
  for (nlohmann::json entry : kv) {
    if (!entry["key"].get<std::string>().starts_with("tokenizer.")) continue;
    for (const char* help : {"elem", "head"}) entry.erase(help);
    entries.push_back(entry.dump());
  }
  return entries;
}

absl::StatusOr<gguf::Metadata> Convert(const std::filesystem::path& directory,
                                       const std::string& architecture, uint64_t vocab_size,
                                       const std::string& pre = "") {
  const nlohmann::json config = tokenizer::ReadTestJson(directory / "config.json");
  gguf::Metadata metadata;
  const absl::Status status =
      AppendTokenizerMetadata(directory, {config, vocab_size, architecture, pre}, metadata);
  if (!status.ok()) return status;
  return metadata;
}

std::string ArchitectureOf(const nlohmann::json& kv) {
  for (const auto& entry : kv) {
    if (entry["key"] == "general.architecture") return entry["value"];
  }
  ADD_FAILURE() << "no architecture";
  return "";
}

// Every model of the large set whose architecture this version converts, and others of the same
// kinds.
TEST(TokenizerMetadataTest, EqualsTheReferenceOnTheLargeSet) {
  const auto large = LargeGoldenDir();
  if (!large.has_value()) GTEST_SKIP() << "QUANTIZED_GOLDEN names no folder";
  const std::filesystem::path root = *large / "hf2gguf";
  const std::set<std::string> other_rules = {"Phi-3-tiny-128k", "gemma-2-tiny-it"};
  size_t compared = 0;
  for (const auto& file : std::filesystem::directory_iterator(root / "golden")) {
    const std::string name = file.path().stem();
    if (other_rules.contains(name)) continue;
    SCOPED_TRACE(name);
    const nlohmann::json golden = tokenizer::ReadTestJson(file.path());
    const nlohmann::json kv = golden["out"]["auto"]["kv"];
    const std::filesystem::path directory = root / "models" / name;
    const nlohmann::json hint = golden.value("pre_hint", nlohmann::json());
    const auto metadata = Convert(directory, ArchitectureOf(kv),
                                  tokenizer::ReadTestJson(directory / "config.json")["vocab_size"],
                                  hint.is_string() ? hint.get<std::string>() : "");
    ASSERT_TRUE(metadata.ok()) << metadata.status();
    EXPECT_EQ(Described(*metadata), Expected(kv));
    ++compared;
  }
  EXPECT_EQ(compared, 16u);
}

// Whole vocabularies, recognised by their hash. These goldens come from a version of the reference
// that does not take a ByteLevel post-processor for "adds neither bos nor eos"; ours, like that of
// the models above, does.
TEST(TokenizerMetadataTest, EqualsTheReferenceOnWholeVocabularies) {
  const auto large = LargeGoldenDir();
  if (!large.has_value()) GTEST_SKIP() << "QUANTIZED_GOLDEN names no folder";
  for (const std::string name : {"gpt-2", "falcon", "llama-bpe", "llama-spm"}) {
    SCOPED_TRACE(name);
    const std::filesystem::path directory = *large / "hf2gguf" / "tokenizers" / name;
    const nlohmann::json kv = tokenizer::ReadTestJson(directory / "golden.vocab.json")["kv"];
    auto metadata = Convert(directory, ArchitectureOf(kv),
                            tokenizer::ReadTestJson(directory / "config.json")["vocab_size"]);
    ASSERT_TRUE(metadata.ok()) << metadata.status();
    const std::vector<std::string> expected = Expected(kv);
    if (name != "llama-spm") {
      const bool* add_bos = metadata->Get<bool>("tokenizer.ggml.add_bos_token");
      ASSERT_NE(add_bos, nullptr);
      if (!*add_bos) metadata->Remove("tokenizer.ggml.add_bos_token");
      EXPECT_TRUE(metadata->Remove("tokenizer.ggml.add_eos_token"));
    }
    EXPECT_EQ(Described(*metadata), expected);
  }
}

// Without tokenizer.model the llama architecture reads the same vocabulary from tokenizer.json.
TEST(TokenizerMetadataTest, EqualsTheReferenceWithoutTokenizerModel) {
  const std::filesystem::path golden = GoldenDir() / "tokenizers";
  for (const nlohmann::json& test : tokenizer::ReadTestJson(golden / "llama_hf.json")) {
    SCOPED_TRACE(test["base"].get<std::string>());
    const TempDir dir;
    const std::filesystem::path base = golden / "models" / test["base"].get<std::string>();
    for (const char* name : {"tokenizer.json", "tokenizer_config.json", "config.json"}) {
      std::filesystem::copy(base / name, dir.path() / name);
    }
    const auto metadata = Convert(dir.path(), "llama", 32000);
    ASSERT_TRUE(metadata.ok()) << metadata.status();
    for (const char* name : {"tokens", "scores", "token_type"}) {
      const auto* array = metadata->Get<gguf::Array>(std::string("tokenizer.ggml.") + name);
      ASSERT_NE(array, nullptr) << name;
      EXPECT_EQ(PayloadHash(*array), test[name].get<std::string>()) << name;
    }
    EXPECT_EQ(*metadata->Get<std::string>("tokenizer.ggml.model"), "llama");
    EXPECT_EQ(*metadata->Get<std::string>("tokenizer.ggml.pre"), "default");
  }
}

// The committed tiny models, with the name of the pre-tokenizer given where the golden says so.
TEST(TokenizerMetadataTest, EqualsTheReference) {
  size_t compared = 0;
  for (const auto& model :
       std::filesystem::directory_iterator(GoldenDir() / "tokenizers" / "models")) {
    SCOPED_TRACE(model.path().filename());
    const nlohmann::json golden = tokenizer::ReadTestJson(model.path() / "golden.json");
    const uint64_t vocab_size = tokenizer::ReadTestJson(model.path() / "config.json")["vocab_size"];
    const std::string hint =
        golden["pre_hint"].is_string() ? golden["pre_hint"].get<std::string>() : "";
    auto metadata = Convert(model.path(), golden["architecture"], vocab_size, hint);
    ASSERT_TRUE(metadata.ok()) << metadata.status();
    EXPECT_EQ(Described(*metadata), Expected(golden["kv"]));
    // Without the hint the structure gives the same name: the hash of a cut-down vocabulary is not
    // known.
    metadata = Convert(model.path(), golden["architecture"], vocab_size);
    ASSERT_TRUE(metadata.ok()) << metadata.status();
    EXPECT_EQ(Described(*metadata), Expected(golden["kv"]));
    ++compared;
  }
  EXPECT_EQ(compared, 9u);
}

class TokenizerMetadataErrorTest : public ::testing::Test {
 protected:
  // A copy of a committed model that a test may damage.
  void Copy(const std::string& model) {
    const std::filesystem::path from = GoldenDir() / "tokenizers" / "models" / model;
    for (const auto& file : std::filesystem::directory_iterator(from)) {
      std::filesystem::copy(file.path(), dir_.path() / file.path().filename(),
                            std::filesystem::copy_options::overwrite_existing);
    }
  }
  // tokenizer.json with `change` done to it.
  template <typename Change>
  void ChangeJson(Change change) {
    nlohmann::json json = tokenizer::ReadTestJson(dir_.path() / "tokenizer.json");
    change(json);
    tokenizer::WriteTestJson(dir_.path() / "tokenizer.json", json);
  }
  absl::Status Status(const std::string& architecture, uint64_t vocab_size,
                      const std::string& pre = "") {
    return Convert(dir_.path(), architecture, vocab_size, pre).status();
  }
  TempDir dir_;
};

TEST_F(TokenizerMetadataErrorTest, NamesAnUnknownPreTokenizerByItsHash) {
  Copy("Qwen2.5-tiny-Instruct");
  ChangeJson([](nlohmann::json& json) {
    json["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "\\p{L}+";
  });
  const absl::Status status = Status("qwen2", 427);
  EXPECT_EQ(ErrorOf(status), Error::kValidationFailed);
  EXPECT_THAT(std::string(status.message()),
              ::testing::ContainsRegex("tokenizer.json: pre_tokenizer: found an unknown one with "
                                       "hash [0-9a-f]{64}"));
  EXPECT_THAT(SuggestionOf(status), HasSubstr("--pre NAME"));
  EXPECT_TRUE(Status("qwen2", 427, "qwen2").ok());
  const absl::Status bad_name = Status("qwen2", 427, "Qwen 2");
  EXPECT_EQ(ErrorOf(bad_name), Error::kInvalidArgument);
}

TEST_F(TokenizerMetadataErrorTest, RefusesOtherKindsOfModels) {
  Copy("gpt2-tiny");
  for (const char* type : {"WordPiece", "Unigram", "WordLevel"}) {
    ChangeJson([&](nlohmann::json& json) { json["model"]["type"] = type; });
    const absl::Status status = Status("qwen2", 401);
    EXPECT_EQ(ErrorOf(status), Error::kValidationFailed);
    EXPECT_THAT(std::string(status.message()), HasSubstr(std::string("found \"") + type));
    EXPECT_THAT(SuggestionOf(status), HasSubstr("byte-pair"));
  }
}

TEST_F(TokenizerMetadataErrorTest, SaysWhichFilesAreMissing) {
  tokenizer::WriteTestFile(dir_.path() / "config.json", "{}");
  const absl::Status status = Status("llama", 401);
  EXPECT_EQ(ErrorOf(status), Error::kModelNotFound);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("found neither tokenizer.json nor vocab.json and merges.txt"));
}

TEST_F(TokenizerMetadataErrorTest, SomeArchitecturesNeedSentencePiece) {
  Copy("Qwen3-tiny");
  for (const char* architecture : {"gemma2", "phi3"}) {
    const absl::Status status = Status(architecture, 410);
    EXPECT_EQ(ErrorOf(status), Error::kModelNotFound) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("tokenizer.model"));
  }
  EXPECT_TRUE(Status("qwen3moe", 410).ok()) << Status("qwen3moe", 410);
  nlohmann::json config = tokenizer::ReadTestJson(dir_.path() / "tokenizer_config.json");
  config["tokenizer_class"] = "GPT2Tokenizer";  // Phi-4's
  tokenizer::WriteTestFile(dir_.path() / "tokenizer_config.json", config.dump());
  EXPECT_TRUE(Status("phi3", 410).ok()) << Status("phi3", 410);
}

// Of Phi-3, tokenizer.json's added tokens count, and no token is special by its looks.
TEST_F(TokenizerMetadataErrorTest, Phi3TakesAddedTokensAsTheyAreMarked) {
  Copy("llama2-spm-sharded");
  tokenizer::WriteTestFile(dir_.path() / "tokenizer.json", R"({"model": {}, "added_tokens": [
      {"id": 5, "content": "<|a|>", "special": false}, {"id": 6, "content": "b", "special": true}]})");
  const auto metadata = Convert(dir_.path(), "phi3", 808);
  ASSERT_TRUE(metadata.ok()) << metadata.status();
  const auto& types =
      std::get<std::vector<int32_t>>(*metadata->Get<gguf::Array>("tokenizer.ggml.token_type"));
  const auto& texts =
      std::get<std::vector<std::string>>(*metadata->Get<gguf::Array>("tokenizer.ggml.tokens"));
  const auto& scores =
      std::get<std::vector<float>>(*metadata->Get<gguf::Array>("tokenizer.ggml.scores"));
  EXPECT_EQ(texts[5], "<|a|>");
  EXPECT_EQ(types[5], 4);
  EXPECT_EQ(texts[6], "b");
  EXPECT_EQ(types[6], 3);
  EXPECT_EQ(scores[6], -1000.0f);
}

TEST_F(TokenizerMetadataErrorTest, RefusesAVocabularySmallerThanTheTokenizer) {
  Copy("Qwen3-tiny");
  const absl::Status status = Status("qwen3", 400);
  EXPECT_EQ(ErrorOf(status), Error::kValidationFailed);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("vocab_size: found 400, expected more than the largest token id, 406"));
}

TEST_F(TokenizerMetadataErrorTest, PadsAVocabularyLargerThanTheTokenizer) {
  Copy("Qwen3-tiny");
  const auto metadata = Convert(dir_.path(), "qwen3", 410);
  ASSERT_TRUE(metadata.ok()) << metadata.status();
  const auto* array = metadata->Get<gguf::Array>("tokenizer.ggml.tokens");
  ASSERT_NE(array, nullptr);
  const auto& tokens = std::get<std::vector<std::string>>(*array);
  ASSERT_EQ(tokens.size(), 410u);
  EXPECT_EQ(tokens[409], "[PAD409]");
}

TEST_F(TokenizerMetadataErrorTest, RefusesDamagedConfigurations) {
  Copy("llama2-spm-sharded");
  struct Damage {
    const char* file;
    const char* text;
    const char* message;
  };
  for (const Damage& damage :
       {Damage{"tokenizer_config.json", "{", "tokenizer_config.json"},
        Damage{"tokenizer_config.json", R"({"added_tokens_decoder": []})",
               "added_tokens_decoder: found an array"},
        Damage{"tokenizer_config.json", R"({"added_tokens_decoder": {"x": {"content": "a"}}})",
               "expected an id"},
        Damage{"tokenizer_config.json", R"({"added_tokens_decoder": {"1": {"content": 1}}})",
               "expected an object with a string content"},
        Damage{"added_tokens.json", R"({"<x>": -1})", "added_tokens.json"},
        Damage{"tokenizer.model", "version https://git-lfs.github.com/spec/v1\n", "git-lfs"},
        Damage{"tokenizer.json", R"({"added_tokens": 1, "model": {}})", "added_tokens"},
        Damage{"config.json", R"({"bos_token_id": -1})", "bos_token_id: found -1"}}) {
    SCOPED_TRACE(damage.text);
    tokenizer::WriteTestFile(dir_.path() / damage.file, damage.text);
    const absl::Status status = Status("llama", 808);
    EXPECT_EQ(ErrorOf(status), Error::kValidationFailed) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(damage.message));
    std::filesystem::remove(dir_.path() / damage.file);
    Copy("llama2-spm-sharded");
  }
}

// Numbers that no integer type holds stand in real files.
TEST_F(TokenizerMetadataErrorTest, AcceptsHugeNumbers) {
  Copy("gemma-3-tiny-it");
  nlohmann::json config = tokenizer::ReadTestJson(dir_.path() / "tokenizer_config.json");
  std::string text = config.dump();
  text.insert(1, R"("a_length": 1000000000000000019884624838656,)");
  tokenizer::WriteTestFile(dir_.path() / "tokenizer_config.json", text);
  EXPECT_TRUE(Status("gemma3", 934).ok()) << Status("gemma3", 934);
}

TEST(TokenizerMetadataTest, NamesCodeLlamasInfillTokens) {
  const auto metadata =
      Convert(GoldenDir() / "tokenizers" / "models" / "llama2-spm-sharded", "llama", 32016);
  ASSERT_TRUE(metadata.ok()) << metadata.status();
  EXPECT_EQ(*metadata->Get<uint32_t>("tokenizer.ggml.prefix_token_id"), 32007u);
  EXPECT_EQ(*metadata->Get<uint32_t>("tokenizer.ggml.suffix_token_id"), 32008u);
  EXPECT_EQ(*metadata->Get<uint32_t>("tokenizer.ggml.middle_token_id"), 32009u);
  EXPECT_EQ(*metadata->Get<uint32_t>("tokenizer.ggml.eot_token_id"), 32010u);
}

// Each name of a structure leads to it and back; others stand for one of them.
TEST(TokenizerMetadataTest, ThePreTokenizersNameTellsItsStructure) {
  for (const std::string name :
       {"gpt-2", "olmo", "llama-bpe", "qwen2", "qwen35", "starcoder", "command-r", "falcon",
        "deepseek-llm", "deepseek-coder", "dbrx", "gpt-4o", "tekken"}) {
    const auto structure = tokenizer::PreTokenizerStructureOfName(name);
    ASSERT_TRUE(structure.has_value()) << name;
    EXPECT_EQ(tokenizer::PreTokenizerNameOfStructure(*structure), name);
    EXPECT_TRUE(tokenizer::PreTokenizer::Parse(structure->pre_tokenizer).ok()) << name;
  }
  EXPECT_EQ(
      tokenizer::PreTokenizerNameOfStructure(*tokenizer::PreTokenizerStructureOfName("smollm")),
      "starcoder");
  EXPECT_FALSE(tokenizer::PreTokenizerStructureOfName("default").has_value());
  EXPECT_FALSE(tokenizer::PreTokenizerStructureOfName("").has_value());
}

}  // namespace
}  // namespace quantized
