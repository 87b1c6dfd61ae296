// Directories that are damaged, incomplete, of another kind, or merely moved.
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/source/hf_source.h"
#include "core/source/hf_summary.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/support/paths.h"
#include "tests/support/safetensors_file.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::HasSubstr;
using testing::SafetensorsFile;

class HfDirectoryTest : public ::testing::Test {
 protected:
  // Starts from a copy of one of the golden models.
  void Copy(std::string_view model) {
    fs::copy(testing::GoldenDir() / "hf2gguf/models" / model, directory_,
             fs::copy_options::recursive);
  }
  void EditConfig(const std::function<void(json&)>& edit) {
    const auto text = ReadFile(directory_ / "config.json", 1 << 20);
    ASSERT_TRUE(text.ok()) << text.status();
    json config = json::parse(*text);
    edit(config);
    Write("config.json", config.dump());
  }
  // Beside model.safetensors no other file would count. Returns where a second one goes.
  fs::path MakeRoomForASecondFile() {
    fs::rename(directory_ / "model.safetensors", directory_ / "model1.safetensors");
    return directory_ / "model2.safetensors";
  }
  void Write(std::string_view name, std::string_view text) {
    std::ofstream(directory_ / name, std::ios::binary) << text;
  }

  absl::StatusOr<std::unique_ptr<ModelSource>> Open() const {
    return OpenHfSource(directory_, {.conversion_type = kernels::TypeId::kF16});
  }
  std::string Refusal(Error error) const {
    const auto source = Open();
    if (source.ok()) return "accepted";
    EXPECT_EQ(ErrorOf(source.status()), error) << source.status();
    return std::string(source.status().message());
  }
  std::string Fingerprint() const {
    const auto source = Open();
    EXPECT_TRUE(source.ok()) << source.status();
    return source.ok() ? (*source)->fingerprint() : "";
  }

  testing::TempDir temp_;
  const fs::path directory_ = temp_.path() / "model";
};

TEST_F(HfDirectoryTest, NeedsAConfiguration) {
  EXPECT_THAT(Refusal(Error::kModelNotFound), HasSubstr("config.json"));
  Copy("llama-biases");
  fs::remove(directory_ / "config.json");
  EXPECT_THAT(Refusal(Error::kModelNotFound), HasSubstr("config.json"));
}

TEST_F(HfDirectoryTest, NamesTheArchitecturesThatAreKnown) {
  Copy("llama-biases");
  EditConfig([](json& config) { config["architectures"] = {"GPT2LMHeadModel"}; });
  EXPECT_THAT(Refusal(Error::kValidationFailed),
              HasSubstr("config.json: architectures: found GPT2LMHeadModel, expected one of "
                        "LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM, "
                        "Gemma3ForCausalLM, Gemma2ForCausalLM, Phi3ForCausalLM, "
                        "MixtralForCausalLM, Qwen3MoeForCausalLM"));
  EditConfig([](json& config) { config.erase("architectures"); });
  EXPECT_THAT(Refusal(Error::kValidationFailed), HasSubstr("architectures: found nothing"));
}

TEST_F(HfDirectoryTest, NamesAMissingShard) {
  Copy("llama-old-style");
  fs::remove(directory_ / "model-00002-of-00003.safetensors");
  EXPECT_THAT(Refusal(Error::kValidationFailed), HasSubstr("model-00002-of-00003.safetensors"));
  fs::remove(directory_ / "model.safetensors.index.json");
  EXPECT_THAT(Refusal(Error::kValidationFailed), HasSubstr("model-00002-of-00003.safetensors"));
}

TEST_F(HfDirectoryTest, IndexAndFilesMustAgree) {
  Copy("llama-biases");
  const std::string file = R"("model.safetensors")";
  Write("model.safetensors.index.json", R"({"weight_map": {"model.norm.weight": )" + file + "}}");
  EXPECT_THAT(Refusal(Error::kValidationFailed), HasSubstr("does not name 34 tensors"));
  Write("model.safetensors.index.json", R"({"weight_map": {"model.odd": )" + file + "}}");
  EXPECT_THAT(Refusal(Error::kValidationFailed),
              HasSubstr("names 1 tensors that the files do not hold: model.odd"));
}

