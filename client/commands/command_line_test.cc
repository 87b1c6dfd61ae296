#include "client/commands/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <sstream>

#include "client/commands/command_table.h"
#include "core/base/error.h"

namespace quantized {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> Words(const std::string& text) {
  std::istringstream stream(text);
  return {std::istream_iterator<std::string>(stream), {}};
}

CommandLine Parse(const std::string& text, const Environment& environment = {}) {
  auto line = ParseCommandLine(Words(text), environment);
  EXPECT_TRUE(line.ok()) << text << ": " << line.status();
  return line.ok() ? *line : CommandLine();
}

struct Refusal {
  std::string message, suggestion;
};
Refusal Refused(const std::string& text, const Environment& environment = {}) {
  const auto line = ParseCommandLine(Words(text), environment);
  EXPECT_FALSE(line.ok()) << text;
  if (line.ok()) return {};
  EXPECT_EQ(ErrorOf(line.status()), Error::kInvalidArgument) << text;
  return {std::string(line.status().message()), SuggestionOf(line.status())};
}

TEST(CommandLineTest, EveryExampleOfTheContractIsUnderstood) {
  CommandLine line = Parse("quantize meta-llama/Llama-2-7b-hf gguf -q Q4_K_M");
  EXPECT_EQ(line.command->name, "quantize");
  EXPECT_EQ(line.values.Text("MODEL"), "meta-llama/Llama-2-7b-hf");
  EXPECT_EQ(line.values.Text("OUTPUT_FORMAT"), "gguf");
  EXPECT_EQ(line.values.Text("--quant-level"), "Q4_K_M");

  line = Parse("quantize ./my-model awq -q 4bit --calibration-data ./data.json");
  EXPECT_EQ(line.values.Text("--calibration-data"), "./data.json");
  line = Parse("quantize meta-llama/Llama-2-7b-hf gptq -q 4bit --group-size 64");
  EXPECT_EQ(line.values.Text("--group-size"), "64");
  line = Parse("quantize ./model gguf -q Q4_K_M --resume ./checkpoint/");
  EXPECT_EQ(line.values.Text("--resume"), "./checkpoint/");
  line = Parse("--format json quantize ./model gguf -q Q4_K_M");
  EXPECT_EQ(line.values.Text("--format"), "json");
}

TEST(CommandLineTest, DefaultsAreTheContracts) {
  const CommandLine line = Parse("quantize m gguf -q Q4_K_M");
  EXPECT_EQ(line.values.Text("--output-dir"), ".");
  EXPECT_EQ(line.values.Text("--output-name"), "");
  EXPECT_EQ(line.values.Count("--calibration-samples"), 256);
  EXPECT_EQ(line.values.Text("--group-size"), "128");
  EXPECT_EQ(line.values.Text("--checkpoint-dir"), "./.checkpoint");
  EXPECT_EQ(line.values.Text("--format"), "human");
  EXPECT_EQ(line.values.Text("--verbosity"), "normal");
  EXPECT_FALSE(line.values.Has("--group-size"));
  EXPECT_FALSE(line.values.Flag("--no-checkpoints"));
}

TEST(CommandLineTest, GlobalOptionsStandBeforeAndAfterTheCommand) {
  for (const std::string text :
       {"--format json --verbosity=debug jobs list", "jobs --format json --verbosity debug list",
        "jobs list --verbosity debug --format=json",
        "--format human jobs --verbosity debug list "
        "--format json"}) {
    const CommandLine line = Parse(text);
    EXPECT_EQ(line.command->name, "jobs list") << text;
    EXPECT_EQ(line.values.Text("--format"), "json") << text;
    EXPECT_EQ(line.values.Text("--verbosity"), "debug") << text;
  }
}

TEST(CommandLineTest, OptionsHaveTheUsualForms) {
  for (const std::string text :
       {"quantize -q Q8_0 m gguf", "quantize m -qQ8_0 gguf", "quantize m gguf --quant-level=Q8_0",
        "quantize -q X m gguf -q Q8_0", "quantize -q Q8_0 -- m gguf"}) {
    const CommandLine line = Parse(text);
    EXPECT_EQ(line.values.Text("--quant-level"), "Q8_0") << text;
    EXPECT_EQ(line.values.Text("MODEL"), "m") << text;
  }
}

TEST(CommandLineTest, AModelMayBeNamedLikeACommand) {
  EXPECT_EQ(Parse("quantize info gguf -q Q8_0").values.Text("MODEL"), "info");
  EXPECT_EQ(Parse("info jobs").values.Text("MODEL"), "jobs");
}

TEST(CommandLineTest, TheEnvironmentComesBehindTheOption) {
  const Environment environment = {{"LLM_QUANTIZE_CHECKPOINT_DIR", "/c"},
                                   {"LLM_QUANTIZE_HOST", "unix:/s"}};
  CommandLine line = Parse("quantize m gguf -q Q8_0", environment);
  EXPECT_EQ(line.values.Text("--checkpoint-dir"), "/c");
  EXPECT_EQ(line.values.Text("--host"), "unix:/s");
  line = Parse("quantize m gguf -q Q8_0 --checkpoint-dir /d --host a:1", environment);
  EXPECT_EQ(line.values.Text("--checkpoint-dir"), "/d");
  EXPECT_EQ(line.values.Text("--host"), "a:1");
  line = Parse("quantize m gguf -q Q8_0", {{"LLM_QUANTIZE_CHECKPOINT_DIR", ""}});
  EXPECT_EQ(line.values.Text("--checkpoint-dir"), "./.checkpoint");
}

TEST(CommandLineTest, ARepeatableOptionKeepsAllItsValues) {
  const std::string command = "quantize m gguf -q Q8_0";
  EXPECT_FALSE(Parse(command).values.Has("--tensor-type"));
  EXPECT_TRUE(Parse(command).values.Texts("--tensor-type").empty());
  const CommandLine line =
      Parse(command + " --tensor-type a=q8_0 --pure --tensor-type=b=f16 --tensor-type a=q8_0");
  EXPECT_THAT(line.values.Texts("--tensor-type"), ElementsAre("a=q8_0", "b=f16", "a=q8_0"));
  EXPECT_EQ(line.values.Text("MODEL"), "m");
  EXPECT_EQ(Refused(command + " --tensor-type").message, "option '--tensor-type' needs a value");
  EXPECT_EQ(Refused(command + " --tensor-type=").message, "option '--tensor-type' needs a value");
}

TEST(CommandLineTest, WhatIsMissingIsNamed) {
  EXPECT_THAT(Refused("").message, HasSubstr("a command is missing"));
  EXPECT_THAT(Refused("jobs").message, HasSubstr("one of list, show"));
  EXPECT_EQ(Refused("quantize").message, "missing option '--quant-level'");
  EXPECT_EQ(Refused("quantize -q Q8_0").message, "missing argument MODEL");
  EXPECT_EQ(Refused("quantize -q Q8_0 m").message, "missing argument OUTPUT_FORMAT");
  EXPECT_EQ(Refused("quantize m gguf -q").message, "option '--quant-level' needs a value");
  EXPECT_EQ(Refused("jobs list --format").message, "option '--format' needs a value");
}

TEST(CommandLineTest, WhatIsUnknownIsNamedWithTheNearest) {
  EXPECT_EQ(Refused("quantise").suggestion, "Did you mean 'quantize'? See 'llm-quantize --help'");
  EXPECT_EQ(Refused("jobs atach").message, "unknown command 'jobs atach'");
  EXPECT_THAT(Refused("jobs atach").suggestion, HasSubstr("'attach'"));
  const Refusal option = Refused("quantize m gguf -q Q8_0 --ouput-dir=x");
  EXPECT_EQ(option.message, "unknown option '--ouput-dir'");
  EXPECT_EQ(option.suggestion, "Did you mean '--output-dir'? See 'llm-quantize quantize --help'");
  EXPECT_EQ(Refused("info m -z").message, "unknown option '-z'");
  EXPECT_EQ(Refused("--frmat json info m").message, "unknown command 'json'");
  EXPECT_EQ(Refused("info m n").message, "unexpected argument 'n'");
}

TEST(CommandLineTest, ValuesAreChecked) {
  for (const std::string value : {"0", "-1", "x", "1.5", "99999999999", "7x"}) {
    EXPECT_THAT(Refused("quantize m gptq -q 4bit --calibration-samples " + value).message,
                HasSubstr("option '--calibration-samples': '" + value + "' is not a whole number"));
  }
  EXPECT_EQ(Refused("quantize m ggml -q Q8_0").message,
            "argument OUTPUT_FORMAT: 'ggml' is not one of gguf, awq, gptq");
  EXPECT_THAT(Refused("quantize m ggml -q Q8_0").suggestion, HasSubstr("'gguf'"));
  EXPECT_EQ(Refused("--format xml info m").message,
            "option '--format': 'xml' is not one of human, json");
  EXPECT_THAT(Refused("--verbosity loud info m").message,
              HasSubstr("quiet, normal, verbose, debug"));
  EXPECT_EQ(Refused("convert m safetensors").message,
            "argument OUTPUT_FORMAT: 'safetensors' is not one of gguf, awq, gptq");
  EXPECT_EQ(ParseCommandLine(std::vector<std::string>{"info", ""}, {}).status().message(),
            "argument MODEL: the value is empty");
}

TEST(CommandLineTest, HelpAndVersionWinOverMistakes) {
  for (const std::string text : {"--help", "-h", "quantize --help", "quantize -h --nonsense",
                                 "quantize m x y z --help", "jobs --help", "jobs list -h"}) {
    EXPECT_TRUE(Parse(text).values.Flag("--help")) << text;
  }
  EXPECT_TRUE(Parse("--version").values.Flag("--version"));
  EXPECT_EQ(Parse("jobs --help").group, "jobs");
  EXPECT_EQ(Parse("jobs --help").command, nullptr);
}

TEST(AsksForJsonTest, AlsoOfACommandLineThatIsWrong) {
  EXPECT_TRUE(AsksForJson(Words("--format json frobnicate")));
  EXPECT_TRUE(AsksForJson(Words("quantize --format=json")));
  EXPECT_FALSE(AsksForJson(Words("--format json --format human x")));
  EXPECT_FALSE(AsksForJson(Words("quantize json --format")));
  EXPECT_FALSE(AsksForJson({}));
}

TEST(CommandTableTest, NamesAreOnceAndValuesHaveNames) {
  std::set<std::string_view> commands;
  for (const Command* command : AllCommands()) {
    EXPECT_TRUE(commands.insert(command->name).second) << command->name;
    EXPECT_NE(command->run, nullptr);
    std::set<std::string_view> names;
    std::set<char> short_names;
    const auto check = [&](const OptionRow& row) {
      EXPECT_TRUE(row.name.starts_with("--"));
      EXPECT_TRUE(names.insert(row.name).second) << command->name << " " << row.name;
      EXPECT_TRUE(row.short_name == 0 || short_names.insert(row.short_name).second) << row.name;
      EXPECT_EQ(row.kind == ValueKind::kFlag, row.value_name.empty()) << row.name;
      EXPECT_EQ(row.kind == ValueKind::kChoice, !row.choices.empty()) << row.name;
      EXPECT_FALSE(row.help.empty()) << row.name;
    };
    for (const OptionRow& row : GlobalOptions()) check(row);
    for (const OptionRow& row : command->options) check(row);
  }
}

}  // namespace
}  // namespace quantized
