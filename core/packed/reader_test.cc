#include "core/packed/reader.h"

#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/packed/awq.h"
#include "core/packed/packed_tensor.h"
#include "core/safetensors/reader.h"
#include "core/safetensors/writer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace quantized {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class MemoryStore : public TensorStore {
 public:
  void Add(const std::string& name, DType dtype, std::vector<uint64_t> shape,
           std::vector<std::byte> bytes) {
    const uint64_t size_bytes = bytes.size();
    tensors_[name] = {{dtype, std::move(shape), size_bytes}, std::move(bytes)};
  }
  void Add(const std::string& module, const std::vector<PackedTensor>& tensors) {
    for (const PackedTensor& t : tensors) {
      Add(module + "." + std::string(t.shape.suffix), t.shape.dtype, t.shape.dims, t.bytes);
    }
  }
  void Remove(const std::string& name) { ASSERT_EQ(tensors_.erase(name), 1u) << name; }
  Tensor& At(const std::string& name) { return tensors_.at(name).info; }

  std::vector<std::string> Names() const override {
    std::vector<std::string> names;
    for (const auto& [name, tensor] : tensors_) names.insert(names.begin(), name);  // unsorted
    return names;
  }
  std::optional<Tensor> Find(std::string_view name) const override {
    const auto found = tensors_.find(std::string(name));
    if (found == tensors_.end()) return std::nullopt;
    return found->second.info;
  }
  absl::Status Read(std::string_view name, std::span<std::byte> out) const override {
    const std::vector<std::byte>& bytes = tensors_.at(std::string(name)).bytes;
    EXPECT_EQ(out.size(), bytes.size());
    std::memcpy(out.data(), bytes.data(), out.size());
    return absl::OkStatus();
  }

 private:
  struct Entry {
    Tensor info;
    std::vector<std::byte> bytes;
  };
  std::map<std::string, Entry> tensors_;
};

QuantizedLinear Linear(size_t out, size_t in, size_t group_size, int bits, bool sym) {
  std::mt19937 random(static_cast<uint32_t>(out * 7 + in));
  QuantizedLinear linear = {.out = out, .in = in, .group_size = group_size, .bits = bits};
  linear.codes.resize(out * in);
  for (uint8_t& c : linear.codes) c = static_cast<uint8_t>(random() & linear.max_code());
  linear.zeros.resize(out * linear.groups());
  for (uint8_t& z : linear.zeros) {
    z = sym ? static_cast<uint8_t>(1u << (bits - 1))
            : static_cast<uint8_t>(1 + random() % linear.max_code());
  }
  linear.scales = Matrix(out, linear.groups());
  for (float& s : linear.scales.values) s = static_cast<float>(1 + random() % 2000) / 4096;
  return linear;
}

void AddGptq(MemoryStore& store, const std::string& name, const QuantizedLinear& linear,
             GptqVersion version) {
  const auto tensors = PackGptq(name, linear, version);
  ASSERT_TRUE(tensors.ok()) << tensors.status();
  store.Add(name, *tensors);
}

constexpr std::string_view kPlace = "config.json: quantization_config";

PackedScheme SchemeOf(const char* config) {
  const auto scheme = ParsePackedScheme(json::parse(config), kPlace);
  EXPECT_TRUE(scheme.ok()) << scheme.status();
  EXPECT_TRUE(scheme->has_value());
  return **scheme;
}

TEST(PackedSchemeTest, GptqFieldsAreRead) {
  const PackedScheme plain = SchemeOf(R"({"quant_method": "GPTQ", "bits": 4, "group_size": 64})");
  EXPECT_EQ(plain.method, PackedMethod::kGptq);
  EXPECT_EQ(plain.bits, 4);
  EXPECT_EQ(plain.group_size, 64);
  EXPECT_TRUE(plain.sym);
  EXPECT_EQ(plain.tagged_version, GptqVersion::kV1);
  EXPECT_FALSE(plain.has_overrides);
  const PackedScheme other = SchemeOf(R"({"bits": 3, "group_size": -1, "sym": false,
      "checkpoint_format": "gptq_v2", "dynamic": {"-:^a$": {}, "+:b": {"bits": 8}}})");
  EXPECT_EQ(other.bits, 3);
  EXPECT_EQ(other.group_size, -1);
  EXPECT_FALSE(other.sym);
  EXPECT_EQ(other.tagged_version, GptqVersion::kV2);
  EXPECT_TRUE(other.has_overrides);
  EXPECT_FALSE(
      SchemeOf(R"({"bits": 4, "group_size": 32, "dynamic": {"-:^a$": {}}})").has_overrides);
}

