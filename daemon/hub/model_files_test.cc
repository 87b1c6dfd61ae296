#include "daemon/hub/model_files.h"

#include "daemon/hub/hub_test.h"

namespace quantized {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<RemoteFile> Files(std::initializer_list<std::string> paths) {
  std::vector<RemoteFile> files;
  for (const std::string& path : paths) files.push_back({.path = path});
  return files;
}

std::vector<std::string> Paths(const std::vector<RemoteFile>& files) {
  std::vector<std::string> paths;
  for (const RemoteFile& file : files) paths.push_back(file.path);
  return paths;
}

std::string WhyNot(std::initializer_list<std::string> paths,
                   const std::optional<std::string>& index = {}) {
  const auto files = Files(paths);
  const auto chosen = ChooseModelFiles("me/model", files, index);
  return chosen.ok() ? "" : MessageOf(chosen.status());
}

TEST(ModelFilesTest, SafetensorsWithoutAnIndex) {
  const auto files = Files({"model.safetensors",
                            "model.gguf",
                            "config.json",
                            "tokenizer.model",
                            "onnx/model.safetensors",
                            "consolidated.safetensors",
                            "modeling_x.py",
                            "scripts/train.py",
                            "pytorch_model.bin",
                            "chat_template.jinja",
                            "README.md",
                            "qwen.tiktoken",
                            "tf_model.h5",
                            "tokenizer_config.json",
                            "LICENSE",
                            "tekken.json",
                            "additional_chat_templates/rag.jinja",
                            "modules.json",
                            "1_Pooling/config.json",
                            "2_Dense/config.json"});
  const auto chosen = ChooseModelFiles("me/model", files, {});
  ASSERT_TRUE(chosen.ok()) << chosen.status();
  EXPECT_THAT(Paths(chosen->weights), ElementsAre("model.safetensors"));
  EXPECT_THAT(
      Paths(chosen->descriptions),
      ElementsAre("config.json", "tokenizer.model", "modeling_x.py", "chat_template.jinja",
                  "README.md", "qwen.tiktoken", "tokenizer_config.json", "LICENSE", "tekken.json",
                  "additional_chat_templates/rag.jinja", "modules.json", "1_Pooling/config.json"));
  EXPECT_EQ(chosen->gguf, "");
}

// What would be fetched beside it holds the same tensors in other types.
TEST(ModelFilesTest, OneFileOrOneWholeSetWithoutAnIndex) {
  const auto weights = [](std::initializer_list<std::string> paths) {
    const auto chosen = ChooseModelFiles("me/model", Files(paths), {});
    EXPECT_TRUE(chosen.ok()) << chosen.status();
    return chosen.ok() ? Paths(chosen->weights) : std::vector<std::string>();
  };
  EXPECT_THAT(weights({"model.fp16.safetensors", "model.safetensors", "model_int8.safetensors",
                       "model-00001-of-00001.safetensors"}),
              ElementsAre("model.safetensors"));
  EXPECT_THAT(weights({"model-00002-of-00002.safetensors", "model.fp16.safetensors",
                       "model-00001-of-00002.safetensors", "model-00001-of-00003.safetensors",
                       "fp16/model.safetensors"}),
              ElementsAre("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"));
  // Nothing tells which of them is the model: all, as core reads all.
  EXPECT_THAT(weights({"model_b.safetensors", "model_a.safetensors"}),
              ElementsAre("model_a.safetensors", "model_b.safetensors"));
  EXPECT_THAT(weights({"model-00001-of-00002.safetensors", "model.fp16.safetensors"}),
              ElementsAre("model-00001-of-00002.safetensors", "model.fp16.safetensors"));
}

// A killed process leaves it in a snapshot, whose files may be all that tells what is there.
TEST(ModelFilesTest, ATemporaryIsNoFileOfTheModel) {
  const auto files =
      Files({"LICENSE", "LICENSE.01J8Z3K4M5N6P7Q8R9S0T1V2W3.tmp", "model.safetensors",
             "model.safetensors.01J8Z3K4M5N6P7Q8R9S0T1V2W3.tmp"});
  const auto chosen = ChooseModelFiles("me/model", files, {});
  ASSERT_TRUE(chosen.ok()) << chosen.status();
  EXPECT_THAT(Paths(chosen->descriptions), ElementsAre("LICENSE"));
  EXPECT_THAT(Paths(chosen->weights), ElementsAre("model.safetensors"));
}

TEST(ModelFilesTest, TheIndexNamesTheShards) {
  const auto files = Files({"model-1.safetensors", "model-2.safetensors", "model-old.safetensors",
                            "model.safetensors.index.json"});
  ASSERT_TRUE(FindWeightIndex(files).has_value());
  const auto chosen = ChooseModelFiles(
      "me/model", files,
      R"({"weight_map":{"a":"model-2.safetensors","b":"model-1.safetensors","c":"model-1.safetensors"}})");
  ASSERT_TRUE(chosen.ok()) << chosen.status();
  EXPECT_THAT(Paths(chosen->weights), ElementsAre("model-1.safetensors", "model-2.safetensors"));
}

TEST(ModelFilesTest, AnIndexThatIsWrong) {
  EXPECT_THAT(WhyNot({"model.safetensors"}, R"({"weight_map":{"a":"model-9.safetensors"}})"),
              HasSubstr("names 1 files that the model does not have: model-9.safetensors"));
  EXPECT_THAT(WhyNot({"model.safetensors"}, R"({"weight_map":{"a":"../../etc/passwd"}})"),
              HasSubstr("does not have: ../../etc/passwd"));
  for (const std::string text :
       {"", "[]", "{}", R"({"weight_map":3})", R"({"weight_map":{"a":3}})"}) {
    EXPECT_THAT(WhyNot({"model.safetensors"}, text), HasSubstr("model.safetensors.index.json: the"))
        << text;
  }
}

TEST(ModelFilesTest, OneGgufModel) {
  const auto one = ChooseModelFiles("me/model", Files({"README.md", "a.gguf"}), {});
  ASSERT_TRUE(one.ok());
  EXPECT_EQ(one->gguf, "a.gguf");
  const auto split =
      ChooseModelFiles("me/model", Files({"a-00001-of-00002.gguf", "a-00002-of-00002.gguf"}), {});
  ASSERT_TRUE(split.ok());
  EXPECT_EQ(split->gguf, "a-00001-of-00002.gguf");
  EXPECT_EQ(split->weights.size(), 2u);
  EXPECT_THAT(WhyNot({"a-Q4_K_M.gguf", "a-Q8_0.gguf"}),
              HasSubstr("has 2 GGUF models and no safetensors: a-Q4_K_M.gguf, a-Q8_0.gguf"));
}

TEST(ModelFilesTest, GgufModelsInFolders) {
  EXPECT_EQ(WhyNot({"README.md", "Q4/m-Q4.gguf", "Q8/m-Q8.gguf"}),
            "Model 'me/model' has GGUF files in folders, and only those at the top of a "
            "repository are taken: Q4/m-Q4.gguf, Q8/m-Q8.gguf");
  EXPECT_THAT(WhyNot({"pytorch_model.bin", "a/1.gguf", "a/2.gguf", "a/3.gguf", "a/4.gguf",
                      "a/5.gguf", "a/6.gguf"}),
              HasSubstr("a/5.gguf and 1 more"));
  const auto nested = ChooseModelFiles("me/model", Files({"Q4/m-Q4.gguf"}), {});
  EXPECT_EQ(ErrorOf(nested.status()), Error::kModelNotFound);
  const auto top = ChooseModelFiles("me/model", Files({"Q4/m-Q4.gguf", "m-Q8.gguf"}), {});
  ASSERT_TRUE(top.ok()) << top.status();
  EXPECT_EQ(top->gguf, "m-Q8.gguf");
}

TEST(ModelFilesTest, NothingToLoad) {
  EXPECT_THAT(WhyNot({"pytorch_model.bin", "config.json"}),
              HasSubstr("only pickled weights, which may run code and are not loaded: "
                        "pytorch_model.bin"));
  EXPECT_THAT(WhyNot({"adapter_model.safetensors"}),
              HasSubstr("no model*.safetensors, only adapter_model.safetensors"));
  EXPECT_THAT(WhyNot({"README.md"}), HasSubstr("has no safetensors weights and no GGUF file"));
  EXPECT_EQ(ErrorOf(ChooseModelFiles("m", {}, {}).status()), Error::kModelNotFound);
}

}  // namespace
}  // namespace quantized
