#include "client/commands/gguf_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "client/commands/command_line.h"
#include "core/base/error.h"
#include "tests/support/paths.h"

namespace quantized {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

absl::StatusOr<v1::GgufOptions> Parse(std::vector<std::string> words) {
  words.insert(words.begin(), {"quantize", "m", "gguf", "-q", "Q8_0"});
  const auto line = ParseCommandLine(words, {});
  EXPECT_TRUE(line.ok()) << line.status();
  return GgufOptionsOf(line->values);
}

std::string Refused(const std::vector<std::string>& words) {
  const auto options = Parse(words);
  EXPECT_FALSE(options.ok());
  if (options.ok()) return "";
  EXPECT_EQ(ErrorOf(options.status()), Error::kInvalidArgument);
  return std::string(options.status().message());
}

TEST(GgufOptionsTest, WithoutOptionsNothingIsSet) { EXPECT_EQ(Parse({})->SerializeAsString(), ""); }

TEST(GgufOptionsTest, TakesEachOption) {
  const testing::TempDir dir;
  const std::string imatrix = dir.path() / "i.gguf";
  std::ofstream(imatrix) << "matrix";
  const auto options = Parse({"--imatrix",
                              imatrix,
                              "--imatrix-out",
                              "/out/i.dat",
                              "--include-weights",
                              "attn_q",
                              "--include-weights",
                              "attn_k",
                              "--tensor-type",
                              "blk\\.(0|1)\\.ffn=q6_k",
                              "--output-tensor-type",
                              "q8_0",
                              "--token-embedding-type",
                              "q5_k",
                              "--leave-output-tensor",
                              "--pure",
                              "--prune-layers",
                              "3,10",
                              "--override-kv",
                              "general.name=str:a=b:c",
                              "--override-kv",
                              "n=int:3",
                              "--keep-split",
                              "--split-max-size",
                              "2G",
                              "--allow-requantize"});
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_THAT(options->imatrix_paths(), ElementsAre(imatrix));
  EXPECT_THAT(options->imatrix_names(), ElementsAre(imatrix));
  EXPECT_EQ(options->imatrix_out_path(), "/out/i.dat");
  EXPECT_EQ(options->imatrix_out_name(), "/out/i.dat");
  EXPECT_FALSE(options->measure_importance());
  EXPECT_THAT(options->include_weights(), ElementsAre("attn_q", "attn_k"));
  EXPECT_THAT(options->tensor_types(), ElementsAre("blk\\.(0|1)\\.ffn=q6_k"));
  EXPECT_EQ(options->output_tensor_type(), "q8_0");
  EXPECT_EQ(options->token_embedding_type(), "q5_k");
  EXPECT_TRUE(options->leave_output_tensor());
  EXPECT_TRUE(options->pure());
  EXPECT_THAT(options->prune_layers(), ElementsAre(3, 10));
  EXPECT_THAT(options->override_kv(), ElementsAre("general.name=str:a=b:c", "n=int:3"));
  EXPECT_TRUE(options->keep_split());
  EXPECT_EQ(options->split_max_bytes(), 2'000'000'000u);
  EXPECT_TRUE(options->allow_requantize());
  EXPECT_THAT(Parse({"--exclude-weights", "x"})->exclude_weights(), ElementsAre("x"));
}

TEST(GgufOptionsTest, AMatrixIsMeasuredWhereItsTextOrItsFileIsNamed) {
  const testing::TempDir dir;
  const std::string file = dir.path() / "f";
  std::ofstream(file) << "text";
  EXPECT_TRUE(Parse({"--imatrix-out", "i.gguf"})->measure_importance());
  EXPECT_TRUE(Parse({"--calibration-data", file})->measure_importance());
  EXPECT_FALSE(Parse({"--imatrix", file, "--imatrix", file})->measure_importance());
  EXPECT_THAT(Parse({"--imatrix", file, "--imatrix", file})->imatrix_names(),
              ElementsAre(file, file));
}

TEST(GgufOptionsTest, ReadsAFileOfTensorTypes) {
  const testing::TempDir dir;
  const std::string path = dir.path() / "types";
  std::ofstream(path) << "\n attn_q=q8_0\tattn_k=q8_0\r\nffn_up=q4_k \n\n";
  EXPECT_THAT(Parse({"--tensor-type-file", path, "--tensor-type", "a=f16"})->tensor_types(),
              ElementsAre("a=f16", "attn_q=q8_0", "attn_k=q8_0", "ffn_up=q4_k"));
  std::ofstream(path) << "attn_q=q8_0 attn_k";
  EXPECT_EQ(Refused({"--tensor-type-file", path}),
            "option '--tensor-type-file': 'attn_k' in " + path + " is not REGEX=TYPE");
  std::ofstream(path) << std::string(300'000, 'x');
  EXPECT_THAT(Refused({"--tensor-type-file", path}), HasSubstr("--tensor-type-file"));
  EXPECT_THAT(Refused({"--tensor-type-file", path + "s"}), HasSubstr("no such file"));
}

TEST(GgufOptionsTest, NamesTheValueThatIsWrong) {
  const auto expect = [](const std::string& option, const std::vector<std::string>& bad) {
    for (const std::string& value : bad) {
      EXPECT_THAT(Refused({option + "=" + value}),
                  StartsWith("option '" + option + "': '" + value + "' is "));
    }
  };
  expect("--imatrix", {"/there/is/none", "/"});
  expect("--tensor-type", {"q8_0", "=q8_0", "attn_q="});
  expect("--override-kv", {"key", "key=int", "=int:3", "key=uint:3", "key:int=3"});
  expect("--split-max-size", {"2", "G", "0G", "2T", "-1G", "1.5G", "99999999999G", "2 G"});
  EXPECT_THAT(Refused({"--prune-layers", "1,x"}), HasSubstr("'x' is not the number of a layer"));
  EXPECT_THAT(Refused({"--prune-layers", "1,"}), HasSubstr("'' is not the number"));
  EXPECT_THAT(Refused({"--prune-layers", "5000000000"}), HasSubstr("'5000000000' is not"));
}

}  // namespace
}  // namespace quantized
