// Conversions of whole directories, key by key and byte by byte as the reference converter's.
#include "core/source/hf_source.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/sha256.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/support/paths.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;
using kernels::TypeId;
using nlohmann::json;
using ::testing::HasSubstr;

struct OutType {
  std::string_view name;
  TypeId type;
};
constexpr OutType kOutTypes[] = {
    {"f32", TypeId::kF32}, {"f16", TypeId::kF16}, {"bf16", TypeId::kBF16}};

std::string TypeName(TypeId type) { return std::string(kernels::QuantTypeOf(type).name); }

uint64_t SizeBytes(const SourceTensor& tensor, uint64_t rows) {
  return rows * kernels::RowBytes(kernels::QuantTypeOf(tensor.type), tensor.cols());
}

// The tensor's bytes, read `rows_at_once` rows at a time.
std::vector<std::byte> Bytes(const ModelSource& source, size_t index, uint64_t rows_at_once) {
  const SourceTensor& tensor = source.tensors()[index];
  std::vector<std::byte> bytes(SizeBytes(tensor, tensor.rows()));
  for (uint64_t row = 0; row < tensor.rows(); row += rows_at_once) {
    const uint64_t rows = std::min(rows_at_once, tensor.rows() - row);
    const absl::Status status =
        source.ReadRows(index, row, rows,
                        std::span(bytes).subspan(SizeBytes(tensor, row), SizeBytes(tensor, rows)));
    EXPECT_TRUE(status.ok()) << status;
  }
  return bytes;
}

// A metadata value in the form of the golden files: short arrays whole, long ones as a hash of
// their bytes in a GGUF file.
json ValueForm(const gguf::Value& value) {
  const auto type_name = [](gguf::ValueType type) {
    constexpr const char* kNames[] = {"uint8",  "int8",    "uint16", "int16",  "uint32",
                                      "int32",  "float32", "bool",   "string", "array",
                                      "uint64", "int64",   "float64"};
    return kNames[static_cast<size_t>(type)];
  };
  json form = {{"type", type_name(gguf::TypeOf(value))}};
  if (const auto* number = std::get_if<float>(&value)) {
    char bits[9];
    std::snprintf(bits, sizeof(bits), "%08x", std::bit_cast<uint32_t>(*number));
    form["bits"] = bits;
    return form;
  }
  if (const auto* array = std::get_if<gguf::Array>(&value)) {
    form["elem"] = type_name(gguf::ElementTypeOf(*array));
    std::visit(
        [&]<typename T>(const std::vector<T>& items) {
          form["n"] = items.size();
          std::string bytes;
          json values = json::array();
          for (const T& item : items) {
            if constexpr (std::is_same_v<T, std::string>) {
              const uint64_t size = item.size();
              bytes.append(reinterpret_cast<const char*>(&size), sizeof(size)).append(item);
              values.push_back(item);
            } else if constexpr (std::is_same_v<T, gguf::Bool>) {
              bytes.push_back(static_cast<char>(item.value));
              values.push_back(item.value != 0);
            } else {
              bytes.append(reinterpret_cast<const char*>(&item), sizeof(item));
              values.push_back(item);
            }
          }
          if (items.size() <= 32) {
            form["value"] = values;
          } else {
            form["sha256"] = Sha256Hex(bytes);
          }
        },
        *array);
    return form;
  }
  std::visit(
      [&]<typename T>(const T& scalar) {
        if constexpr (!std::is_same_v<T, gguf::Array>) form["value"] = scalar;
      },
      value);
  return form;
}

void ExpectMetadata(const gguf::Metadata& metadata, const json& expected) {
  const auto entries = metadata.entries();
  for (size_t i = 0; i < std::max(entries.size(), expected.size()); ++i) {
    json got, want;
    if (i < entries.size()) {
      got = ValueForm(entries[i].value);
      got["key"] = entries[i].key;
    }
    if (i < expected.size()) {
      want = expected[i];
      want.erase("head");
      if (want.contains("bits")) want.erase("value");
    }
    EXPECT_EQ(got, want) << "at place " << i;
  }
}

