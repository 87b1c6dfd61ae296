#include "core/pipeline/model_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/pipeline/conversion.h"
#include "core/pipeline/convert.h"
#include "core/pipeline/inspect.h"
#include "core/pipeline/test_packed_directory.h"
#include "core/source/model_source.h"
#include "tests/support/recording_sink.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;
using testing::DirectoryModel;
using ::testing::HasSubstr;
using testing::PackDirectory;
using testing::RecordingSink;
using testing::SafetensorsFile;
using testing::WriteDirectoryModel;

class ModelCheckTest : public ::testing::Test {
 protected:
  // A GGUF file of the directory's model.
  void MakeGguf(const std::string& level, bool is_packed = false) {
    QuantizeRequest request;
    request.model_path = model_;
    request.model_name = "model";
    request.outputs = {{.level = level, .path = gguf_}};
    request.conversion = {.is_wanted = is_packed, .may_requantize = true};
    request.checkpoint.enabled = false;
    request.overwrite = true;
    RecordingSink sink;
    JobContext context{{}, sink, threads_};
    const absl::Status status =
        (is_packed ? Convert(request, context) : Quantize(request, context)).status;
    ASSERT_TRUE(status.ok()) << status;
  }

  static void RemoveTensor(const fs::path& directory, const std::string& name) {
    SafetensorsFile file;
    const auto weights = *HfWeights::Open(directory);
    for (const HfWeights::Tensor& tensor : weights->tensors()) {
      if (tensor.info->name == name) continue;
      std::string bytes(tensor.info->size_bytes, '\0');
      ASSERT_TRUE(
          tensor.file->Read(*tensor.info, 0, std::as_writable_bytes(std::span(bytes))).ok());
      file.Add(tensor.info->name, RowOf(tensor.info->dtype).name, tensor.info->shape, bytes);
    }
    file.WriteTo(directory / "model.safetensors");
  }

  void ExpectUnsound(const fs::path& model, const std::string& tensor) {
    const auto verified = VerifyModel(model, threads_);
    ASSERT_FALSE(verified.ok());
    EXPECT_EQ(ErrorOf(verified.status()), Error::kValidationFailed);
    EXPECT_THAT(std::string(verified.status().message()), HasSubstr(tensor));
  }

  testing::TempDir dir_;
  const fs::path model_ = dir_.path() / "model";
  const fs::path gguf_ = dir_.path() / "model.gguf";
  ThreadPool threads_{2};
};

TEST_F(ModelCheckTest, SoundModelsAreCounted) {
  WriteDirectoryModel(model_);
  EXPECT_EQ(*VerifyModel(model_, threads_), 3u + 3 * 9);
  MakeGguf("Q4_0");
  EXPECT_EQ(*VerifyModel(gguf_, threads_), 3u + 3 * 9);
  PackDirectory(model_, {});
  EXPECT_EQ(*VerifyModel(model_, threads_), 3u + 3 * 9) << "what is packed is one";
}

TEST_F(ModelCheckTest, ValuesThatAreNoNumbersAreFound) {
  DirectoryModel model;
  model.alter = [](const std::string& name, std::span<float> values) {
    if (name.ends_with("layers.1.mlp.up_proj.weight")) {
      values.back() = std::numeric_limits<float>::quiet_NaN();
    }
  };
  WriteDirectoryModel(model_, model);
  ExpectUnsound(model_, "model.safetensors: model.layers.1.mlp.up_proj.weight");
}

TEST_F(ModelCheckTest, AScaleThatIsInfiniteIsFound) {
  WriteDirectoryModel(model_);
  MakeGguf("Q4_0");
  const auto source = *OpenModelSource(gguf_, {});
  size_t tensor = 0;
  while (source->tensors()[tensor].name != "blk.2.ffn_up.weight") ++tensor;
  std::vector<std::byte> row(2 * 18);  // of 64 values
  ASSERT_TRUE(source->ReadRows(tensor, 5, 1, row).ok());
  std::string file = *ReadFile(gguf_, uint64_t{1} << 30);
  const size_t at = file.find(std::string(reinterpret_cast<const char*>(row.data()), row.size()));
  ASSERT_NE(at, std::string::npos);
  file[at] = 0;
  file[at + 1] = 0x7C;
  ASSERT_TRUE(WriteFileAtomically(gguf_, file).ok());
  ExpectUnsound(gguf_, "model.gguf: blk.2.ffn_up.weight");
}

