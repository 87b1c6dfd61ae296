#include "core/hf/front_matter.h"

#include <string>

#include "gtest/gtest.h"

namespace quantized {
namespace {

using nlohmann::json;

json Read(const std::string& yaml) { return ParseFrontMatter("---\n" + yaml + "---\n# Title\n"); }

TEST(FrontMatter, OnlyAtTheVeryStartAndOnlyWhenItEnds) {
  EXPECT_EQ(ParseFrontMatter(""), json::object());
  EXPECT_EQ(ParseFrontMatter("# Model\n---\na: b\n---\n"), json::object());
  EXPECT_EQ(ParseFrontMatter("---\na: b\n# Model\n"), json::object());
  EXPECT_EQ(ParseFrontMatter("--- \na: b\n---\n"), json::object());
  EXPECT_EQ(ParseFrontMatter("---\n---\n"), json::object());
  EXPECT_EQ(ParseFrontMatter("---\r\na: b\r\n---\r\n"), json({{"a", "b"}}));
  EXPECT_EQ(ParseFrontMatter("---\na: \xff\n---\n"), json::object());
}

TEST(FrontMatter, Scalars) {
  EXPECT_EQ(Read("a: plain text # comment\n"
                 "b: 'it''s'\n"
                 "c: \"tab\\t\\u00e9\\x41\\\"\"\n"
                 "d: no\n"
                 "e: 1.0\n"
                 "f: null\n"
                 "g: ~\n"
                 "h:\n"
                 "i: https://example.org/x#y\n"
                 "\"quoted key\": v\n"),
            json::parse(R"({"a": "plain text", "b": "it's", "c": "tab\té\u0041\"", "d": false,
                            "e": "1.0", "f": null, "g": null, "h": null,
                            "i": "https://example.org/x#y", "quoted key": "v"})"));
}

TEST(FrontMatter, SequencesAndMappings) {
  EXPECT_EQ(Read("tags:\n- a\n- \"b\"\n- no\nlanguage:\n  - en\n  - de\nflow: [x, 'y, z', ]\n"
                 "nested:\n  k: {p: 1, q: [r]}\n  l:\n    - - deep\n"),
            json::parse(R"({"tags": ["a", "b", "no"], "language": ["en", "de"],
                            "flow": ["x", "y, z"],
                            "nested": {"k": {"p": "1", "q": ["r"]}, "l": [["deep"]]}})"));
  EXPECT_EQ(Read("model-index:\n- name: m\n  results:\n  - task:\n      type: t\n    metrics:\n"
                 "    - value: 0.5\nlicense: mit\n"),
            json::parse(R"({"model-index": [{"name": "m", "results": [{"task": {"type": "t"},
                            "metrics": [{"value": "0.5"}]}]}], "license": "mit"})"));
}

TEST(FrontMatter, ValuesOverSeveralLines) {
  EXPECT_EQ(Read("a: one\n  two\n\n  three\nb: 'x\n  y'\nc:\n  long\n  text\nd: [p,\n  q\n]\n"),
            json::parse(R"({"a": "one two\nthree", "b": "x y", "c": "long text",
                            "d": ["p", "q"]})"));
  EXPECT_EQ(Read("lit: |\n  one\n    two\n\n  three\nfold: >-\n  one\n  two\n\n  three\nz: 1\n"),
            json::parse(R"({"lit": "one\n  two\n\nthree\n", "fold": "one two\nthree", "z": "1"})"));
}

TEST(FrontMatter, LastOfTwoEntriesCounts) { EXPECT_EQ(Read("a: 1\na: 2\n"), json({{"a", "2"}})); }

TEST(FrontMatter, TabsCountAsTwoBlanks) {
  EXPECT_EQ(Read("a:\n\t- x\n"), json::parse(R"({"a": ["x"]})"));
}

TEST(FrontMatter, LeavesOutEntriesThatItCannotRead) {
  const json rest = json::parse(R"({"a": "1", "z": "2"})");
  for (const char* entry :
       {"x: &anchor v\n", "x: *alias\n", "x: !tag v\n", "x: [1, 2\n", "x: \"open\n", "x: {a: [}\n",
        "x:\n   - a\n  - b\n", "? complex\n", "- item\n", "just text\n", "x:\n  - a\n  b: c\n",
        "x: \"\\q\"\n", "x: \"\\uD800\"\n", "x: [a] b\n"}) {
    SCOPED_TRACE(entry);
    EXPECT_EQ(Read(std::string("a: 1\n") + entry + "z: 2\n"), rest);
  }
}

TEST(FrontMatter, HostileInputEnds) {
  EXPECT_EQ(Read("a: " + std::string(1'000'000, '[') + "\n"), json::object());
  EXPECT_EQ(Read("a:\n  - " + std::string(200'000, '-') + "\n").size(), 1u);
  std::string dashes, steps, open = "a: \"\n";
  for (int i = 0; i < 100'000; ++i) dashes += "- ";
  for (int i = 0; i < 500; ++i) steps += std::string(i, ' ') + "k:\n";
  for (int i = 0; i < 200'000; ++i) open += "  x\n";
  EXPECT_EQ(Read("a:\n" + dashes + "\n"), json::object());
  EXPECT_EQ(Read(steps), json::object());
  EXPECT_EQ(Read(open), json::object());
}

}  // namespace
}  // namespace quantized
