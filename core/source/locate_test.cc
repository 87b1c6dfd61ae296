#include "core/source/locate.h"

#include <sys/stat.h>

#include <string>

#include "core/base/error.h"
#include "core/base/file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/paths.h"

namespace quantized {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;

class LocateTest : public ::testing::Test {
 protected:
  std::filesystem::path Write(const std::string& name, const std::string& contents = "") {
    const auto path = folder_.path() / name;
    EXPECT_TRUE(CreateDirectories(path.parent_path()).ok());
    EXPECT_TRUE(WriteFileAtomically(path, contents).ok());
    return path;
  }
  void ExpectLocated(const std::filesystem::path& path, ModelKind kind,
                     const std::filesystem::path& model) {
    const auto located = LocateModel(path);
    ASSERT_TRUE(located.ok()) << located.status();
    EXPECT_EQ(located->kind, kind);
    EXPECT_EQ(located->path, model);
  }
  std::string Refusal(const std::filesystem::path& path, Error error) {
    const auto located = LocateModel(path);
    EXPECT_FALSE(located.ok());
    if (located.ok()) return "";
    EXPECT_EQ(ErrorOf(located.status()), error);
    EXPECT_NE(SuggestionOf(located.status()), "");
    return std::string(located.status().message());
  }

  const testing::TempDir folder_;
};

TEST_F(LocateTest, FilesByNameOrFirstBytes) {
  // The reader says what is wrong with an empty file of this name.
  const auto named = Write("m.gguf"), unnamed = Write("blob", "GGUF....");
  ExpectLocated(named, ModelKind::kGgufFile, named);
  ExpectLocated(unnamed, ModelKind::kGgufFile, unnamed);
}

TEST_F(LocateTest, DirectoryOfAHuggingFaceModel) {
  for (const char* file : {"a/config.json", "b/model.safetensors", "c/pytorch_model.bin"}) {
    const auto folder = Write(file).parent_path();
    ExpectLocated(folder, ModelKind::kHfDirectory, folder);
  }
  Write("a/m.gguf");  // beside the Hugging Face files it means nothing
  ExpectLocated(folder_.path() / "a", ModelKind::kHfDirectory, folder_.path() / "a");
}

TEST_F(LocateTest, DirectoryOfOneGgufModelStandsForIt) {
  const auto single = Write("one/m.gguf");
  Write("one/README.md");
  ExpectLocated(single.parent_path(), ModelKind::kGgufFile, single);
  Write("split/m-00002-of-00002.gguf");
  const auto first = Write("split/m-00001-of-00002.gguf");
  ExpectLocated(first.parent_path(), ModelKind::kGgufFile, first);
}

TEST_F(LocateTest, DirectoryOfSeveralGgufModelsIsAmbiguous) {
  for (const char* file : {"m/b.gguf", "m/a.gguf", "m/d.gguf", "m/c.gguf"}) Write(file);
  EXPECT_THAT(Refusal(folder_.path() / "m", Error::kInvalidArgument),
              EndsWith("is a folder with 4 GGUF models: a.gguf, b.gguf, c.gguf, ..."));
}

TEST_F(LocateTest, MissingPath) {
  EXPECT_EQ(Refusal("./no-such-model", Error::kModelNotFound),
            "Model './no-such-model' not found: no such file or folder");
  EXPECT_EQ(SuggestionOf(LocateModel("./no-such-model").status()),
            "Check the model name or provide a local path");
  EXPECT_THAT(Refusal(Write("file") / "below", Error::kModelNotFound), HasSubstr("not found"));
}

TEST_F(LocateTest, FilesThatAreNoModel) {
  EXPECT_THAT(Refusal(Write("pytorch_model.bin"), Error::kModelNotFound),
              EndsWith("is a pickle file, which is not read because it can run code"));
  EXPECT_THAT(Refusal(Write("model.safetensors"), Error::kInvalidArgument),
              EndsWith("is one file of a model"));
  EXPECT_THAT(Refusal(Write("notes.txt", "text"), Error::kModelNotFound),
              EndsWith("is neither a GGUF file nor a model's folder"));
  ASSERT_EQ(::mkfifo((folder_.path() / "pipe").c_str(), 0600), 0);
  EXPECT_THAT(Refusal(folder_.path() / "pipe", Error::kModelNotFound),
              EndsWith("is neither a file nor a folder"));
}

}  // namespace
}  // namespace quantized