void ExpectTensors(const ModelSource& source, const json& expected) {
  ASSERT_EQ(source.tensors().size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    const SourceTensor& tensor = source.tensors()[i];
    SCOPED_TRACE(tensor.name);
    EXPECT_EQ(tensor.name, expected[i]["name"]);
    EXPECT_EQ(TypeName(tensor.type), expected[i]["type"]);
    EXPECT_EQ(json(tensor.dims), expected[i]["ne"]);
    const std::vector<std::byte> bytes = Bytes(source, i, tensor.rows());
    Sha256 hash;
    hash.Update(bytes);
    EXPECT_EQ(hash.HexDigest(), expected[i]["sha256"]);
    for (const uint64_t rows : {1, 7}) EXPECT_TRUE(Bytes(source, i, rows) == bytes) << rows;
  }
}

void ExpectConversionsAsTheReference(const fs::path& directory, const fs::path& golden_file) {
  const auto text = ReadFile(golden_file, 4 << 20);
  ASSERT_TRUE(text.ok()) << text.status();
  const json golden = json::parse(*text);
  // The first output type that has all keys; the others hold what differs from it.
  json all_keys;
  for (const json& out : golden["out"]) {
    if (out.contains("kv")) all_keys = out["kv"];
  }
  for (const OutType& out : kOutTypes) {
    SCOPED_TRACE(std::string(out.name));
    SourceOptions options{.conversion_type = out.type};
    if (golden["pre_hint"].is_string()) options.pre_tokenizer = golden["pre_hint"];
    const auto source = OpenHfSource(directory, options);
    ASSERT_TRUE(source.ok()) << source.status();
    json keys = all_keys;
    for (const json& changed : golden["out"][out.name].value("kv_changed", json::array())) {
      for (json& entry : keys) {
        if (entry["key"] == changed["key"]) entry = changed;
      }
    }
    ExpectMetadata((*source)->metadata(), keys);
    ExpectTensors(**source, golden["out"][out.name]["tensors"]);
  }
}

class HfSourceGolden : public ::testing::TestWithParam<std::string_view> {};

TEST_P(HfSourceGolden, AsTheReference) {
  const fs::path models = testing::GoldenDir() / "hf2gguf/models";
  ExpectConversionsAsTheReference(models / GetParam(),
                                  models / (std::string(GetParam()) + ".json"));
}

std::string TestName(const ::testing::TestParamInfo<std::string_view>& info) {
  std::string name(info.param);
  std::replace_if(
      name.begin(), name.end(), [](char c) { return !std::isalnum(c); }, '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Small, HfSourceGolden,
                         ::testing::Values("Llama-3.9-1B-Instruct", "Mixtral-sharded", "Phi-3-su",
                                           "Phi-3-yarn", "Phi-4-bpe", "Qwen3-Embedding-0.6B",
                                           "Qwen3-MoE-tied", "TinyModel-v1.0-chat", "gemma-2-f16",
                                           "gemma-3-4b-it", "gemma-3-f16", "gemma-3-oov-rows",
                                           "llama-biases", "llama-old-style",
                                           "llama-rope-parameters", "llama2-spm-sharded",
                                           "mistral-no-head-dim", "mistral-null-kv", "plain-7B",
                                           "qwen2-yarn"),
                         TestName);

class HfSourceLargeGolden : public ::testing::TestWithParam<std::string_view> {};

TEST_P(HfSourceLargeGolden, AsTheReference) {
  const auto large = testing::LargeGoldenDir();
  if (!large) GTEST_SKIP() << "QUANTIZED_GOLDEN names no folder with the large golden data";
  ExpectConversionsAsTheReference(*large / "hf2gguf/models" / GetParam(),
                                  *large / "hf2gguf/golden" / (std::string(GetParam()) + ".json"));
}

INSTANTIATE_TEST_SUITE_P(Tiny, HfSourceLargeGolden,
                         ::testing::Values("Llama-3.2-tiny-Instruct", "Phi-3-tiny-128k",
                                           "Qwen2.5-tiny-Instruct", "Qwen3-Moe-tiny", "Qwen3-tiny",
                                           "gemma-2-tiny-it", "mixtral-4x-tiny", "gemma-3-tiny-it",
                                           "llama2-spm-sharded", "mistral-7x-v0.3"),
                         TestName);

}  // namespace
}  // namespace quantized
