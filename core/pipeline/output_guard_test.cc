#include "core/pipeline/output_guard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/calibrate/importance_file.h"
#include "tests/support/paths.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;

// What jobs read and write stands for itself here: only names and places count.
class OutputGuardTest : public ::testing::Test {
 protected:
  fs::path Make(const fs::path& name, const std::string& text = "text") const {
    const fs::path path = dir_.path() / name;
    EXPECT_TRUE(CreateDirectories(path.parent_path()).ok());
    EXPECT_TRUE(WriteFileAtomically(path, text).ok());
    return path;
  }

  fs::path Link(const fs::path& name, const fs::path& target) const {
    const fs::path path = dir_.path() / name;
    fs::create_directories(path.parent_path());
    fs::create_symlink(target, path);
    return path;
  }

  // A folder with what makes it a Hugging Face model.
  fs::path MakeModel(const fs::path& name) const {
    Make(name / "model.safetensors");
    return Make(name / "config.json").parent_path();
  }

  QuantizeRequest Request(const fs::path& model) const {
    QuantizeRequest request;
    request.model_path = dir_.path() / model;
    request.overwrite = true;
    return request;
  }

  absl::Status CheckFolder(QuantizeRequest request, const fs::path& output) const {
    request.format = "awq";
    request.outputs = {{.level = "4bit", .path = dir_.path() / output}};
    return CheckOutputFolders(request);
  }

  absl::Status CheckFile(QuantizeRequest request, const fs::path& output) const {
    request.outputs = {{.level = "Q8_0", .path = dir_.path() / output}};
    std::vector<QuantizePlan> plans(1);
    plans[0].files = {{.path = dir_.path() / output}};
    return CheckOutputFiles(request, plans);
  }

  static void ExpectRefused(const absl::Status& status,
                            const ::testing::Matcher<std::string>& message) {
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(ErrorOf(status), Error::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), message);
    EXPECT_NE(SuggestionOf(status), "");
  }

  testing::TempDir dir_;
};

TEST_F(OutputGuardTest, TheModelsFolderAndThoseAroundIt) {
  MakeModel("a/b/model");
  Make("a/b/config.json");
  const QuantizeRequest request = Request("a/b/model");
  const std::string model = request.model_path.string();
  ExpectRefused(CheckFolder(request, "a/b/model"),
                "the output " + model + " would replace the model that it is made from");
  ExpectRefused(CheckFolder(request, "a/b"),
                "the output " + (dir_.path() / "a/b").string() +
                    " would replace a folder that holds the model that it is made from: " + model);
  ExpectRefused(CheckFolder(request, "a"), HasSubstr("would replace a folder that holds"));
  ExpectRefused(CheckFile(request, "a/b/model"), HasSubstr("would replace the model"));
  EXPECT_TRUE(CheckFolder(request, "a/b/model-awq").ok());
  EXPECT_TRUE(CheckFile(request, "a/b/model/model-Q8_0.gguf").ok());
}

TEST_F(OutputGuardTest, AFileAndTheFoldersAroundIt) {
  const fs::path model = Make("models/z.gguf");
  Make("models/other/notes.txt");
  for (const fs::path& given : {fs::path("models"), fs::path("models/z.gguf")}) {
    SCOPED_TRACE(given);
    const QuantizeRequest request = Request(given);
    ExpectRefused(CheckFile(request, "models/z.gguf"), HasSubstr("would replace the model"));
    ExpectRefused(CheckFolder(request, "models/z.gguf"), HasSubstr("would replace the model"));
    ExpectRefused(CheckFolder(request, "models"), HasSubstr("would replace "));
    EXPECT_TRUE(CheckFile(request, "models/y.gguf").ok());
  }
}

TEST_F(OutputGuardTest, AllFilesOfASplitModel) {
  for (const char* name : {"m-00001-of-00003.gguf", "m-00002-of-00003.gguf"}) Make(name);
  Make("elsewhere/third");
  Link("m-00003-of-00003.gguf", dir_.path() / "elsewhere/third");
  for (const char* given : {"m-00001-of-00003.gguf", ""}) {
    const QuantizeRequest request = Request(given);
    for (const char* output :
         {"m-00001-of-00003.gguf", "m-00002-of-00003.gguf", "m-00003-of-00003.gguf"}) {
      ExpectRefused(CheckFile(request, output), HasSubstr("would replace the model"));
    }
    ExpectRefused(CheckFolder(request, "elsewhere"), EndsWith("m-00003-of-00003.gguf"));
    EXPECT_TRUE(CheckFile(request, "m-00001-of-00002.gguf").ok());
  }
}