TEST(PackedSchemeTest, AwqFieldsAreRead) {
  for (const char* config :
       {R"({"quant_method": "awq", "bits": 4, "group_size": 64, "version": "GEMM",
            "zero_point": true})",
        R"({"quant_method": "awq", "w_bit": 4, "q_group_size": 64, "format": "gemm"})"}) {
    const PackedScheme scheme = SchemeOf(config);
    EXPECT_EQ(scheme.method, PackedMethod::kAwq);
    EXPECT_EQ(scheme.group_size, 64);
  }
}

TEST(PackedSchemeTest, WhatTheWriterWritesIsRead) {
  const PackedOptions options = {.bits = 8, .group_size = -1, .version = GptqVersion::kV2};
  const auto config = HfConfig::Parse(OutputConfigText(json::object(), options).value());
  ASSERT_TRUE(config.ok()) << config.status();
  const auto scheme = PackedSchemeOf(*config);
  ASSERT_TRUE(scheme.ok() && scheme->has_value()) << scheme.status();
  EXPECT_EQ((*scheme)->bits, 8);
  EXPECT_EQ((*scheme)->group_size, -1);
  EXPECT_EQ((*scheme)->tagged_version, GptqVersion::kV2);
}

TEST(PackedSchemeTest, OtherModelsHaveNone) {
  for (const char* config : {R"({})", R"({"quantization_config": null})",
                             R"({"quantization_config": {"quant_method": "fp8"}})"}) {
    const auto scheme = PackedSchemeOf(HfConfig::Parse(config).value());
    ASSERT_TRUE(scheme.ok()) << scheme.status();
    EXPECT_FALSE(scheme->has_value());
  }
}

TEST(PackedSchemeTest, FieldsThatCannotBeAreRefused) {
  struct Case {
    const char* config;
    Error error;
    const char* message;
  };
  constexpr Error kBad = Error::kValidationFailed, kOther = Error::kUnsupportedConversion;
  for (const auto& [config, error, message] : {
           Case{"[]", kBad, "quantization_config: expected an object"},
           Case{R"({"quant_method": 3})", kBad, "quant_method: expected a name, found 3"},
           Case{R"({"group_size": 1})", kBad, "bits: expected a number, found nothing"},
           Case{R"({"bits": 4})", kBad, "group_size: expected a number, found nothing"},
           Case{R"({"bits": 5, "group_size": 1})", kBad, "bits: expected 2, 3, 4 or 8, found 5"},
           Case{R"({"bits": "4", "group_size": 1})", kBad, "bits: expected a whole number"},
           Case{R"({"bits": 4, "group_size": 0})", kBad, "group_size: expected -1 or a number"},
           Case{R"({"bits": 4, "group_size": 1, "sym": 1})", kBad, "sym: expected true or false"},
           Case{R"({"bits": 4, "group_size": 1, "checkpoint_format": "marlin"})", kOther,
                "checkpoint_format: found \"marlin\""},
           Case{R"({"bits": 4, "group_size": 1, "checkpoint_format": 2})", kBad,
                "checkpoint_format: expected a name"},
           Case{R"({"bits": 4, "group_size": 1, "is_marlin_format": true})", kOther,
                "config.json: quantization_config.is_marlin_format: found true"},
           Case{R"({"bits": 4, "group_size": 1, "dynamic": []})", kBad, "dynamic: expected an obj"},
           Case{R"({"quant_method": "awq", "bits": 8, "group_size": 1})", kBad,
                "bits: expected 4, found 8"},
           Case{R"({"quant_method": "awq", "bits": 4, "group_size": 1, "version": "gemv"})", kOther,
                "version: found \"gemv\""},
           Case{R"({"quant_method": "awq", "bits": 4, "group_size": 1, "version": []})", kBad,
                "version: expected a name"},
           Case{R"({"quant_method": "awq", "bits": 4, "group_size": 1, "zero_point": false})",
                kOther, "zero_point: found false"},
       }) {
    SCOPED_TRACE(config);
    const auto scheme = ParsePackedScheme(json::parse(config), kPlace);
    ASSERT_FALSE(scheme.ok());
    EXPECT_EQ(ErrorOf(scheme.status()), error);
    EXPECT_THAT(std::string(scheme.status().message()), HasSubstr(message));
    if (error == kOther) {
      EXPECT_THAT(SuggestionOf(scheme.status()), HasSubstr("or quantize the original model"));
    }
  }
}