TEST_F(ModelCheckTest, DifferencesAreThoseOfTheTypes) {
  WriteDirectoryModel(model_);
  double last = 1;
  for (const char* level : {"Q4_0", "Q8_0", "F16"}) {
    MakeGguf(level);
    const auto difference = CompareTensors(gguf_, model_, threads_);
    ASSERT_TRUE(difference.ok()) << difference.status();
    EXPECT_EQ(difference->tensors.size(), 3u + 3 * 9);
    EXPECT_LT(difference->relative_error, 0.3 * last) << level;
    last = difference->relative_error;
    for (const TensorDifference& tensor : difference->tensors) {
      if (tensor.type != "F32" && tensor.type != "F16") continue;
      EXPECT_EQ(tensor.relative_error, 0) << tensor.name;
    }
  }
  EXPECT_EQ(last, 0) << "the directory is float16";
}

TEST_F(ModelCheckTest, APackedModelIsComparedUnpacked) {
  WriteDirectoryModel(model_);
  const fs::path packed = dir_.path() / "packed";
  fs::copy(model_, packed);
  PackDirectory(packed, {});
  const auto difference = CompareTensors(packed, model_, threads_);
  ASSERT_TRUE(difference.ok()) << difference.status();
  EXPECT_GT(difference->relative_error, 0.005);
  EXPECT_LT(difference->relative_error, 0.2);
  fs::rename(packed, dir_.path() / "swap");
  fs::remove_all(model_);
  fs::rename(dir_.path() / "swap", model_);
  MakeGguf("Q4_0", /*is_packed=*/true);
  EXPECT_EQ(CompareTensors(gguf_, model_, threads_)->relative_error, 0);
}

TEST_F(ModelCheckTest, AnotherModelIsNoSource) {
  WriteDirectoryModel(model_);
  MakeGguf("Q4_0");
  fs::remove_all(model_);
  WriteDirectoryModel(model_, {.layers = 2});
  EXPECT_THAT(std::string(CompareTensors(gguf_, model_, threads_).status().message()),
              HasSubstr("tensor blk.2."));
  fs::remove_all(model_);
  WriteDirectoryModel(model_, {.feed_forward = 128});
  EXPECT_THAT(std::string(CompareTensors(gguf_, model_, threads_).status().message()),
              HasSubstr("found shape"));
}