TEST_F(HfDirectoryTest, KnowsAGitLfsPointer) {
  Copy("llama-biases");
  Write("model.safetensors",
        "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 1234\n");
  EXPECT_THAT(Refusal(Error::kValidationFailed), HasSubstr("git-lfs pointer"));
}

TEST_F(HfDirectoryTest, RefusesPickleFiles) {
  Copy("llama-biases");
  fs::rename(directory_ / "model.safetensors", directory_ / "pytorch_model.bin");
  EXPECT_THAT(Refusal(Error::kModelNotFound), HasSubstr("only pytorch_model*.bin"));
}

TEST_F(HfDirectoryTest, RefusesTruncatedWeights) {
  Copy("llama-biases");
  const fs::path file = directory_ / "model.safetensors";
  for (const uint64_t size : {fs::file_size(file) - 1, uint64_t{100}, uint64_t{7}, uint64_t{0}}) {
    fs::resize_file(file, size);
    EXPECT_THAT(Refusal(Error::kValidationFailed), HasSubstr("model.safetensors")) << size;
  }
}

TEST_F(HfDirectoryTest, ShapesMustFitTheConfiguration) {
  Copy("llama-biases");
  EditConfig([](json& config) { config["intermediate_size"] = 49; });
  EXPECT_THAT(Refusal(Error::kValidationFailed),
              HasSubstr("model.safetensors: model.layers.0.mlp.down_proj.weight: found shape "
                        "[32, 48], expected [32, 49] from config.json"));
}

TEST_F(HfDirectoryTest, VocabularyMustFitTheConfiguration) {
  Copy("llama-biases");
  EditConfig([](json& config) { config["vocab_size"] = 800; });
  EXPECT_THAT(Refusal(Error::kValidationFailed),
              HasSubstr("found shape [808, 32], expected [800, 32]"));
}

TEST_F(HfDirectoryTest, LayersMustFitTheConfiguration) {
  Copy("llama-biases");
  EditConfig([](json& config) { config["num_hidden_layers"] = 1; });
  EXPECT_THAT(Refusal(Error::kValidationFailed), HasSubstr("layer 1 is beyond the 1 layers"));
  EditConfig([](json& config) { config["num_hidden_layers"] = 3; });
  EXPECT_THAT(Refusal(Error::kValidationFailed),
              HasSubstr("tensor model.layers.2.input_layernorm.weight: expected by config.json (3 "
                        "layers), found in no file"));
}

// The weights of Qwen3-MoE-tied, 2 layers of 12 experts, with a second file of one more tensor.
TEST_F(HfDirectoryTest, RefusesExpertsThatDoNotFit) {
  const auto with = [&](std::string_view name, std::vector<uint64_t> shape) {
    fs::remove_all(directory_);
    Copy("Qwen3-MoE-tied");
    uint64_t bytes = 4;
    for (const uint64_t dim : shape) bytes *= dim;
    SafetensorsFile()
        .Add(name, "F32", shape, std::string(bytes, '\0'))
        .WriteTo(MakeRoomForASecondFile());
    const auto source = Open();
    EXPECT_EQ(ErrorOf(source.status()), Error::kValidationFailed);
    return std::string(source.status().message());
  };
  EXPECT_THAT(
      with("model.layers.1.mlp.experts.12.up_proj.weight", {16, 32}),
      HasSubstr("model2.safetensors: model.layers.1.mlp.experts.12.up_proj.weight: expert 12 "
                "is beyond the 12 experts of config.json"));
  EXPECT_THAT(
      with("layers.1.mlp.experts.11.up_proj.weight", {16, 32}),
      HasSubstr("model2.safetensors: layers.1.mlp.experts.11.up_proj.weight: a second tensor "
                "that is written as expert 11 of blk.1.ffn_up_exps.weight"));
  // The later file's tensor takes the place of the first one's.
  EXPECT_THAT(with("model.layers.1.mlp.experts.3.down_proj.weight", {16, 32}),
              HasSubstr("model2.safetensors: model.layers.1.mlp.experts.3.down_proj.weight: found "
                        "shape [16, 32], expected [32, 16] from config.json"));
  EXPECT_THAT(with("model.layers.1.mlp.gate.weight", {11, 32}),
              HasSubstr("found shape [11, 32], expected [12, 32]"));
}