TEST(PackedReaderTest, ListsAndLoadsGptq) {
  MemoryStore store;
  const QuantizedLinear a = Linear(32, 64, 32, 4, true), b = Linear(64, 96, 32, 4, true);
  AddGptq(store, "layers.1.b", b, GptqVersion::kV1);
  AddGptq(store, "layers.0.a", a, GptqVersion::kV1);
  store.Remove("layers.1.b.g_idx");
  store.Add("norm.weight", DType::kF16, {2}, std::vector<std::byte>(4));
  const PackedScheme scheme = SchemeOf(R"({"bits": 4, "group_size": 32})");
  const auto modules = ListPackedModules(scheme, store);
  ASSERT_TRUE(modules.ok()) << modules.status();
  EXPECT_THAT(*modules, ElementsAre(PackedModule{"layers.0.a", 32, 64, 4, 32},
                                    PackedModule{"layers.1.b", 64, 96, 4, 32}));
  const auto loaded = LoadPackedModule(scheme, store, (*modules)[1]);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->codes, b.codes);
  EXPECT_EQ(loaded->zeros, b.zeros);
  EXPECT_EQ(loaded->scales.values, b.scales.values);
}

TEST(PackedReaderTest, AWrongTagOfSymmetricLayersDoesNotMatter) {
  for (const int bits : {2, 3, 4, 8}) {
    for (const GptqVersion version : {GptqVersion::kV1, GptqVersion::kV2}) {
      SCOPED_TRACE(bits);
      MemoryStore store;
      const QuantizedLinear linear = Linear(32, 64, 32, bits, true);
      AddGptq(store, "m", linear, version);
      PackedScheme scheme = {.bits = bits, .group_size = 32};
      scheme.tagged_version = version == GptqVersion::kV1 ? GptqVersion::kV2 : GptqVersion::kV1;
      const auto loaded = LoadPackedModule(scheme, store, {"m", 32, 64, bits, 32});
      ASSERT_TRUE(loaded.ok()) << loaded.status();
      EXPECT_EQ(loaded->zeros, linear.zeros);
    }
  }
}

TEST(PackedReaderTest, TheTagHoldsForAsymmetricLayers) {
  MemoryStore store;
  const QuantizedLinear linear = Linear(32, 64, 32, 4, false);
  AddGptq(store, "m", linear, GptqVersion::kV2);
  const PackedScheme scheme =
      SchemeOf(R"({"bits": 4, "group_size": 32, "sym": false, "checkpoint_format": "gptq_v2"})");
  const auto loaded = LoadPackedModule(scheme, store, {"m", 32, 64, 4, 32});
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->zeros, linear.zeros);
}

TEST(PackedReaderTest, OverriddenLayersTellTheirOwnBitsAndGroups) {
  MemoryStore store;
  AddGptq(store, "a", Linear(32, 64, 32, 4, true), GptqVersion::kV1);
  AddGptq(store, "b", Linear(32, 64, 64, 8, true), GptqVersion::kV1);
  const auto refused = ListPackedModules(SchemeOf(R"({"bits": 4, "group_size": 32})"), store);
  EXPECT_THAT(std::string(refused.status().message()),
              HasSubstr("tensor b.qweight: found 8 bits in groups of 64, expected 4 bits in groups "
                        "of 32 as the configuration says"));
  const PackedScheme scheme =
      SchemeOf(R"({"bits": 4, "group_size": 32, "dynamic": {"+:b": {"bits": 8}}})");
  const auto modules = ListPackedModules(scheme, store);
  ASSERT_TRUE(modules.ok()) << modules.status();
  EXPECT_THAT(*modules,
              ElementsAre(PackedModule{"a", 32, 64, 4, 32}, PackedModule{"b", 32, 64, 8, 64}));
  EXPECT_TRUE(LoadPackedModule(scheme, store, (*modules)[1]).ok());
}