TEST_F(ModelCheckTest, ValuesThatAreNoNumbersAreNotCompared) {
  const fs::path sound = dir_.path() / "sound";
  WriteDirectoryModel(sound);
  for (const float value :
       {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    DirectoryModel model;
    model.alter = [value](const std::string& name, std::span<float> values) {
      if (name.ends_with("layers.1.mlp.up_proj.weight")) values.back() = value;
    };
    fs::remove_all(model_);
    WriteDirectoryModel(model_, model);
    const auto ours = CompareTensors(model_, sound, threads_).status();
    EXPECT_EQ(ErrorOf(ours), Error::kValidationFailed);
    EXPECT_THAT(std::string(ours.message()),
                HasSubstr("tensor model.layers.1.mlp.up_proj.weight of the model"));
    const auto theirs = CompareTensors(sound, model_, threads_).status();
    EXPECT_EQ(ErrorOf(theirs), Error::kValidationFailed);
    EXPECT_THAT(std::string(theirs.message()),
                HasSubstr("tensor model.layers.1.mlp.up_proj.weight of the source"));
  }
}

TEST_F(ModelCheckTest, TensorsThatTheModelHasLostAreAnError) {
  WriteDirectoryModel(model_);
  MakeGguf("F16");
  fs::remove_all(model_);
  WriteDirectoryModel(model_, {.biases = true});
  const auto difference = CompareTensors(gguf_, model_, threads_).status();
  EXPECT_EQ(ErrorOf(difference), Error::kValidationFailed);
  EXPECT_THAT(std::string(difference.message()),
              HasSubstr("_k.bias: the source has it, the model does not; nor 11 more"));
}

// Which of the two is stored does not matter: the embedding is the head where there is none.
TEST_F(ModelCheckTest, AHeadThatOneOfThemLacksIsItsEmbedding) {
  const fs::path tied = dir_.path() / "tied";
  WriteDirectoryModel(model_);
  WriteDirectoryModel(tied, {.tied = true});
  RemoveTensor(tied, "lm_head.weight");
  for (const auto& [one, other] : {std::pair(model_, tied), std::pair(tied, model_)}) {
    const auto difference = CompareTensors(one, other, threads_);
    ASSERT_TRUE(difference.ok()) << difference.status();
    ASSERT_EQ(difference->tensors.size(), 3u + 3 * 9);
    for (const TensorDifference& tensor : difference->tensors) {
      EXPECT_EQ(tensor.relative_error > 0, tensor.name == "lm_head.weight") << tensor.name;
    }
  }
}

TEST_F(ModelCheckTest, GeneratedTensorsMayBeMissing) {
  WriteDirectoryModel(model_);
  const fs::path scaled = dir_.path() / "scaled";
  fs::copy(model_, scaled);
  nlohmann::json config = nlohmann::json::parse(*ReadFile(scaled / "config.json", 1 << 20));
  config["rope_scaling"] = {{"rope_type", "llama3"},
                            {"factor", 8.0},
                            {"low_freq_factor", 1.0},
                            {"high_freq_factor", 4.0},
                            {"original_max_position_embeddings", 512}};
  ASSERT_TRUE(WriteFileAtomically(scaled / "config.json", config.dump()).ok());
  for (const auto& [one, other] : {std::pair(model_, scaled), std::pair(scaled, model_)}) {
    const auto difference = CompareTensors(one, other, threads_);
    ASSERT_TRUE(difference.ok()) << difference.status();
    EXPECT_EQ(difference->tensors.size(), 3u + 3 * 9);
  }
}

// Loaders disagree on what such a zero point is.
TEST_F(ModelCheckTest, AZeroPointThatWrapsAroundIsFound) {
  WriteDirectoryModel(model_);
  const fs::path source = dir_.path() / "source";
  fs::copy(model_, source);
  PackDirectory(
      model_, {.options = {.group_size = 32, .version = GptqVersion::kV2, .sym = false},
               .alter = [](const std::string&, QuantizedLinear& linear) { linear.zeros[0] = 15; }});
  nlohmann::json config = nlohmann::json::parse(*ReadFile(model_ / "config.json", 1 << 20));
  config["quantization_config"]["checkpoint_format"] = "gptq";
  ASSERT_TRUE(WriteFileAtomically(model_ / "config.json", config.dump()).ok());
  EXPECT_TRUE(Inspect(model_).ok());
  ExpectUnsound(model_, "loaders of version 1 read as zero point 0 or as 16");
  EXPECT_EQ(ErrorOf(CompareTensors(model_, source, threads_).status()), Error::kValidationFailed);
}

// As --tensors lists them, experts one by one; a file's names are its own.
TEST_F(ModelCheckTest, ADirectoryIsComparedUnderItsOwnNames) {
  for (const uint32_t experts : {0u, 3u}) {
    SCOPED_TRACE(experts);
    fs::remove_all(model_);
    WriteDirectoryModel(model_, {.experts = experts, .biases = true});
    const fs::path packed = dir_.path() / "packed";
    fs::remove_all(packed);
    fs::copy(model_, packed);
    PackDirectory(packed, {});
    const auto info = Inspect(packed, {.tensors = true, .verify = true, .against = model_});
    ASSERT_TRUE(info.ok()) << info.status();
    EXPECT_EQ((*info)["verified_tensors"], (*info)["tensor_count"]);
    EXPECT_FALSE(info->contains("scales_undone"));
    std::map<std::string, std::string> listed, compared;
    for (const auto& tensor : (*info)["tensors"]) listed[tensor["name"]] = tensor["type"];
    for (const auto& tensor : (*info)["tensor_errors"]) {
      compared[tensor["name"]] = tensor["type"];
      EXPECT_FALSE(tensor.contains("scales"));
      EXPECT_EQ(tensor["relative_error"] > 0, tensor["type"] == "4-bit") << tensor["name"];
    }
    EXPECT_EQ(compared, listed);
    MakeGguf("F16");
    const auto gguf = Inspect(gguf_, {.tensors = true, .against = packed});
    ASSERT_TRUE(gguf.ok()) << gguf.status();
    ASSERT_EQ((*gguf)["tensor_errors"].size(), (*gguf)["tensors"].size());
    for (size_t i = 0; i < (*gguf)["tensors"].size(); ++i) {
      EXPECT_EQ((*gguf)["tensor_errors"][i]["name"], (*gguf)["tensors"][i]["name"]);
    }
  }
}

TEST_F(ModelCheckTest, AComparisonNeedsNoTokenizer) {
  WriteDirectoryModel(model_);
  MakeGguf("Q4_0");
  const double expected = CompareTensors(gguf_, model_, threads_)->relative_error;
  const fs::path packed = dir_.path() / "packed";
  fs::copy(model_, packed);
  PackDirectory(packed, {});
  fs::remove(model_ / "tokenizer.json");
  fs::remove(packed / "tokenizer.json");
  const auto gguf = CompareTensors(gguf_, model_, threads_);
  ASSERT_TRUE(gguf.ok()) << gguf.status();
  EXPECT_EQ(gguf->relative_error, expected);
  const auto directory = CompareTensors(packed, model_, threads_);
  EXPECT_TRUE(directory.ok()) << directory.status();
}

// Two directories are compared by the names that they have; where scales would be is not known.
TEST_F(ModelCheckTest, DirectoriesOfAnUnknownArchitectureAreCompared) {
  WriteDirectoryModel(model_, {.tied = true});
  MakeGguf("F16");
  const fs::path packed = dir_.path() / "packed";
  fs::copy(model_, packed);
  PackDirectory(packed, {});
  const auto known = CompareTensors(packed, model_, threads_);
  ASSERT_TRUE(known.ok()) << known.status();
  const auto make_unknown = [](const fs::path& directory) {
    nlohmann::json config = nlohmann::json::parse(*ReadFile(directory / "config.json", 1 << 20));
    config["architectures"] = {"UnheardOfForCausalLM"};
    EXPECT_TRUE(WriteFileAtomically(directory / "config.json", config.dump()).ok());
  };
  make_unknown(packed);  // one is enough
  const auto unknown = CompareTensors(packed, model_, threads_);
  ASSERT_TRUE(unknown.ok()) << unknown.status();
  EXPECT_NEAR(unknown->relative_error, known->relative_error, 1e-9);
  EXPECT_EQ(unknown->tensors.size(), known->tensors.size());
  EXPECT_EQ(unknown->scales_undone, std::nullopt);
  RemoveTensor(packed, "lm_head.weight");
  EXPECT_TRUE(CompareTensors(packed, model_, threads_).ok());
  const auto beside_gguf = CompareTensors(packed, gguf_, threads_).status();
  EXPECT_EQ(ErrorOf(beside_gguf), Error::kValidationFailed);
  EXPECT_THAT(std::string(beside_gguf.message()), HasSubstr("found UnheardOfForCausalLM"));

  const fs::path other = dir_.path() / "other";
  WriteDirectoryModel(other, {.alter = [](const std::string& name, std::span<float> values) {
                        if (name.ends_with("layernorm.weight")) values[0] *= 2;
                      }});
  make_unknown(other);
  const auto info = Inspect(other, {.against = model_});
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ((*info)["scales_undone"], false);
}

TEST_F(ModelCheckTest, InspectTellsOfAPackedDirectory) {
  WriteDirectoryModel(model_);
  const auto plain = *Inspect(model_);
  EXPECT_EQ(plain["format"], "safetensors");
  PackDirectory(model_, {});
  const auto gptq = Inspect(model_, {.tensors = true});
  ASSERT_TRUE(gptq.ok()) << gptq.status();
  EXPECT_EQ((*gptq)["parameter_count"], plain["parameter_count"]);
  EXPECT_EQ((*gptq)["torch_dtype"], "float16");
  EXPECT_EQ((*gptq)["format"], "gptq");
  EXPECT_EQ((*gptq)["quantization_level"], "4bit");
  EXPECT_EQ((*gptq)["quantization_settings"],
            (nlohmann::ordered_json{
                {"group_size", 32}, {"symmetric", true}, {"act_order", false}, {"version", 1}}));
  EXPECT_EQ((*gptq)["tensor_types"], (nlohmann::ordered_json{{"4-bit", 21}, {"F16", 9}}));
  EXPECT_EQ((*gptq)["tokenizer_class"], "PreTrainedTokenizerFast");
  uint64_t bytes = 0;
  for (const auto& tensor : (*gptq)["tensors"]) bytes += tensor["size_bytes"].get<uint64_t>();
  EXPECT_EQ((*gptq)["size_bytes"], bytes);
  EXPECT_EQ((*gptq)["tensors"].size(), 30u);
}

// As older programs left it: what is said of the quantization stands in a file beside config.json.
TEST_F(ModelCheckTest, AFileBesideConfigTellsOfThePacking) {
  struct Case {
    PackedMethod method;
    const char *file, *text;
  };
  for (const auto& [method, file, text] : {
           Case{PackedMethod::kGptq, "quantize_config.json",
                R"({"bits": 4, "group_size": 32, "damp_percent": 0.01, "desc_act": false,
                    "sym": true, "true_sequential": true, "model_name_or_path": null})"},
           Case{PackedMethod::kAwq, "quant_config.json",
                R"({"zero_point": true, "q_group_size": 32, "w_bit": 4, "version": "GEMM"})"},
       }) {
    SCOPED_TRACE(file);
    fs::remove_all(model_);
    WriteDirectoryModel(model_);
    const auto plain = *Inspect(model_);
    const std::string config = *ReadFile(model_ / "config.json", 1 << 20);
    PackDirectory(model_, {.options = {.method = method, .group_size = 32}});
    ASSERT_TRUE(WriteFileAtomically(model_ / "config.json", config).ok());
    ASSERT_TRUE(WriteFileAtomically(model_ / file, text).ok());
    const auto info = Inspect(model_, {.verify = true});
    ASSERT_TRUE(info.ok()) << info.status();
    EXPECT_EQ((*info)["format"], NameOf(method));
    EXPECT_EQ((*info)["quantization_settings"]["group_size"], 32);
    EXPECT_EQ((*info)["parameter_count"], plain["parameter_count"]);
    const auto source = OpenModelSource(model_, {}).status();
    EXPECT_EQ(ErrorOf(source), Error::kNotImplemented);
    EXPECT_THAT(std::string(source.message()), HasSubstr("the weights are quantized already"));
    for (const char* format : {"gptq", "awq"}) {
      EXPECT_EQ(PlanConversion(model_, format, "").ok(), format != NameOf(method)) << format;
    }
    MakeGguf("Q8_0", /*is_packed=*/true);
    EXPECT_TRUE(CompareTensors(gguf_, model_, threads_).ok());
  }
}

}  // namespace
}  // namespace quantized