TEST_F(OutputGuardTest, BothEndsOfLinksAndWhatLiesBetween) {
  const fs::path real = MakeModel("real/model");
  Link("middle/link", real);
  Link("first", dir_.path() / "middle/link");
  Link("way", dir_.path() / "real");
  for (const char* given : {"first", "way/model", "real/../real/model"}) {
    SCOPED_TRACE(given);
    const QuantizeRequest request = Request(given);
    for (const char* output : {"real/model", "real", "way", "way/model", "first"}) {
      SCOPED_TRACE(output);
      ExpectRefused(CheckFolder(request, output), HasSubstr("would replace "));
    }
  }
  Make("middle/config.json");
  ExpectRefused(CheckFolder(Request("first"), "middle"), HasSubstr("would replace a folder"));
  EXPECT_TRUE(CheckFolder(Request("real/model"), "middle").ok());
}

TEST_F(OutputGuardTest, AModelOfLinksLikeOneOfTheHub) {
  for (const char* name : {"config.json", "model.safetensors", "tokenizer.json"}) {
    Link(fs::path("hub/snapshots/abc") / name, Make(fs::path("hub/blobs/of") / name));
  }
  const QuantizeRequest request = Request("hub/snapshots/abc");
  for (const char* output : {"hub", "hub/blobs", "hub/blobs/of", "hub/snapshots",
                             "hub/blobs/of/model.safetensors", "hub/snapshots/abc"}) {
    SCOPED_TRACE(output);
    ExpectRefused(CheckFolder(request, output), HasSubstr("would replace "));
  }
  ExpectRefused(CheckFile(request, "hub/blobs/of/tokenizer.json"), HasSubstr("would replace "));
}

TEST_F(OutputGuardTest, AnotherNameOfTheSameFile) {
  fs::create_hard_link(Make("m.gguf"), dir_.path() / "n.gguf");
  ExpectRefused(CheckFile(Request("m.gguf"), "n.gguf"),
                EndsWith(": " + (dir_.path() / "m.gguf").string()));
}

TEST_F(OutputGuardTest, WhereAnOutputIsBeforeItIsDone) {
  MakeModel("model.part");
  ExpectRefused(CheckFolder(Request("model.part"), "model"),
                AllOf(HasSubstr("written as"), HasSubstr("would replace the model")));
  Make("m.gguf.part", "GGUF");
  ExpectRefused(CheckFile(Request("m.gguf.part"), "m.gguf"), HasSubstr("written as"));
}

TEST_F(OutputGuardTest, WhatElseAJobReads) {
  MakeModel("model");
  QuantizeRequest request = Request("model");
  request.calibration.data = Make("texts/text.gguf");
  request.gguf.imatrix_paths = {Make("matrix.gguf"), Make("second.gguf")};
  Make("texts/config.json");
  ExpectRefused(CheckFolder(request, "texts"), HasSubstr("holds the calibration data"));
  ExpectRefused(CheckFile(request, "texts/text.gguf"), HasSubstr("would replace the calibration"));
  ExpectRefused(CheckFile(request, "second.gguf"), HasSubstr("an importance matrix that is read"));

  request.quality.report = true;
  request.calibration.data = Make("out.report.json");
  ExpectRefused(CheckFile(request, "out.gguf"), HasSubstr("the report "));
  request.quality.report = false;
  EXPECT_TRUE(CheckFile(request, "out.gguf").ok());

  for (const char* name : {"matrix.gguf", "model/model.safetensors", "model"}) {
    request.gguf.imatrix_out = dir_.path() / name;
    ExpectRefused(CheckFile(request, "out.gguf"),
                  AllOf(HasSubstr("--imatrix-out: "), HasSubstr("would replace ")));
  }
  request.gguf.imatrix_out = Make("old/matrix.gguf");
  EXPECT_TRUE(CheckFile(request, "out.gguf").ok());
  request.gguf.imatrix_out = dir_.path() / "old";
  ExpectRefused(CheckFile(request, "out.gguf"), EndsWith("old is a folder"));
  // It replaces nothing then, and may be there only as what the job would write.
  request.overwrite = false;
  ExpectRefused(CheckFile(request, "out.gguf"), EndsWith("old is a folder"));
  request.gguf.imatrix_out = request.gguf.imatrix_paths[0];
  ExpectRefused(CheckFile(request, "out.gguf"), EndsWith("matrix.gguf exists already"));
  ImportanceFile matrix;
  matrix.datasets = {"text"};
  matrix.chunks = 1;
  matrix.chunk_tokens = 512;
  matrix.entries["blk.0.ffn_up.weight"] = {.sums = {1, 2}, .counts = {1}};
  const auto bytes = ImportanceGguf(matrix);
  ASSERT_TRUE(bytes.ok() && WriteFileAtomically(request.gguf.imatrix_out, *bytes).ok());
  const absl::Status spared = CheckFile(request, "out.gguf");
  EXPECT_TRUE(spared.ok()) << spared;
  request.gguf.imatrix_out = dir_.path() / "matrix.gguf" / "below" / "new.gguf";
  const absl::Status no_folder = CheckFile(request, "out.gguf");
  EXPECT_EQ(ErrorOf(no_folder), Error::kIo);
  EXPECT_THAT(std::string(no_folder.message()), HasSubstr("cannot write into"));
}

