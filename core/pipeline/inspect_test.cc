#include "core/pipeline/inspect.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/file.h"
#include "core/gguf/layout.h"
#include "core/gguf/split_layout.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/paths.h"
#include "tests/support/safetensors_file.h"

namespace quantized {
namespace {

using kernels::TypeId;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::SafetensorsFile;

std::vector<std::string> KeysOf(const nlohmann::ordered_json& object) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : object.items()) keys.push_back(key);
  return keys;
}

class InspectTest : public ::testing::Test {
 protected:
  void Write(const std::filesystem::path& name, const std::string& contents) {
    const auto path = folder_.path() / name;
    ASSERT_TRUE(CreateDirectories(path.parent_path()).ok());
    ASSERT_TRUE(WriteFileAtomically(path, contents).ok());
  }
  absl::StatusOr<nlohmann::ordered_json> InspectAt(const std::string& name) const {
    return Inspect(folder_.path() / name);
  }

  const testing::TempDir folder_;
};

TEST_F(InspectTest, GgufFile) {
  const gguf::Metadata metadata({{"general.architecture", std::string("qwen2")},
                                 {"general.file_type", uint32_t{15}},
                                 {"qwen2.block_count", uint32_t{1}},
                                 {"qwen2.context_length", uint32_t{2048}},
                                 {"qwen2.attention.head_count", uint32_t{4}},
                                 {"tokenizer.ggml.model", std::string("gpt2")},
                                 {"tokenizer.ggml.pre", std::string("qwen2")}});
  const std::vector<gguf::PlannedTensor> tensors = {
      {"token_embd.weight", TypeId::kQ6_K, {256, 2}},
      {"blk.0.attn_q.weight", TypeId::kQ4_K, {256, 4}},
      {"output_norm.weight", TypeId::kF32, {256}}};
  const auto layout = gguf::Plan(metadata, tensors);
  ASSERT_TRUE(layout.ok()) << layout.status();
  std::string file = layout->header;
  file.resize(layout->file_size_bytes);
  Write("tiny-Q4_K_M.gguf", file);

  const auto info = InspectAt("tiny-Q4_K_M.gguf");
  ASSERT_TRUE(info.ok()) << info.status();
  const uint64_t size_bytes = 2 * 210 + 4 * 144 + 1024;
  const nlohmann::ordered_json expected = {{"model_name", "tiny-Q4_K_M"},
                                           {"architecture", "Qwen2ForCausalLM"},
                                           {"parameter_count", 256 * 7},
                                           {"hidden_size", 256},
                                           {"num_layers", 1},
                                           {"num_heads", 4},
                                           {"vocab_size", 2},
                                           {"torch_dtype", "Q4_K"},
                                           {"format", "gguf"},
                                           {"quantization_level", "Q4_K_M"},
                                           {"size_bytes", size_bytes},
                                           {"bits_per_weight", 8.0 * size_bytes / (256 * 7)},
                                           {"context_length", 2048},
                                           {"tokenizer_model", "gpt2"},
                                           {"tokenizer_pre", "qwen2"},
                                           {"chat_template", false},
                                           {"tensor_count", 3},
                                           {"tensor_types", {{"F32", 1}, {"Q4_K", 1}, {"Q6_K", 1}}},
                                           {"files", 1}};
  EXPECT_EQ(info->dump(1), expected.dump(1));
}

