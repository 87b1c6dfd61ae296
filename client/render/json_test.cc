#include "client/render/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/base/error.h"

namespace quantized {
namespace {

using Json = nlohmann::ordered_json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

std::vector<std::string> Keys(const Json& object, size_t count) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : object.items()) keys.push_back(key);
  keys.resize(std::min(count, keys.size()));
  return keys;
}

v1::QuantizeResult ContractResult() {
  v1::QuantizeResult result;
  result.set_output_path("/path/to/model.gguf");
  result.set_format("gguf");
  result.set_level("Q4_K_M");
  result.set_file_size_bytes(4123456789);
  result.set_compression_ratio(0.279966);
  result.set_duration_seconds(1523.40001);
  result.set_peak_memory_bytes(17179869184);
  result.set_validation_status("valid");
  result.set_original_dtype("float16");
  result.set_original_size_bytes(14728495104);
  result.set_layers_processed(32);
  return result;
}

v1::QuantizeResults OneOf(const v1::QuantizeResult& result) {
  v1::QuantizeResults results;
  *results.add_outputs() = result;
  return results;
}

TEST(JsonResultTest, SeveralAreAnArrayInOrder) {
  v1::QuantizeResults results = OneOf(ContractResult());
  results.add_outputs()->set_level("Q8_0");
  const Json array = Json::parse(JsonResults(results, "JOB"));
  ASSERT_EQ(array.size(), 2u);
  EXPECT_EQ(array[0], Json::parse(JsonResults(OneOf(ContractResult()), "JOB")));
  EXPECT_EQ(array[1]["quantization_level"], "Q8_0");
}

TEST(JsonResultTest, TellsOfFilesAndDevice) {
  v1::QuantizeResult result = ContractResult();
  result.set_device("cpu");
  Json object = Json::parse(JsonResults(OneOf(result), ""));
  EXPECT_EQ(object["metadata"]["files"], Json::array({"/path/to/model.gguf"}));
  EXPECT_EQ(object["metadata"]["device"], "cpu");
  EXPECT_EQ(object["metadata"]["device_memory_bytes"], 0);

  result.add_files("/path/to/model-00001-of-00002.gguf");
  result.add_files("/path/to/model-00002-of-00002.gguf");
  result.set_device_memory_bytes(1 << 20);
  object = Json::parse(JsonResults(OneOf(result), ""));
  EXPECT_EQ(object["output_path"], "/path/to/model-00001-of-00002.gguf");
  EXPECT_EQ(object["metadata"]["files"].size(), 2u);
  EXPECT_EQ(object["metadata"]["device_memory_bytes"], 1 << 20);
  EXPECT_EQ(object["metadata"]["host_memory_bytes"], 17179869184);
  EXPECT_EQ(object["peak_memory_bytes"], 17179869184 + (1 << 20));
}

TEST(JsonResultTest, HasTheContractsKeysFirstWithItsTypes) {
  const std::string text = JsonResults(OneOf(ContractResult()), "JOB");
  EXPECT_TRUE(text.ends_with("}\n"));
  const Json object = Json::parse(text);
  EXPECT_THAT(Keys(object, 10), ElementsAre("status", "output_path", "format", "quantization_level",
                                            "file_size", "compression_ratio", "duration_seconds",
                                            "peak_memory_bytes", "validation_status", "metadata"));
  EXPECT_THAT(Keys(object["metadata"], 3),
              ElementsAre("original_dtype", "original_size", "layers_processed"));
  EXPECT_EQ(object["status"], "success");
  EXPECT_EQ(object["file_size"], 4123456789);
  EXPECT_TRUE(object["file_size"].is_number_integer());
  EXPECT_EQ(object["compression_ratio"], 0.28);
  EXPECT_EQ(object["duration_seconds"], 1523.4);
  EXPECT_EQ(object["peak_memory_bytes"], 17179869184);
  EXPECT_EQ(object["metadata"]["original_size"], 14728495104);
  EXPECT_EQ(object["metadata"]["layers_processed"], 32);
}

TEST(JsonResultTest, NumbersStayOfOneTypeWhenTheyAreWhole) {
  v1::QuantizeResult result;
  const Json object = Json::parse(JsonResults(OneOf(result), ""));
  EXPECT_TRUE(object["compression_ratio"].is_number_float());
  EXPECT_TRUE(object["duration_seconds"].is_number_float());
  EXPECT_TRUE(object["file_size"].is_number_unsigned());
}