TEST(PackedReaderTest, ListsAndLoadsAwq) {
  MemoryStore store;
  const QuantizedLinear linear = Linear(64, 96, 96, 4, false);
  store.Add("m", PackAwq("m", linear).value());
  const PackedScheme scheme = SchemeOf(R"({"quant_method": "awq", "bits": 4, "group_size": -1})");
  const auto modules = ListPackedModules(scheme, store);
  ASSERT_TRUE(modules.ok()) << modules.status();
  EXPECT_THAT(*modules, ElementsAre(PackedModule{"m", 64, 96, 4, 96}));
  const auto loaded = LoadPackedModule(scheme, store, (*modules)[0]);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->codes, linear.codes);
  EXPECT_EQ(loaded->zeros, linear.zeros);
}

TEST(PackedReaderTest, TensorsThatDoNotFitAreRefused) {
  struct Case {
    const char* message;
    void (*spoil)(MemoryStore&);
  };
  for (const auto& [message, spoil] : {
           Case{"m.scales: missing", [](MemoryStore& s) { s.Remove("m.scales"); }},
           Case{"m.qzeros: missing", [](MemoryStore& s) { s.Remove("m.qzeros"); }},
           Case{"m.qweight: found shape [8], expected 2 sizes from 1 to 2147483647",
                [](MemoryStore& s) { s.At("m.qweight").shape = {8}; }},
           Case{"m.scales: found shape [0, 32]",
                [](MemoryStore& s) { s.At("m.scales").shape[0] = 0; }},
           Case{"m.g_idx: found shape [9223372036854775808]",
                [](MemoryStore& s) { s.At("m.g_idx").shape[0] = uint64_t{1} << 63; }},
           Case{"m.qweight: found 8 words for 51 inputs, expected 2, 3, 4 or 8 bits for each",
                [](MemoryStore& s) { s.At("m.g_idx").shape[0] = 51; }},
           Case{"m.qweight: found 8 words for 1 inputs",
                [](MemoryStore& s) { s.At("m.g_idx").shape[0] = 1; }},
           Case{"m.scales: found 3 groups of 64 inputs",
                [](MemoryStore& s) { s.At("m.scales").shape[0] = 3; }},
           Case{"m.qweight: found 64 inputs and 40 outputs, expected multiples of 32",
                [](MemoryStore& s) { s.At("m.qweight").shape[1] = 40; }},
           Case{"m.qweight: found F32 [8, 32], expected I32 [8, 32]",
                [](MemoryStore& s) { s.At("m.qweight").dtype = DType::kF32; }},
           Case{"m.scales: found F32 [2, 32], expected F16 [2, 32]",
                [](MemoryStore& s) { s.At("m.scales").dtype = DType::kF32; }},
           Case{"m.qzeros: found I32 [4, 2], expected I32 [2, 4]",
                [](MemoryStore& s) {
                  s.At("m.qzeros").shape = {4, 2};
                }},
           Case{"m.qweight: found 4 bits in groups of 64, expected 4 bits in groups of 32",
                [](MemoryStore& s) { s.At("m.scales").shape[0] = 1; }},
       }) {
    SCOPED_TRACE(message);
    MemoryStore store;
    AddGptq(store, "m", Linear(32, 64, 32, 4, true), GptqVersion::kV1);
    spoil(store);
    const auto modules = ListPackedModules({.bits = 4, .group_size = 32}, store);
    ASSERT_FALSE(modules.ok());
    EXPECT_EQ(ErrorOf(modules.status()), Error::kValidationFailed);
    EXPECT_THAT(std::string(modules.status().message()), HasSubstr(message));
  }
}