// Whichever file is named, and by the folder too: all of them count.
TEST_F(InspectTest, SplitGgufIsOneModel) {
  const gguf::Metadata metadata({{"general.architecture", std::string("llama")},
                                 {"general.file_type", uint32_t{7}},
                                 {"llama.block_count", uint32_t{2}},
                                 {"llama.embedding_length", uint32_t{32}}});
  const std::vector<gguf::PlannedTensor> tensors = {{"token_embd.weight", TypeId::kQ8_0, {32, 5}},
                                                    {"blk.0.attn_q.weight", TypeId::kQ8_0, {32, 3}},
                                                    {"blk.1.attn_q.weight", TypeId::kQ8_0, {32, 3}},
                                                    {"output_norm.weight", TypeId::kF32, {32}}};
  const std::vector<uint32_t> file_of_tensor = {0, 1, 1, 2};
  const auto files = gguf::PlanKeptSplit(metadata, tensors, file_of_tensor);
  ASSERT_TRUE(files.ok()) << files.status();
  ASSERT_EQ(files->size(), 3u);
  for (const gguf::SplitFile& file : *files) {
    std::string bytes = file.layout.header;
    bytes.resize(file.layout.file_size_bytes);
    Write("split/tiny" + file.suffix, bytes);
  }
  for (const char* path :
       {"split/tiny-00001-of-00003.gguf", "split/tiny-00003-of-00003.gguf", "split"}) {
    SCOPED_TRACE(path);
    const auto info = InspectAt(path);
    ASSERT_TRUE(info.ok()) << info.status();
    EXPECT_EQ((*info)["model_name"], "tiny");
    EXPECT_EQ((*info)["quantization_level"], "Q8_0");
    EXPECT_EQ((*info)["files"], 3);
    EXPECT_EQ((*info)["tensor_count"], 4);
    EXPECT_EQ((*info)["tensor_types"].dump(), R"({"Q8_0":3,"F32":1})");
    EXPECT_EQ((*info)["parameter_count"], 32 * (5 + 3 + 3 + 1));
    EXPECT_EQ((*info)["size_bytes"], 34 * (5 + 3 + 3) + 4 * 32);
  }
  std::filesystem::remove(folder_.path() / "split/tiny-00002-of-00003.gguf");
  EXPECT_EQ(ErrorOf(InspectAt("split").status()), Error::kValidationFailed);
}

TEST_F(InspectTest, HuggingFaceDirectoryOfAnUnknownArchitecture) {
  Write("model/config.json",
        R"({"architectures":["SomedayForCausalLM"],"hidden_size":4,"num_hidden_layers":2,)"
        R"("num_attention_heads":2,"vocab_size":3,"max_position_embeddings":77,)"
        R"("torch_dtype":"float32"})");
  Write("model/model-00001-of-00002.safetensors",
        SafetensorsFile()
            .Add("embed", "BF16", {3, 4}, std::string(24, '\0'))
            .Add("l.rotary_emb.inv_freq", "F32", {2}, std::string(8, '\0'))
            .Bytes());
  Write("model/model-00002-of-00002.safetensors",
        SafetensorsFile().Add("norm", "F32", {4}, std::string(16, '\0')).Bytes());
  const auto info = InspectAt("model/");
  ASSERT_TRUE(info.ok()) << info.status();
  const nlohmann::ordered_json expected = {{"model_name", "model"},
                                           {"architecture", "SomedayForCausalLM"},
                                           {"parameter_count", 16},
                                           {"hidden_size", 4},
                                           {"num_layers", 2},
                                           {"num_heads", 2},
                                           {"vocab_size", 3},
                                           {"torch_dtype", "bfloat16"},
                                           {"format", "safetensors"},
                                           {"size_bytes", 40},
                                           {"bits_per_weight", 20.0},
                                           {"context_length", 77},
                                           {"chat_template", false},
                                           {"tensor_count", 3},
                                           {"tensor_types", {{"F32", 2}, {"BF16", 1}}},
                                           {"files", 2}};
  EXPECT_EQ(info->dump(1), expected.dump(1));
}

TEST_F(InspectTest, AChatTemplateHasThreePlaces) {
  struct Case {
    const char *file, *text;
    bool is_template;
  };
  for (const auto& [file, text, is_template] :
       {Case{"chat_template.jinja", "{{ messages }}", true},
        Case{"chat_template.json", R"({"chat_template": "{{ messages }}"})", true},
        Case{"tokenizer_config.json", R"({"chat_template": "{{ messages }}"})", true},
        Case{"tokenizer_config.json", R"({"chat_template": null})", false},
        Case{"chat_template.json", "damaged", false}, Case{"chat_template.json", "{}", false}}) {
    SCOPED_TRACE(std::string(file) + ": " + text);
    std::filesystem::remove_all(folder_.path() / "model");
    Write("model/config.json", "{}");
    Write("model/model.safetensors",
          SafetensorsFile().Add("norm", "F32", {4}, std::string(16, '\0')).Bytes());
    Write(std::string("model/") + file, text);
    const auto info = InspectAt("model");
    ASSERT_TRUE(info.ok()) << info.status();
    EXPECT_EQ((*info)["chat_template"], is_template);
  }
}