TEST_F(HfDirectoryTest, ExpertsMustFitTheConfiguration) {
  Copy("Mixtral-sharded");
  EXPECT_TRUE(Open().ok()) << Open().status();
  EditConfig([](json& config) { config["num_local_experts"] = 12; });
  EXPECT_THAT(Refusal(Error::kValidationFailed),
              HasSubstr("block_sparse_moe.gate.weight: found shape [11, 32], expected [12, 32]"));
  for (const json& value : {json(0), json(nullptr)}) {
    EditConfig([&](json& config) { config["num_local_experts"] = value; });
    EXPECT_THAT(Refusal(Error::kValidationFailed),
                HasSubstr("config.json: num_local_experts, num_experts: expected a whole number "
                          "above 0, found nothing or 0"));
  }
}

TEST_F(HfDirectoryTest, NamesTheExpertThatNoFileHolds) {
  Copy("Qwen3-MoE-tied");
  // A name of the same length, of a tensor that is dropped.
  const fs::path path = directory_ / "model.safetensors";
  std::string bytes = *ReadFile(path, 1 << 20);
  const std::string name = "model.layers.1.mlp.experts.7.gate_proj.weight";
  ASSERT_NE(bytes.find(name), std::string::npos);
  const std::string dropped = ".rotary_emb.inv_freq";
  bytes.replace(bytes.find(name), name.size(),
                std::string(name.size() - dropped.size(), 'x') + dropped);
  Write("model.safetensors", bytes);
  EXPECT_THAT(Refusal(Error::kValidationFailed),
              HasSubstr("tensor " + name +
                        ": expected by config.json (2 layers of 12 experts), found in no file"));
}

TEST_F(HfDirectoryTest, HeadsMustSplitTheRowsEvenly) {
  Copy("llama-biases");
  EditConfig([](json& config) {
    config["num_attention_heads"] = 32;
    config["num_key_value_heads"] = 16;
    config["head_dim"] = 1;
  });
  EXPECT_THAT(Refusal(Error::kValidationFailed),
              HasSubstr("found 16 rows, expected 16 heads of an even number of rows"));
}

TEST_F(HfDirectoryTest, HostileNumbersOfTheConfiguration) {
  for (const char* field : {"hidden_size", "num_hidden_layers", "num_attention_heads",
                            "num_key_value_heads", "vocab_size", "max_position_embeddings"}) {
    for (const json& value : {json(-1), json(1e300), json(0.5), json("x"), json(json::array())}) {
      fs::remove_all(directory_);
      Copy("llama-biases");
      EditConfig([&](json& config) { config[field] = value; });
      EXPECT_THAT(Refusal(Error::kValidationFailed),
                  HasSubstr(std::string("config.json: ") + field + ": expected a whole number"))
          << value;
    }
  }
}

TEST_F(HfDirectoryTest, RefusesASecondTensorForOnePlace) {
  Copy("llama-biases");
  SafetensorsFile()
      .Add("norm.weight", "F32", {32}, std::string(128, '\0'))
      .WriteTo(MakeRoomForASecondFile());
  EXPECT_THAT(Refusal(Error::kValidationFailed),
              HasSubstr("model2.safetensors: norm.weight: a second tensor that is written as "
                        "output_norm.weight"));
}