TEST_F(OutputGuardTest, OutputsOfEarlierJobsInTheModelsFolder) {
  MakeModel("model");
  const QuantizeRequest request = Request("model");
  Make("model/model-Q8_0.gguf");
  Make("model/model-Q8_0.gguf.part");
  EXPECT_TRUE(CheckFile(request, "model/model-Q8_0.gguf").ok());
  Make("model/model-awq-4bit/llm-quantize.json");
  Make("model/model-awq-4bit.part/model.safetensors");
  EXPECT_TRUE(CheckFolder(request, "model/model-awq-4bit").ok());
  Make("model/1_Pooling/config.json");
  ExpectRefused(CheckFolder(request, "model/1_Pooling"), HasSubstr("a folder of the model"));
}

TEST_F(OutputGuardTest, OnlyWhatLooksLikeAnOutputGivesWay) {
  const auto folder = [&](const fs::path& name) {
    return CheckReplaceable(dir_.path() / name, OutputKind::kFolder);
  };
  const auto file = [&](const fs::path& name) {
    return CheckReplaceable(dir_.path() / name, OutputKind::kFile);
  };
  EXPECT_TRUE(folder("none").ok());
  EXPECT_TRUE(file("none").ok());
  fs::create_directories(dir_.path() / "empty");
  EXPECT_TRUE(folder("empty").ok());
  Make("ours/llm-quantize.json");
  EXPECT_TRUE(folder("ours").ok());
  MakeModel("model");
  EXPECT_TRUE(folder("model").ok());
  for (const char* name : {"d", "c", "b", "a"}) Make(fs::path("photos") / name);
  ExpectRefused(folder("photos"), AllOf(HasSubstr((dir_.path() / "photos").string()),
                                        EndsWith("is a folder there that is no model: it has no "
                                                 "config.json, but a, b, c, ...")));
  Make("odd/config.json/text");
  ExpectRefused(folder("odd"), HasSubstr("no model"));
  Link("nowhere", "absent");
  ExpectRefused(folder("nowhere"), HasSubstr("leads to nothing"));
  EXPECT_TRUE(file("nowhere").ok());

  Make("m.gguf");
  EXPECT_TRUE(file("m.gguf").ok());
  Make("begins", "GGUF...");
  EXPECT_TRUE(file("begins").ok());
  Make("nothing", "");
  EXPECT_TRUE(file("nothing").ok());
  Make("letter.txt");
  ExpectRefused(file("letter.txt"), HasSubstr("no GGUF model"));
  ExpectRefused(file("model"), HasSubstr("is a folder there, and gguf makes a file"));
  ExpectRefused(folder("m.gguf"), HasSubstr("is a file there, and awq and gptq make a folder"));
  ExpectRefused(CheckReplaceable("/dev/null", OutputKind::kFile), HasSubstr("neither"));
}

}  // namespace
}  // namespace quantized