TEST(JsonResultTest, TellsOfTheCalibrationWhereThereWasOne) {
  v1::QuantizeResult result = ContractResult();
  for (const char* key : {"group_size", "calibration", "mean_module_error", "notes"}) {
    EXPECT_FALSE(Json::parse(JsonResults(OneOf(result), ""))["metadata"].contains(key)) << key;
  }
  result.set_format("gptq");
  result.set_level("4bit");
  result.set_group_size(-1);
  v1::CalibrationSummary& calibration = *result.mutable_calibration();
  calibration.set_description("built-in text");
  calibration.set_hash("abc");
  calibration.set_windows(64);
  calibration.set_sequence_length(512);
  result.set_mean_module_error(0.0125);
  result.add_notes("model.layers.0.mlp.up_proj: rounded");
  const Json metadata = Json::parse(JsonResults(OneOf(result), ""))["metadata"];
  EXPECT_EQ(metadata["group_size"], -1);
  EXPECT_EQ(metadata["calibration"], Json::parse(R"({"data": "built-in text", "hash": "abc",
                                                     "samples": 64, "sequence_length": 512})"));
  EXPECT_EQ(metadata["mean_module_error"], 0.0125);
  EXPECT_EQ(metadata["notes"], Json::array({"model.layers.0.mlp.up_proj: rounded"}));
}

TEST(JsonResultTest, TellsOfAConversionWhatItLost) {
  v1::QuantizeResult result = ContractResult();
  const auto conversion = [&result] {
    return Json::parse(JsonResults(OneOf(result), ""))["metadata"]["conversion"];
  };
  EXPECT_TRUE(conversion().is_null());
  result.set_fidelity("requantized");
  EXPECT_EQ(conversion(), Json::parse(R"({"from": "float16", "fidelity": "requantized",
                                          "relative_error": null})"));
  result.set_mean_module_error(0.25);
  EXPECT_EQ(conversion()["relative_error"], 0.5);
  result.clear_mean_module_error();
  result.set_fidelity("exact");
  EXPECT_EQ(conversion()["relative_error"], 0);
}

TEST(JsonErrorTest, HasTheContractsKeysForEveryError) {
  for (const ErrorRow& row : AllErrors()) {
    const Json object = Json::parse(JsonError(MakeError(row.error, "what", "do this"), "", ""));
    EXPECT_THAT(Keys(object, 10),
                ElementsAre("status", "error_code", "error_type", "message", "suggestion"));
    EXPECT_EQ(object["status"], "error");
    EXPECT_EQ(object["error_code"], row.exit_code);
    EXPECT_EQ(object["error_type"], row.error_type);
    EXPECT_EQ(object["message"], "what");
    EXPECT_EQ(object["suggestion"], "do this");
  }
}

TEST(JsonErrorTest, TellsWhatIsFinishedAllTheSame) {
  const absl::Status status = MakeError(Error::kDiskFull, "what");
  EXPECT_FALSE(Json::parse(JsonError(status, "", "JOB")).contains("finished"));
  const Json object = Json::parse(JsonError(status, "", "JOB", OneOf(ContractResult())));
  ASSERT_EQ(object["finished"].size(), 1u);
  EXPECT_EQ(object["finished"][0], Json::parse(JsonResults(OneOf(ContractResult()), "JOB")));
}

TEST(JsonErrorTest, ASuggestionIsNeverMissing) {
  const Json object = Json::parse(JsonError(MakeError(Error::kIo, "what"), "tail", "JOB"));
  EXPECT_EQ(object["suggestion"], "");
  EXPECT_EQ(object["job_id"], "JOB");
  EXPECT_EQ(object["log_tail"], "tail");
}

TEST(JsonTest, BytesThatAreNotUtf8AndControlsStayValidJson) {
  v1::QuantizeResult result = ContractResult();
  result.set_output_path("/a/\xff\x1b[2J");
  const std::string text = JsonResults(OneOf(result), "");
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
  EXPECT_EQ(Json::parse(text)["output_path"], "/a/\xef\xbf\xbd\x1b[2J");
}

