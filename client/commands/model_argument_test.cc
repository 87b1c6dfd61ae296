#include "client/commands/model_argument.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "core/base/error.h"
#include "tests/support/paths.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;

class ModelArgumentTest : public ::testing::Test {
 protected:
  void SetUp() override {
    before_ = fs::current_path();
    fs::current_path(dir_.path());
  }
  void TearDown() override { fs::current_path(before_); }
  testing::TempDir dir_;
  fs::path before_;
};

TEST_F(ModelArgumentTest, WhatExistsIsAPath) {
  fs::create_directories("org/name");
  std::ofstream("model") << "";
  EXPECT_EQ(ResolveModel("org/name")->path, dir_.path() / "org/name");
  EXPECT_EQ(ResolveModel("./org/name/")->path, dir_.path() / "org/name");
  EXPECT_EQ(ResolveModel("model")->path, dir_.path() / "model");
  EXPECT_EQ(ResolveModel(".")->path, dir_.path());
  EXPECT_EQ(ResolveModel("org/..")->path, fs::canonical(dir_.path()));
}

TEST_F(ModelArgumentTest, AMissingPathIsNotFound) {
  for (const std::string_view model : {"./m", "../m", "/no/m", "~/m", "m.gguf", "m.safetensors",
                                       "m/", "a/b/c", "a b", "", "a//b", "-x"}) {
    const auto path = ResolveModel(model);
    ASSERT_FALSE(path.ok()) << model;
    EXPECT_EQ(ErrorOf(path.status()), Error::kModelNotFound) << model;
    EXPECT_THAT(std::string(path.status().message()),
                ::testing::StartsWith("Model '" + std::string(model) + "' not found"));
  }
}

TEST_F(ModelArgumentTest, OfAnAddressOfTheHubTheNameIsSuggested) {
  const auto suggestion = [](const std::string& model) {
    const auto named = ResolveModel(model);
    EXPECT_EQ(ErrorOf(named.status()), Error::kModelNotFound) << model;
    return SuggestionOf(named.status());
  };
  for (const std::string host : {"https://huggingface.co/", "http://127.0.0.1:8080/"}) {
    const std::string model = host + "org/na.me";
    for (const std::string rest : {"", "/", "?library=transformers", "/#top"}) {
      EXPECT_EQ(suggestion(model + rest), "Give the model's name: org/na.me") << model << rest;
    }
    for (const std::string rest : {"/tree/v2", "/tree/v2/", "/blob/v2/config.json",
                                   "/resolve/v2/model.safetensors?download=true"}) {
      EXPECT_EQ(suggestion(model + rest), "Give the model's name: org/na.me@v2") << model << rest;
    }
    EXPECT_EQ(suggestion(model + "/tree/refs%2Fpr%2F1"),
              "Give the model's name: org/na.me@refs/pr/1");
  }
  for (const std::string model :
       {"https://huggingface.co", "https://huggingface.co/models", "https://huggingface.co//name",
        "https://huggingface.co/datasets/org/name", "https://huggingface.co/org/name/tree",
        "ftp://huggingface.co/org/name", "./org/name"}) {
    EXPECT_EQ(suggestion(model), "Check the path of the model directory or GGUF file") << model;
  }
}

TEST_F(ModelArgumentTest, WhatIsNotThereMayBeOnTheHub) {
  for (const std::string model : {"meta-llama/Llama-2-7b-hf", "gpt2", "org/name@main",
                                  "org/name@refs/pr/1", "invalid-model"}) {
    const auto named = ResolveModel(model);
    ASSERT_TRUE(named.ok()) << named.status();
    EXPECT_EQ(named->hub_id, model);
    EXPECT_TRUE(named->path.empty());
  }
}

}  // namespace
}  // namespace quantized