TEST_F(HfDirectoryTest, OfTwoFilesWithOneTensorTheLaterCounts) {
  Copy("llama-biases");
  const auto before = Open();
  ASSERT_TRUE(before.ok()) << before.status();
  std::string ones;
  for (int i = 0; i < 32; ++i) ones += std::string("\0\0\x80\x3f", 4);
  SafetensorsFile().Add("model.norm.weight", "F32", {32}, ones).WriteTo(MakeRoomForASecondFile());
  const auto after = Open();
  ASSERT_TRUE(after.ok()) << after.status();
  for (size_t i = 0; i < (*after)->tensors().size(); ++i) {
    const SourceTensor& tensor = (*after)->tensors()[i];
    EXPECT_EQ(tensor.name, (*before)->tensors()[i].name);
    if (tensor.name != "output_norm.weight") continue;
    std::string bytes(128, ' ');
    ASSERT_TRUE((*after)->ReadRows(i, 0, 1, std::as_writable_bytes(std::span(bytes))).ok());
    EXPECT_EQ(bytes, ones);
    EXPECT_EQ(tensor.origin, "model2.safetensors: model.norm.weight");
  }
}

TEST_F(HfDirectoryTest, RefusesQuantizedCheckpointsAndRerankers) {
  Copy("llama-biases");
  EditConfig([](json& config) { config["quantization_config"] = {{"quant_method", "gptq"}}; });
  EXPECT_THAT(Refusal(Error::kNotImplemented), HasSubstr("quantized already (gptq)"));
  fs::remove_all(directory_);
  Copy("Qwen3-Embedding-0.6B");
  EditConfig([](json& config) { config["_name_or_path"] = "Qwen/Qwen3-Reranker-0.6B"; });
  EXPECT_THAT(Refusal(Error::kNotImplemented), HasSubstr("reranker"));
}

TEST_F(HfDirectoryTest, NeedsATokenizerThatIsThere) {
  Copy("llama-biases");
  for (const char* name : {"tokenizer.model", "tokenizer.json", "tokenizer_config.json"}) {
    fs::remove(directory_ / name);
  }
  EXPECT_FALSE(Open().ok());
}