TEST(JsonJobTest, TellsStateSpecAndOutcome) {
  v1::Job job;
  job.set_id("JOB");
  job.set_state(v1::Job::FAILED);
  job.mutable_create_time()->set_seconds(1'700'000'000);
  v1::QuantizeSpec& spec = *job.mutable_spec()->mutable_quantize();
  spec.set_model_path("/m");
  spec.add_outputs()->set_level("Q8_0");
  spec.mutable_outputs(0)->set_path("/o/m.gguf");
  job.mutable_error()->set_error(6);
  job.mutable_error()->set_message("damaged");
  const Json object = Json::parse(JsonJobs({&job, 1}))["jobs"][0];
  EXPECT_EQ(object["id"], "JOB");
  EXPECT_EQ(object["state"], "FAILED");
  EXPECT_EQ(object["create_time"], "2023-11-14T22:13:20Z");
  EXPECT_TRUE(object["end_time"].is_null());
  EXPECT_EQ(object["spec"]["levels"], Json::array({"Q8_0"}));
  EXPECT_EQ(object["spec"]["output_path"], "/o/m.gguf");
  EXPECT_EQ(object["spec"]["output_paths"], Json::array({"/o/m.gguf"}));
  EXPECT_EQ(object["error"]["error_code"], 6);
  EXPECT_FALSE(object.contains("result"));
  EXPECT_TRUE(object["spec"]["commit"].is_null());
  spec.mutable_hub()->set_commit("0123abc");
  EXPECT_EQ(Json::parse(JsonJob(job))["spec"]["commit"], "0123abc");
}

TEST(JsonJobTest, NamesTheOperation) {
  v1::Job job;
  const auto operation = [&job] { return Json::parse(JsonJob(job))["spec"]["operation"]; };
  EXPECT_EQ(operation(), "noop");
  v1::QuantizeSpec& spec = *job.mutable_spec()->mutable_quantize();
  EXPECT_EQ(operation(), "quantize");
  spec.mutable_conversion();
  EXPECT_EQ(operation(), "convert");
}

TEST(JsonJobTest, TellsHowACalibratedJobWasAskedFor) {
  v1::Job job;
  v1::QuantizeSpec& spec = *job.mutable_spec()->mutable_quantize();
  EXPECT_TRUE(Json::parse(JsonJobs({&job, 1}))["jobs"][0]["spec"]["calibration"].is_null());
  v1::CalibrationSpec& calibration = *spec.mutable_calibration();
  calibration.set_data_path("/d.json");
  calibration.set_samples(64);
  calibration.set_sequence_length(512);
  calibration.set_seed(7);
  v1::PackedOptions& packed = *spec.mutable_packed();
  packed.set_group_size(-1);
  packed.set_awq_clip(true);
  packed.set_asymmetric(true);
  packed.set_column_order("static");
  packed.set_damping(0.05);
  calibration.set_all_tokens_to_experts(true);
  EXPECT_EQ(Json::parse(JsonJobs({&job, 1}))["jobs"][0]["spec"]["calibration"],
            Json::parse(R"({"data": "/d.json", "samples": 64, "sequence_length": 512, "seed": 7,
                            "all_experts": true, "group_size": -1, "awq_clip": true,
                            "asymmetric": true, "act_order": "static", "damping": 0.05})"));
}

TEST(JsonResultTest, TellsOfTheQualityWhereItWasMeasured) {
  v1::QuantizeResults results;
  v1::QuantizeResult& result = *results.add_outputs();
  EXPECT_FALSE(Json::parse(JsonResults(results, "J"))["metadata"].contains("quality"));
  v1::QualitySummary& quality = *result.mutable_quality();
  quality.set_description("t.txt, held out");
  quality.set_tokens(62);
  quality.set_source_perplexity(8);
  quality.set_perplexity(8.5);
  quality.set_kl_divergence(0.03125);
  quality.set_kl_standard_error(0.0078125);
  quality.set_top1_agreement(0.75);
  quality.add_report_files("/o/m.report.json");
  EXPECT_EQ(Json::parse(JsonResults(results, "J"))["metadata"]["quality"],
            Json::parse(R"({"text": "t.txt, held out", "tokens": 62, "source_perplexity": 8,
                            "perplexity": 8.5, "kl_divergence": 0.03125,
                            "kl_standard_error": 0.0078125, "top1_agreement": 0.75,
                            "report_files": ["/o/m.report.json"]})"));
}

TEST(JsonJobTest, TellsWhatIsToBeKnownOfTheQuality) {
  v1::Job job;
  v1::QuantizeSpec& spec = *job.mutable_spec()->mutable_quantize();
  const auto object = [&job] {
    return Json::parse(JsonJobs({&job, 1}))["jobs"][0]["spec"]["quality"];
  };
  EXPECT_TRUE(object().is_null());
  spec.mutable_quality()->set_report(true);
  spec.mutable_quality()->set_samples(16);
  EXPECT_EQ(object(), Json::parse(R"({"report": true, "max_kld": null, "samples": 16})"));
  spec.mutable_quality()->set_max_kld(0.5);
  EXPECT_EQ(object()["max_kld"], 0.5);
}

TEST(JsonLineTest, IsOneObjectInOneLine) {
  const std::string line = JsonProgressLine({"Quantizing", 8, 32, "layers", 1.5});
  EXPECT_EQ(line,
            "{\"event\":\"progress\",\"label\":\"Quantizing\",\"done\":8,\"total\":32,"
            "\"unit\":\"layers\",\"percent\":25,\"elapsed_seconds\":1.5}\n");
  EXPECT_EQ(JsonProgressLine({"Downloading", 1000, 5000, "bytes", 1.5, 2000}),
            "{\"event\":\"progress\",\"label\":\"Downloading\",\"done\":1000,\"total\":5000,"
            "\"unit\":\"bytes\",\"percent\":20,\"elapsed_seconds\":1.5,"
            "\"per_second\":2000.0,\"left_seconds\":2.0}\n");
  EXPECT_EQ(JsonMessageLine("message", "a\nb"), "{\"event\":\"message\",\"message\":\"a\\nb\"}\n");
}

}  // namespace
}  // namespace quantized