// Weights whose shapes do not tell how many parameters there are.
TEST_F(InspectTest, OtherMethodsAreNamedAndNotCounted) {
  Write("model/model.safetensors",
        SafetensorsFile()
            .Add("model.layers.0.mlp.up_proj.weight", "U8", {64, 1}, std::string(64, '\1'))
            .Add("model.norm.weight", "BF16", {4}, std::string(8, '\0'))
            .Bytes());
  for (const char* method : {"fp8", "bitsandbytes", "compressed-tensors", "auto-round", "hqq"}) {
    SCOPED_TRACE(method);
    Write("model/config.json",
          absl::StrCat(R"({"quantization_config": {"quant_method": ")", method, R"("}})"));
    const auto info = InspectAt("model");
    ASSERT_TRUE(info.ok()) << info.status();
    EXPECT_EQ((*info)["format"], "safetensors");
    EXPECT_EQ((*info)["quantization_method"], method);
    EXPECT_EQ((*info)["parameter_count"], 0);
    EXPECT_FALSE(info->contains("bits_per_weight"));
    EXPECT_EQ((*info)["torch_dtype"], "bfloat16");
    EXPECT_EQ((*info)["size_bytes"], 72);
    EXPECT_TRUE(Inspect(folder_.path() / "model", {.verify = true}).ok());
  }
}

TEST_F(InspectTest, FormsThatAreNotReadAreDescribed) {
  Write("model/model.safetensors",
        SafetensorsFile()
            .Add("model.l.qweight", "I32", {64, 8}, std::string(2048, '\1'))
            .Add("model.l.scales", "F16", {64, 2}, std::string(256, '\0'))
            .Bytes());
  struct Case {
    const char *config, *format, *version;
  };
  for (const auto& [config, format, version] : {
           Case{R"({"quant_method": "awq", "bits": 4, "group_size": 32, "version": "gemv"})", "awq",
                "gemv"},
           Case{R"({"bits": 4, "group_size": 32, "checkpoint_format": "marlin"})", "gptq",
                "marlin"},
       }) {
    SCOPED_TRACE(config);
    Write("model/config.json", absl::StrCat(R"({"quantization_config": )", config, "}"));
    const auto info = Inspect(folder_.path() / "model", {.tensors = true, .verify = true});
    ASSERT_TRUE(info.ok()) << info.status();
    EXPECT_EQ((*info)["format"], format);
    EXPECT_EQ((*info)["quantization_level"], "4bit");
    EXPECT_EQ((*info)["quantization_settings"],
              (nlohmann::ordered_json{{"group_size", 32}, {"version", version}}));
    EXPECT_EQ((*info)["parameter_count"], 0);
    EXPECT_EQ((*info)["torch_dtype"], "float16");
    EXPECT_EQ((*info)["verified_tensors"], 2);
  }
}

// An original that keeps the file stays one.
TEST_F(InspectTest, AFileBesideConfigNeedsPackedTensors) {
  Write("model/config.json", "{}");
  Write("model/quantize_config.json", R"({"bits": 4, "group_size": 32})");
  Write("model/model.safetensors",
        SafetensorsFile().Add("norm.weight", "F32", {4}, std::string(16, '\0')).Bytes());
  const auto info = InspectAt("model");
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ((*info)["format"], "safetensors");
  EXPECT_EQ((*info)["parameter_count"], 4);
}

TEST_F(InspectTest, AStoredHeadThatIsTiedCountsOnce) {
  const auto count = [&](const char* config, const char* embedding, uint64_t head_rows) {
    Write("model/config.json", config);
    Write("model/model.safetensors",
          SafetensorsFile()
              .Add("lm_head.weight", "F16", {head_rows, 2}, std::string(head_rows * 4, '\0'))
              .Add(embedding, "F16", {3, 2}, std::string(12, '\0'))
              .Add("norm.weight", "F16", {2}, std::string(4, '\0'))
              .Bytes());
    const auto info = InspectAt("model");
    EXPECT_TRUE(info.ok()) << info.status();
    return (*info)["parameter_count"].get<uint64_t>();
  };
  constexpr const char* kTied = R"({"tie_word_embeddings": true})";
  EXPECT_EQ(count(kTied, "model.embed_tokens.weight", 3), 8u);
  EXPECT_EQ(count(kTied, "transformer.wte.weight", 3), 8u);
  EXPECT_EQ(count(kTied, "model.embed_tokens.weight", 4), 16u) << "of another shape";
  EXPECT_EQ(count(R"({"tie_word_embeddings": false})", "model.embed_tokens.weight", 3), 14u);
  EXPECT_EQ(count("{}", "model.embed_tokens.weight", 3), 14u);
  constexpr const char* kGemma2 = R"({"architectures": ["Gemma2ForCausalLM"]})";
  EXPECT_EQ(count(kGemma2, "model.embed_tokens.weight", 3), 8u) << "reads no head";
}