TEST(PackedReaderTest, NoTensorIsWithoutItsCodes) {
  for (const char* left : {"qzeros", "scales", "g_idx"}) {
    SCOPED_TRACE(left);
    MemoryStore store;
    AddGptq(store, "a", Linear(32, 64, 32, 4, true), GptqVersion::kV1);
    AddGptq(store, "b.m", Linear(32, 64, 32, 4, true), GptqVersion::kV1);
    for (const char* suffix : {"qweight", "qzeros", "scales", "g_idx"}) {
      if (std::string(suffix) != left) store.Remove(std::string("b.m.") + suffix);
    }
    const auto modules = ListPackedModules({.bits = 4, .group_size = 32}, store);
    ASSERT_FALSE(modules.ok());
    EXPECT_EQ(ErrorOf(modules.status()), Error::kValidationFailed);
    EXPECT_EQ(modules.status().message(),
              std::string("tensor b.m.qweight: missing, found ") + left + " of this linear");
    EXPECT_FALSE(SuggestionOf(modules.status()).empty());
  }
}

TEST(PackedReaderTest, ScalesOfAnActivationAreNoLinears) {
  MemoryStore store;
  store.Add("m", PackAwq("m", Linear(64, 96, 32, 4, false)).value());
  store.Add("mlp.act.scales", DType::kF16, {96}, std::vector<std::byte>(192));
  const auto modules = ListPackedModules({.method = PackedMethod::kAwq, .group_size = 32}, store);
  ASSERT_TRUE(modules.ok()) << modules.status();
  EXPECT_THAT(*modules, ElementsAre(PackedModule{"m", 64, 96, 4, 32}));
}

// A store over the reader of a file, as a model directory has.
class FileStore : public TensorStore {
 public:
  explicit FileStore(const safetensors::SafetensorsReader& reader) : reader_(reader) {}
  std::vector<std::string> Names() const override {
    std::vector<std::string> names;
    for (const safetensors::TensorInfo& info : reader_.tensors()) names.push_back(info.name);
    return names;
  }
  std::optional<Tensor> Find(std::string_view name) const override {
    const safetensors::TensorInfo* info = reader_.Find(name);
    if (info == nullptr) return std::nullopt;
    return Tensor{info->dtype, info->shape, info->size_bytes};
  }
  absl::Status Read(std::string_view name, std::span<std::byte> out) const override {
    return reader_.Read(*reader_.Find(name), 0, out);
  }

 private:
  const safetensors::SafetensorsReader& reader_;
};

TEST(PackedReaderTest, ReadsTheFileThatThePlanMakes) {
  const QuantizedLinear linear = Linear(64, 96, 32, 3, false);
  std::vector<safetensors::PlannedTensor> planned;
  for (const PackedShape& shape : GptqShapes(64, 96, 32, 3)) {
    planned.push_back({"m." + std::string(shape.suffix), shape.dtype, shape.dims});
  }
  const auto layout = safetensors::PlanSafetensors(planned);
  ASSERT_TRUE(layout.ok()) << layout.status();
  std::string file(layout->files[0].size_bytes, '\0');
  file.replace(0, layout->files[0].header.size(), layout->files[0].header);
  const auto tensors = PackGptq("m", linear, GptqVersion::kV2);
  ASSERT_TRUE(tensors.ok()) << tensors.status();
  for (size_t i = 0; i < tensors->size(); ++i) {
    ASSERT_EQ((*tensors)[i].bytes.size(), layout->tensors[i].size_bytes);
    std::memcpy(file.data() + layout->tensors[i].offset, (*tensors)[i].bytes.data(),
                (*tensors)[i].bytes.size());
  }
  const auto reader = safetensors::SafetensorsReader::Open(
      MemoryBytes("model.safetensors", std::as_bytes(std::span(file))));
  ASSERT_TRUE(reader.ok()) << reader.status();
  const FileStore store(**reader);
  const PackedScheme scheme = {
      .bits = 3, .group_size = 32, .sym = false, .tagged_version = GptqVersion::kV2};
  const auto modules = ListPackedModules(scheme, store);
  ASSERT_TRUE(modules.ok()) << modules.status();
  ASSERT_THAT(*modules, ElementsAre(PackedModule{"m", 64, 96, 3, 32}));
  const auto loaded = LoadPackedModule(scheme, store, (*modules)[0]);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->codes, linear.codes);
  EXPECT_EQ(loaded->zeros, linear.zeros);
}

}  // namespace
}  // namespace quantized