TEST_F(HfDirectoryTest, OddCardsAndSamplingDefaultsDoNotMatter) {
  Copy("llama-biases");
  Write("README.md", "---\n" + std::string(100'000, '[') + "\n---\n");
  Write("generation_config.json", "{\"temperature\": ");
  EXPECT_TRUE(Open().ok()) << Open().status();
}

TEST_F(HfDirectoryTest, ConvertsToFloatsOnly) {
  Copy("llama-biases");
  const auto source = OpenHfSource(directory_, {.conversion_type = kernels::TypeId::kQ8_0});
  EXPECT_EQ(ErrorOf(source.status()), Error::kInvalidArgument);
}

TEST_F(HfDirectoryTest, ReadingAFileThatHasShrunkIsAnError) {
  Copy("llama-biases");
  const auto source = Open();
  ASSERT_TRUE(source.ok()) << source.status();
  fs::resize_file(directory_ / "model.safetensors", 4096);
  const SourceTensor& last = (*source)->tensors().back();
  std::vector<std::byte> bytes(last.rows() * last.cols() *
                               kernels::QuantTypeOf(last.type).block_bytes);
  EXPECT_EQ(ErrorOf((*source)->ReadRows((*source)->tensors().size() - 1, 0, last.rows(), bytes)),
            Error::kValidationFailed);
}

TEST_F(HfDirectoryTest, FingerprintTellsModelsApart) {
  Copy("llama-biases");
  const std::string before = Fingerprint();
  EXPECT_EQ(before.size(), 64u);
  EXPECT_EQ(Fingerprint(), before);

  // A folder that was moved with its name and times is the same model.
  const fs::path elsewhere = temp_.path() / "other" / "model";
  fs::create_directories(elsewhere.parent_path());
  fs::copy(directory_, elsewhere);
  fs::last_write_time(elsewhere / "model.safetensors",
                      fs::last_write_time(directory_ / "model.safetensors"));
  const auto moved = OpenHfSource(elsewhere, {.conversion_type = kernels::TypeId::kF16});
  ASSERT_TRUE(moved.ok()) << moved.status();
  EXPECT_EQ((*moved)->fingerprint(), before);

  const auto other_type = OpenHfSource(directory_, {.conversion_type = kernels::TypeId::kF32});
  EXPECT_NE((*other_type)->fingerprint(), before);
  EditConfig([](json& config) { config["rope_theta"] = 20000; });
  const std::string edited = Fingerprint();
  EXPECT_NE(edited, before);
  fs::last_write_time(directory_ / "model.safetensors", fs::file_time_type::clock::now());
  EXPECT_NE(Fingerprint(), edited);
}

TEST_F(HfDirectoryTest, SummaryIsInHuggingFacesTerms) {
  Copy("Llama-3.9-1B-Instruct");
  const auto source = Open();
  ASSERT_TRUE(source.ok()) << source.status();
  const ModelSummary& summary = (*source)->summary();
  EXPECT_EQ(summary.name, "model");
  EXPECT_EQ(summary.architecture, "LlamaForCausalLM");
  EXPECT_EQ(summary.dtype, "bfloat16");
  EXPECT_EQ(summary.num_layers, 2u);
  EXPECT_EQ(summary.hidden_size, 32u);
  EXPECT_EQ(summary.num_heads, 4u);
  EXPECT_EQ(summary.vocab_size, 406u);
  // Embedding; per layer two norms, three MLP matrices, q and o, k and v; the last norm. The head
  // is stored, and tied: the embedding once more.
  EXPECT_EQ(summary.parameter_count,
            406u * 32 + 2 * (2 * 32 + 3 * 32 * 48 + 2 * 64 * 32 + 2 * 32 * 32) + 32);
  EXPECT_EQ(summary.size_bytes, 2 * (summary.parameter_count + 406 * 32));
}

TEST_F(HfDirectoryTest, SummarizesWhatItCannotConvert) {
  fs::create_directories(directory_);
  Write("config.json", R"({"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "n_embd": 8,
                          "n_layer": 3, "n_head": 2, "vocab_size": 100})");
  SafetensorsFile()
      .Add("h.0.attn.bias", "U8", {4}, "aaaa")
      .Add("wte.weight", "F16", {100, 8}, std::string(1600, '\0'))
      .Add("x.attention.bias", "U8", {4}, "aaaa")
      .WriteTo(directory_ / "model.safetensors");
  const auto config = HfConfig::Read(directory_);
  const auto weights = HfWeights::Open(directory_);
  ASSERT_TRUE(config.ok() && weights.ok()) << config.status() << weights.status();
  const auto summary = SummarizeHf(*config, **weights, "model");
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_EQ(summary->architecture, "GPT2LMHeadModel");
  EXPECT_EQ(summary->num_layers, 3u);
  EXPECT_EQ(summary->hidden_size, 8u);
  EXPECT_EQ(summary->num_heads, 2u);
  EXPECT_EQ(summary->dtype, "float16");
  EXPECT_EQ(summary->parameter_count, 804u);
  EXPECT_EQ(summary->size_bytes, 1604u);
}

TEST(HfModelName, IsTheLastPartOfThePath) {
  EXPECT_EQ(HfModelName("/a/b/Model-7B"), "Model-7B");
  EXPECT_EQ(HfModelName("/a/b/Model-7B/"), "Model-7B");
  EXPECT_EQ(HfModelName("/a/b/../Model-7B/."), "Model-7B");
  EXPECT_EQ(HfModelName("."), fs::current_path().filename().string());
  EXPECT_EQ(HfModelName("/hub/models--org--Model-7B/snapshots/0123abc"), "Model-7B");
  EXPECT_EQ(HfModelName("/hub/models--gpt2/snapshots/0123abc/"), "gpt2");
  EXPECT_EQ(HfModelName("/models--org--Model-7B/other/0123abc"), "0123abc");
}

}  // namespace
}  // namespace quantized