TEST_F(InspectTest, ContractKeysAreThereEvenWhereTheModelDoesNotTell) {
  const auto layout =
      gguf::Plan(gguf::Metadata(), std::vector<gguf::PlannedTensor>{{"x", TypeId::kF16, {4}}});
  ASSERT_TRUE(layout.ok()) << layout.status();
  std::string file = layout->header;
  file.resize(layout->file_size_bytes);
  Write("bare.gguf", file);
  const auto info = InspectAt("bare.gguf");
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_THAT(KeysOf(*info), ElementsAre("model_name", "architecture", "parameter_count",
                                         "hidden_size", "num_layers", "num_heads", "vocab_size",
                                         "torch_dtype", "format", "size_bytes", "bits_per_weight",
                                         "chat_template", "tensor_count", "tensor_types", "files"));
  EXPECT_EQ((*info)["architecture"], "");
  EXPECT_EQ((*info)["num_heads"], 0);
  EXPECT_TRUE((*info)["num_heads"].is_number_unsigned());
}

TEST_F(InspectTest, ErrorsNameWhatIsMissing) {
  EXPECT_EQ(ErrorOf(InspectAt("none").status()), Error::kModelNotFound);
  Write("pickle/config.json", "{}");
  Write("pickle/pytorch_model.bin", "");
  const auto pickle = InspectAt("pickle");
  EXPECT_EQ(ErrorOf(pickle.status()), Error::kModelNotFound);
  EXPECT_THAT(std::string(pickle.status().message()), HasSubstr("pytorch_model"));
  Write("configless/model.safetensors", SafetensorsFile().Bytes());
  const auto configless = InspectAt("configless");
  EXPECT_EQ(ErrorOf(configless.status()), Error::kModelNotFound);
  EXPECT_THAT(std::string(configless.status().message()), HasSubstr("config.json"));
}

// Reading works for every model of the large set, whether or not it can be converted.
TEST_F(InspectTest, EveryDirectoryOfTheLargeSet) {
  const auto golden = testing::LargeGoldenDir();
  if (!golden) GTEST_SKIP() << "QUANTIZED_GOLDEN names no large golden set";
  int models = 0;
  for (const auto& entry : std::filesystem::directory_iterator(*golden / "hf2gguf/models")) {
    SCOPED_TRACE(entry.path());
    const auto info = Inspect(entry.path());
    ASSERT_TRUE(info.ok()) << info.status();
    EXPECT_EQ((*info)["model_name"], entry.path().filename().string());
    for (const char* key : {"hidden_size", "num_layers", "num_heads", "vocab_size"}) {
      EXPECT_GT((*info)[key], 0u) << key;
    }
    // Of packed shapes of other methods none is told.
    EXPECT_EQ((*info)["parameter_count"] == 0, info->contains("quantization_method"));
    ++models;
  }
  EXPECT_GE(models, 18);
}

// A directory has as many parameters as the file that the reference converter made of it.
TEST_F(InspectTest, ParametersOfConversions) {
  const auto golden = testing::LargeGoldenDir();
  if (!golden) GTEST_SKIP() << "QUANTIZED_GOLDEN names no large golden set";
  for (const char* model : {"Llama-3.2-tiny-Instruct", "llama2-spm-sharded", "mistral-7x-v0.3",
                            "Qwen2.5-tiny-Instruct", "Qwen3-tiny", "gemma-3-tiny-it"}) {
    SCOPED_TRACE(model);
    const auto info = Inspect(*golden / "hf2gguf/models" / model);
    ASSERT_TRUE(info.ok()) << info.status();
    const auto text = ReadFile(*golden / absl::StrCat("hf2gguf/golden/", model, ".json"), 64 << 20);
    ASSERT_TRUE(text.ok()) << text.status();
    const auto converted = nlohmann::json::parse(*text, nullptr, /*allow_exceptions=*/false);
    uint64_t parameters = 0;
    for (const auto& tensor : converted["out"]["f32"]["tensors"]) {
      if (tensor["name"] == "rope_freqs.weight") continue;
      uint64_t elements = 1;
      for (const uint64_t dim : tensor["ne"]) elements *= dim;
      parameters += elements;
    }
    EXPECT_GT(parameters, 0u);
    EXPECT_EQ((*info)["parameter_count"], parameters);
  }
}

}  // namespace
}  // namespace quantized
