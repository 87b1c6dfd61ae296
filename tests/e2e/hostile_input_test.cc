// Bad input through the whole road: the right exit code, one error object on stdout, a message that
// names file, field, found and expected, nothing left behind.
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/support/hf_models.h"
#include "tests/support/sandbox.h"

namespace quantized {
namespace {

using nlohmann::json;
using std::filesystem::path;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using namespace testing;  // NOLINT: the support library

constexpr char kFirstShard[] = "model-00001-of-00003.safetensors";
constexpr char kEmbedding[] = "model.embed_tokens.weight";

// Puts the two bytes of an f16 or bf16 value over the first value of the embedding.
void PutFirstValue(const path& model, uint16_t bits) {
  std::string shard = ReadAll(model / kFirstShard);
  uint64_t header_bytes = 0;
  shard.copy(reinterpret_cast<char*>(&header_bytes), 8);
  const json header = json::parse(shard.substr(8, header_bytes));
  const uint64_t at = 8 + header_bytes + header[kEmbedding]["data_offsets"][0].get<uint64_t>();
  shard.replace(at, 2, std::string(reinterpret_cast<const char*>(&bits), 2));
  WriteAll(model / kFirstShard, shard);
}

void TruncateTo(const path& file, double part) {
  std::filesystem::resize_file(file,
                               static_cast<uintmax_t>(std::filesystem::file_size(file) * part));
}

struct Case {
  const char* name;
  void (*damage)(const path& model);
  int exit_code;
  std::vector<const char*> message;  // parts that it must hold
};

const Case kCases[] = {
    {"EmptyFolder",
     [](const path& m) {
       std::filesystem::remove_all(m);
       std::filesystem::create_directory(m);
     },
     3,
     {"model"}},
    {"NoConfig",
     [](const path& m) { std::filesystem::remove(m / "config.json"); },
     3,
     {"config.json"}},
    {"OnlyPickle",
     [](const path& m) {
       for (const auto& file : FilesBelow(m)) {
         if (path(file).extension() == ".safetensors") std::filesystem::remove(m / file);
       }
       std::filesystem::remove(m / "model.safetensors.index.json");
       WriteAll(m / "pytorch_model.bin", "\x80\x02}q.");
     },
     3,
     {"pytorch_model", "safetensors"}},
    {"GitLfsPointer",
     [](const path& m) {
       WriteAll(m / kFirstShard,
                "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 123\n");
     },
     6,
     {kFirstShard, "git-lfs"}},
    {"MissingShard",
     [](const path& m) { std::filesystem::remove(m / kFirstShard); },
     6,
     {kFirstShard}},
    {"TruncatedShard", [](const path& m) { TruncateTo(m / kFirstShard, 0.5); }, 6, {kFirstShard}},
    {"TruncatedHeader",
     [](const path& m) { TruncateTo(m / kFirstShard, 0.0001); },
     6,
     {kFirstShard}},
    {"HugeHeader",
     [](const path& m) { WriteAll(m / kFirstShard, std::string(8, '\x7f') + "{}"); },
     6,
     {kFirstShard}},
    {"HeaderIsNotJson",
     [](const path& m) {
       ReplaceSafetensorsHeader(m / kFirstShard,
                                [](const std::string& h) { return std::string(h.size(), '['); });
     },
     6,
     {kFirstShard}},
    {"OverlappingOffsets",
     [](const path& m) {
       EditSafetensorsHeader(m / kFirstShard, [](json& h) {
         for (auto& [name, tensor] : h.items()) {
           if (name == kEmbedding || name == "__metadata__") continue;
           tensor["data_offsets"] = h[kEmbedding]["data_offsets"];
           break;
         }
       });
     },
     6,
     {kFirstShard}},
    {"OffsetsBeyondTheFile",
     [](const path& m) {
       EditSafetensorsHeader(m / kFirstShard, [](json& h) {
         h[kEmbedding]["data_offsets"] = {0, uint64_t{1} << 62};
       });
     },
     6,
     {kFirstShard, kEmbedding}},
    {"HugeShape",
     [](const path& m) {
       EditSafetensorsHeader(m / kFirstShard, [](json& h) {
         h[kEmbedding]["shape"] = {uint64_t{1} << 40, uint64_t{1} << 40};
       });
     },
     6,
     {kFirstShard, kEmbedding}},
    {"UnknownDtype",
     [](const path& m) {
       EditSafetensorsHeader(m / kFirstShard, [](json& h) { h[kEmbedding]["dtype"] = "Q9"; });
     },
     6,
     {kFirstShard, kEmbedding, "Q9"}},
    {"DuplicateName",
     [](const path& m) {
       ReplaceSafetensorsHeader(m / kFirstShard, [](const std::string& header) {
         const json object = json::parse(header);
         return "{\"" + std::string(kEmbedding) + "\":" + object[kEmbedding].dump() + "," +
                header.substr(1);
       });
     },
     6,
     {kFirstShard, kEmbedding}},
    {"UnknownTensor",
     [](const path& m) {
       for (const char* file : {kFirstShard, "model.safetensors.index.json"}) {
         std::string text = ReadAll(m / file);
         const size_t at = text.find("embed_tokens");
         if (at != std::string::npos) WriteAll(m / file, text.replace(at, 12, "embed_tokenz"));
       }
     },
     6,
     {"model.embed_tokenz.weight"}},
    {"ConfigIsNotJson",
     [](const path& m) { WriteAll(m / "config.json", "{\"a\": "); },
     6,
     {"config.json"}},
    {"ConfigNestsDeeply",
     [](const path& m) { WriteAll(m / "config.json", std::string(1'000'000, '[')); },
     6,
     {"config.json"}},
    {"UnknownArchitecture",
     [](const path& m) {
       EditJson(m / "config.json", [](json& c) { c["architectures"] = {"FantasyForCausalLM"}; });
     },
     6,
     {"config.json", "FantasyForCausalLM", "LlamaForCausalLM"}},
    {"ConfigDisagreesWithTensors",
     [](const path& m) { EditJson(m / "config.json", [](json& c) { c["hidden_size"] = 512; }); },
     6,
     {"512"}},
    {"TokenizerIsDamaged",
     [](const path& m) { TruncateTo(m / "tokenizer.model", 0.5); },
     6,
     {"tokenizer.model"}},
    {"NotANumber", [](const path& m) { PutFirstValue(m, 0x7FC1); }, 6, {kEmbedding, "NaN"}},
};

class HostileInputTest : public ::testing::TestWithParam<Case> {};

TEST_P(HostileInputTest, IsRefusedAndLeavesNothing) {
  const Case& test = GetParam();
  Sandbox sandbox;
  const path model = CopyModel(TinyModel(), sandbox.path() / "model");
  test.damage(model);
  const ProcessResult result =
      sandbox.Run({"--format", "json", "quantize", model, "gguf", "-q", "Q4_K_M"});
  EXPECT_EQ(result.exit_code, test.exit_code) << result.out << result.err;
  const json error = json::parse(result.out, nullptr, false);
  ASSERT_TRUE(error.is_object()) << result.out;
  EXPECT_EQ(error["status"], "error");
  EXPECT_EQ(error["error_code"], test.exit_code);
  for (const char* part : test.message) {
    EXPECT_THAT(error["message"].get<std::string>(), HasSubstr(part));
  }
  EXPECT_THAT(FilesBelow(sandbox.work()), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(All, HostileInputTest, ::testing::ValuesIn(kCases),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(HostileTokenizerTest, UnknownTokenizerNamesTheWayOut) {
  Sandbox sandbox;
  const path model = CopyModel(BpeModel(), sandbox.path() / "model");
  EditJson(model / "tokenizer.json", [](json& tokenizer) {
    tokenizer["pre_tokenizer"] = {{"type", "Split"},
                                  {"pattern", {{"Regex", "[aeiou]+"}}},
                                  {"behavior", "Isolated"},
                                  {"invert", false}};
  });
  const ProcessResult refused =
      sandbox.Run({"--format", "json", "quantize", model, "gguf", "-q", "Q8_0"});
  EXPECT_EQ(refused.exit_code, 6) << refused.out;
  EXPECT_THAT(refused.out, HasSubstr("--pre"));
  EXPECT_THAT(FilesBelow(sandbox.work()), IsEmpty());
  const ProcessResult named = sandbox.Run(
      {"--format", "json", "quantize", "--pre", "llama-bpe", model, "gguf", "-q", "Q8_0"});
  EXPECT_EQ(named.exit_code, 0) << named.err;
}

}  // namespace
}  // namespace quantized
