#include "core/source/general_metadata.h"

#include "core/base/file.h"
#include "core/hf/front_matter.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/paths.h"

namespace quantized {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;

gguf::Metadata General(std::string_view card, const json& config, std::string directory,
                       uint64_t parameters) {
  const json front_matter = ParseFrontMatter(card);
  gguf::Metadata metadata;
  AppendGeneralMetadata({.card = front_matter,
                         .config = config,
                         .generation_config = json::object(),
                         .directory_name = std::move(directory),
                         .parameters = parameters},
                        metadata);
  return metadata;
}

std::string Text(const gguf::Metadata& metadata, const std::string& key) {
  const auto* text = metadata.Get<std::string>("general." + key);
  return text == nullptr ? "(none)" : *text;
}

// The golden form of one field: a text, a list of texts, or a list of objects.
void ExpectField(const gguf::Metadata& metadata, const std::string& name, const json& value) {
  if (value.is_string()) {
    EXPECT_EQ(Text(metadata, name), value) << name;
  } else if (value[0].is_string()) {
    std::vector<std::string> texts = value;
    const auto* array = metadata.Get<gguf::Array>("general." + name);
    ASSERT_NE(array, nullptr) << name;
    EXPECT_EQ(*array, gguf::Array(texts)) << name;
  } else {
    EXPECT_EQ(*metadata.Get<uint32_t>("general." + name + ".count"), value.size());
    for (size_t i = 0; i < value.size(); ++i) {
      for (const auto& [member, text] : value[i].items()) {
        EXPECT_EQ(Text(metadata, name + "." + std::to_string(i) + "." + member), text) << member;
      }
    }
  }
}

TEST(GeneralMetadata, CardsAsTheReference) {
  const auto text = ReadFile(testing::GoldenDir() / "hf2gguf/cards.json", 1 << 20);
  ASSERT_TRUE(text.ok()) << text.status();
  const json vectors = json::parse(*text);
  ASSERT_GE(vectors.size(), 10u);
  for (const json& row : vectors) {
    SCOPED_TRACE(row["card"].get<std::string>());
    const gguf::Metadata metadata =
        General(row["card"].get<std::string>(), json::object(), row["dir"], row["params"]);
    size_t keys = 0;
    for (const auto& [field, value] : row["metadata"].items()) {
      std::string name = field;
      if (name == "base_models") name = "base_model";
      if (name == "datasets") name = "dataset";
      if (const size_t at = name.find('_');
          name.starts_with("source_") || name == "license_name" || name == "license_link") {
        name[at] = '.';
      }
      if (name == "license" && value.is_array()) {
        EXPECT_EQ(Text(metadata, "license"), "mit,apache-2.0");
        ++keys;
        continue;
      }
      ExpectField(metadata, name, value);
      ++keys;
      if (value.is_array() && value[0].is_object()) {
        for (const json& entry : value) keys += entry.size();
      }
    }
    EXPECT_EQ(metadata.entries().size(), keys) << "has a key that the reference does not write";
  }
}

TEST(GeneralMetadata, NameOrPathOfTheConfigurationComesBeforeTheDirectory) {
  const gguf::Metadata metadata =
      General("", {{"_name_or_path", "some-org/Foo-7B-chat"}}, "snapshot", 7'000'000'000);
  EXPECT_EQ(Text(metadata, "name"), "Foo 7B Chat");
  EXPECT_EQ(Text(metadata, "organization"), "Some Org");
  EXPECT_EQ(Text(metadata, "size_label"), "7B");
}

TEST(GeneralMetadata, APathOfAnotherMachineTellsNothing) {
  const json config = {{"_name_or_path", "/data/models/Foo-7B"}};
  EXPECT_EQ(Text(General("", config, "bar-2", 1), "name"), "Bar 2");
  EXPECT_EQ(Text(General("", {{"_name_or_path", 7}}, "bar-2", 1), "name"), "Bar 2");
}

TEST(GeneralMetadata, AnEmptyNameIsAName) {
  EXPECT_EQ(Text(General("", {{"_name_or_path", ""}}, "bar-2", 1), "name"), "(none)");
}

TEST(GeneralMetadata, SizeLabelIsCountedWhenNoNameHasOne) {
  EXPECT_EQ(Text(General("", json::object(), "model", 134'515'008), "size_label"), "135M");
  EXPECT_EQ(Text(General("", json::object(), "model", 0), "size_label"), "(none)");
}

TEST(GeneralMetadata, ReferencesGivenAsMappings) {
  const gguf::Metadata metadata =
      General("---\nbase_model:\n- name: N\n  url: U\n  other: x\n- [a]\n---\n", json::object(),
              "model", 1);
  EXPECT_EQ(*metadata.Get<uint32_t>("general.base_model.count"), 2u);
  EXPECT_EQ(Text(metadata, "base_model.0.name"), "N");
  EXPECT_EQ(Text(metadata, "base_model.0.url"), "U");
  EXPECT_EQ(Text(metadata, "base_model.1.name"), "(none)");
}

TEST(GeneralMetadata, AnEmptyReferenceIsCounted) {
  EXPECT_EQ(*General("---\nbase_model:\n---\n", json::object(), "m", 1)
                 .Get<uint32_t>("general.base_model.count"),
            0u);
}

TEST(GeneralMetadata, ValuesOfOtherKindsAreLeftOut) {
  const gguf::Metadata metadata =
      General("---\nname: {a: b}\nlicense: null\ntags: {a: b}\nlanguage: no\nauthor: ''\n---\n",
              json::object(), "model", 1);
  std::vector<std::string> keys;
  for (const auto& entry : metadata.entries()) keys.push_back(entry.key);
  EXPECT_THAT(keys, ElementsAre("general.name", "general.size_label"));
}

}  // namespace
}  // namespace quantized
