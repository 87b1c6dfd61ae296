#include "client/render/model_info.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"

namespace quantized {
namespace {

using ::testing::HasSubstr;

constexpr std::string_view kInspection = R"({"file_format":"safetensors","vocab_size":32000,
  "model_name":"meta-llama/Llama-2-7b-hf","architecture":"LlamaForCausalLM",
  "parameter_count":6738415616,"hidden_size":4096,"num_layers":32,"num_heads":32,
  "torch_dtype":"float16","size_bytes":13476831232,"bits_per_weight":16.0004,
  "tensor_types":{"F16":226,"F32":65}})";

TEST(ModelInfoTest, HumanFormIsTheContracts) {
  const auto text = FormatModelInfo(kInspection);
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_EQ(text->human,
            "Model: meta-llama/Llama-2-7b-hf\n"
            "Architecture: LlamaForCausalLM\n"
            "Parameters: 6,738,415,616\n"
            "Hidden Size: 4096\n"
            "Layers: 32\n"
            "Heads: 32\n"
            "Vocab Size: 32000\n"
            "Dtype: float16\n"
            "File Format: safetensors\n"
            "Size: 13.5 GB\n"
            "Bits Per Weight: 16.00\n"
            "Tensor Types: F16 226, F32 65\n");
}

TEST(ModelInfoTest, HumanFormLeavesOutWhatIsNotTold) {
  const auto text = FormatModelInfo(R"({"model_name":"m","architecture":"","parameter_count":0,
      "hidden_size":8,"num_layers":0,"num_heads":2,"vocab_size":0,"torch_dtype":"float16",
      "format":"safetensors","quantization_method":"fp8"})");
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_EQ(text->human,
            "Model: m\n"
            "Hidden Size: 8\n"
            "Heads: 2\n"
            "Dtype: float16\n"
            "Format: safetensors\n"
            "Quantization Method: fp8\n");
  EXPECT_THAT(text->json, HasSubstr("\"parameter_count\": 0,"));
}

TEST(ModelInfoTest, WhatWasNotMeasuredHasNoFigure) {
  std::string inspection(kInspection);
  inspection.insert(inspection.size() - 1,
                    R"(,"scales_undone":true,"relative_error":0.119,"tensor_errors":[
      {"name":"a","type":"4-bit","relative_error":0.12,"max_error":0.5,"scales":"undone"},
      {"name":"b","type":"F16","relative_error":null,"max_error":null,"scales":"folded"}])");
  const auto text = FormatModelInfo(inspection);
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_THAT(text->human, HasSubstr("\nScales Undone: yes\nRelative Error: 0.119\n\n"
                                     "NAME  TYPE   RELATIVE ERROR  MAX ERROR  SCALES\n"
                                     "a     4-bit  0.12            0.5        undone\n"
                                     "b     F16    -               -          folded\n"));
  EXPECT_THAT(text->json, HasSubstr("\"max_error\": null"));
}

TEST(ModelInfoTest, JsonHasTheContractsKeysFirst) {
  const auto text = FormatModelInfo(kInspection);
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_EQ(text->json,
            R"({
  "model_name": "meta-llama/Llama-2-7b-hf",
  "architecture": "LlamaForCausalLM",
  "parameter_count": 6738415616,
  "hidden_size": 4096,
  "num_layers": 32,
  "num_heads": 32,
  "vocab_size": 32000,
  "torch_dtype": "float16",
  "file_format": "safetensors",
  "size_bytes": 13476831232,
  "bits_per_weight": 16.0004,
  "tensor_types": {
    "F16": 226,
    "F32": 65
  }
}
)");
}

TEST(ModelInfoTest, WhatIsNotAnInspectionIsRefused) {
  for (const std::string_view text :
       {"", "[]", "{", R"({"model_name":"m"})", R"({"model_name":7})"}) {
    const auto info = FormatModelInfo(text);
    ASSERT_FALSE(info.ok()) << text;
    EXPECT_EQ(ErrorOf(info.status()), Error::kInternal) << text;
  }
  std::string wrong_type(kInspection);
  wrong_type.replace(wrong_type.find("4096"), 4, "\"4k\"");
  EXPECT_THAT(std::string(FormatModelInfo(wrong_type).status().message()),
              HasSubstr("'hidden_size' of type string"));
}

}  // namespace
}  // namespace quantized
