#include "core/hf/model_name.h"

#include "core/base/file.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/support/paths.h"

namespace quantized {
namespace {

using nlohmann::json;

// What the reference makes of 60 names at four parameter counts, and of 20 counts.
json Vectors() {
  const auto text = ReadFile(testing::GoldenDir() / "hf2gguf/names.json", 1 << 20);
  EXPECT_TRUE(text.ok()) << text.status();
  return text.ok() ? json::parse(*text) : json();
}

json OrNull(const std::optional<std::string>& text) { return text ? json(*text) : json(); }

TEST(ModelName, AsTheReference) {
  const json vectors = Vectors()["names"];
  ASSERT_GE(vectors.size(), 200u);
  for (const json& row : vectors) {
    SCOPED_TRACE(row.dump());
    const ModelNameParts parts = ParseModelName(row["id"].get<std::string>(), row["params"]);
    EXPECT_EQ(parts.full_name, row["full"]);
    EXPECT_EQ(OrNull(parts.organization), row["org"]);
    EXPECT_EQ(OrNull(parts.basename), row["basename"]);
    EXPECT_EQ(OrNull(parts.finetune), row["finetune"]);
    EXPECT_EQ(OrNull(parts.version), row["version"]);
    EXPECT_EQ(OrNull(parts.size_label), row["size_label"]);
    EXPECT_EQ(TitleOfName(parts.full_name), row["title"]);
  }
}

TEST(ModelName, SizeLabelsAsTheReference) {
  const json vectors = Vectors()["sizes"];
  ASSERT_GE(vectors.size(), 20u);
  for (const json& row : vectors) EXPECT_EQ(SizeLabel(row[0]), row[1]) << row;
}

TEST(ModelName, TitlesOtherScripts) {
  EXPECT_EQ(TitleOfName("éclair-über"), "Éclair Über");
  EXPECT_EQ(TitleOfName("通义-qwen"), "通义 Qwen");
  EXPECT_EQ(TitleOfName("a\xff-b"), "A\xff B");
}

TEST(ModelName, OddNames) {
  EXPECT_EQ(ParseModelName("", 0).full_name, "");
  EXPECT_EQ(ParseModelName("---", 0).basename, std::nullopt);
  EXPECT_EQ(ParseModelName("org/", 0).organization, "org");
  EXPECT_EQ(ParseModelName("./model-7b", 0).organization, std::nullopt);
  EXPECT_EQ(ParseModelName("a b-7b", 0).size_label, std::nullopt);
  EXPECT_EQ(ParseModelName("x-99999999999999999999999999T", 1).finetune,
            "99999999999999999999999999t");
}

}  // namespace
}  // namespace quantized
