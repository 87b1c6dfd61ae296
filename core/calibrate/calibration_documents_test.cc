#include "core/calibrate/calibration_documents.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/calibrate/default_text.h"
#include "core/hf/tokenizer/unicode.h"
#include "tests/support/paths.h"

namespace quantized {
namespace {

using ::quantized::testing::TempDir;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Format = CalibrationFormat;

CalibrationDocuments Parse(std::string_view text, Format format) {
  auto documents = ParseCalibrationDocuments(text, "f", format);
  EXPECT_TRUE(documents.ok()) << documents.status();
  return documents.ok() ? *std::move(documents) : CalibrationDocuments();
}

std::string Refusal(std::string_view text, Format format = Format::kJsonLines) {
  const auto documents = ParseCalibrationDocuments(text, "f", format);
  EXPECT_FALSE(documents.ok());
  EXPECT_EQ(ErrorOf(documents.status()), Error::kValidationFailed);
  return std::string(documents.status().message());
}

// A document for a comparison: a text as it is, a conversation and ids as JSON.
std::vector<std::string> Contents(const CalibrationDocuments& documents) {
  std::vector<std::string> contents;
  for (const CalibrationDocument& document : documents.documents) {
    if (const auto* chat = std::get_if<ChatMessages>(&document.content)) {
      contents.push_back(chat->messages.dump());
    } else if (const auto* ids = std::get_if<TokenIds>(&document.content)) {
      contents.push_back(nlohmann::json(*ids).dump());
    } else {
      contents.push_back(std::get<std::string>(document.content));
    }
  }
  return contents;
}

std::vector<std::string> Places(const CalibrationDocuments& documents) {
  std::vector<std::string> places;
  for (const auto& document : documents.documents) places.push_back(document.place);
  return places;
}

TEST(CalibrationDocumentsTest, TextIsCutAtBlankLines) {
  const auto documents =
      Parse("\xef\xbb\xbf\n\nfirst\r\n  second line  \r\n \t\r\n\n\nthird\n\n", Format::kText);
  EXPECT_THAT(Contents(documents), ElementsAre("first\n  second line  ", "third"));
  EXPECT_THAT(Places(documents), ElementsAre("line 3", "line 8"));
  EXPECT_THAT(Contents(Parse("one", Format::kText)), ElementsAre("one"));
}

TEST(CalibrationDocumentsTest, JsonHasRecordsInAnArray) {
  const auto documents =
      Parse(R"( ["a", {"text": "b"}, {"content": "c", "id": [1, {"x": []}]}, {"prompt": "d"}])",
            Format::kJson);
  EXPECT_THAT(Contents(documents), ElementsAre("a", "b", "c", "d"));
  EXPECT_THAT(Places(documents), ElementsAre("record 1", "record 2", "record 3", "record 4"));
}

TEST(CalibrationDocumentsTest, JsonMayBeOneRecordOrLines) {
  EXPECT_THAT(Contents(Parse("{\n\"text\": \"a\"\n}", Format::kJson)), ElementsAre("a"));
  EXPECT_THAT(Contents(Parse("\"a\"", Format::kJson)), ElementsAre("a"));
  const auto lines = Parse("\n{\"text\": \"a\"}\n\n{\"text\": \"b\"}\n", Format::kJson);
  EXPECT_THAT(Contents(lines), ElementsAre("a", "b"));
  EXPECT_THAT(Places(lines), ElementsAre("line 2", "line 4"));
}

TEST(CalibrationDocumentsTest, KeysAreTriedInOrderAndNullIsNone) {
  EXPECT_THAT(Contents(Parse("{\"messages\": [], \"content\": \"c\", \"text\": \"t\"}\n"
                             "{\"text\": null, \"content\": \"c\"}\n"
                             "{\"prompt\": \"p\", \"completion\": \"q\", \"input_ids\": [1]}\n"
                             "{\"input_ids\": [1, 4294967295], \"x\": 1}",
                             Format::kJsonLines)),
              ElementsAre("t", "c", "pq", "[1,4294967295]"));
}

TEST(CalibrationDocumentsTest, ConversationsKeepTheirMembersInOrder) {
  const auto documents = Parse(
      "{\"messages\": [{\"role\": \"user\", \"z\": 1, \"content\": \"a\"}]}\n"
      "{\"conversations\": [{\"from\": \"human\", \"value\": \"a\"}, {\"from\": \"gpt\", "
      "\"value\": \"b\"}, "
      "{\"from\": \"system\", \"value\": \"c\"}, {\"from\": \"observation\", \"value\": \"d\"}]}\n"
      "{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"a\"}]}, "
      "{\"role\": \"assistant\", \"content\": null, \"tool_calls\": []}]}\n"
      "{\"prompt\": [{\"role\": \"user\", \"content\": \"a\"}], \"completion\": [{\"role\": "
      "\"assistant\", \"content\": \"b\"}]}",
      Format::kJsonLines);
  EXPECT_THAT(Contents(documents),
              ElementsAre(R"([{"role":"user","z":1,"content":"a"}])",
                          R"([{"role":"user","content":"a"},{"role":"assistant","content":"b"},)"
                          R"({"role":"system","content":"c"},{"role":"tool","content":"d"}])",
                          R"([{"role":"user","content":[{"type":"text","text":"a"}]},)"
                          R"({"role":"assistant","content":null,"tool_calls":[]}])",
                          R"([{"role":"user","content":"a"},{"role":"assistant","content":"b"}])"));
}

TEST(CalibrationDocumentsTest, RecordsWithoutTextAreLeftOut) {
  const auto documents = Parse(
      "{\"text\": \"\"}\n{\"text\": \" \\n\"}\n{\"text\": \"a\"}\n"
      "{\"messages\": []}\n{\"input_ids\": []}",
      Format::kJsonLines);
  EXPECT_THAT(Contents(documents), ElementsAre("a"));
  EXPECT_THAT(Places(documents), ElementsAre("line 3"));
  EXPECT_THAT(documents.warnings, ElementsAre("f: 4 records have no text and are left out"));
  EXPECT_EQ(Refusal("[\"\"]", Format::kJson),
            "f: found 1 records without text, expected one document at least");
}

TEST(CalibrationDocumentsTest, RefusesWhatHasNoText) {
  EXPECT_EQ(Refusal("", Format::kText), "f: found no text in its 0 bytes, expected some");
  EXPECT_EQ(Refusal(" \n\t", Format::kJson), "f: found no text in its 3 bytes, expected some");
  EXPECT_EQ(Refusal("[]", Format::kJson),
            "f: found 0 records without text, expected one document at least");
  EXPECT_EQ(Refusal("a\nb\xff", Format::kText),
            "f: line 2, byte 3: found bytes that are not UTF-8, expected text in UTF-8");
  EXPECT_EQ(Refusal(std::string_view("a\n\nb\0\xff", 6), Format::kText),
            "f: line 3, byte 4: found a zero byte, expected text in UTF-8");
  EXPECT_THAT(
      Refusal("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", Format::kText),
      HasSubstr("calibration data"));
}

TEST(CalibrationDocumentsTest, RefusesBrokenJson) {
  EXPECT_EQ(Refusal("[\"a\",\n\"b\"", Format::kJson),
            "f: behind record 2: found its end after 9 bytes, expected more JSON");
  EXPECT_EQ(Refusal("[\"a\",\n\"b\" x]", Format::kJson),
            "f: behind record 2: found bad syntax at byte 11 (line 2 of the text), expected JSON");
  EXPECT_EQ(Refusal("\"a\"\n\n{\"text\": 1e999}"),
            "f: line 3: found bad syntax at byte 14, expected JSON");
  EXPECT_EQ(Refusal("\"a\"\n{\"text\": \"b\"} {}"),
            "f: line 2: found bad syntax at byte 15, expected JSON");
  EXPECT_THAT(Refusal("[\"a\"] 1", Format::kJson), HasSubstr("bad syntax"));
  EXPECT_THAT(Refusal("nonsense", Format::kJson), HasSubstr("f: found bad syntax"));
  EXPECT_EQ(Refusal(std::string(100, '[') + std::string(100, ']')),
            "f: line 1: found deeper nesting, expected at most 64 levels");
  EXPECT_EQ(Refusal("[\"a\", {\"x\": " + std::string(100, '[') + std::string(100, ']') + "}]",
                    Format::kJson),
            "f: behind record 1: found deeper nesting, expected at most 64 levels");
  std::string many = "{\"a\": 1";
  for (int i = 0; i < 300; ++i) many += ", \"b" + std::to_string(i) + "\": 1";
  EXPECT_EQ(Refusal(many + "}"),
            "f: line 1: found an object of more members, expected at most 256");
}

TEST(CalibrationDocumentsTest, RefusesRecordsOfOtherKinds) {
  EXPECT_EQ(Refusal("\"a\"\n7"), "f: line 2: the record: found 7, expected a string or an object");
  EXPECT_EQ(Refusal("[\"a\", [\"b\"]]", Format::kJson),
            "f: record 2: the record: found an array of 1, expected a string or an object");
  EXPECT_EQ(Refusal("{\"body\": 1, \"id\": 2}"),
            "f: line 1: the record: found the keys body, id, expected text, content, prompt, "
            "messages, conversations or input_ids");
  EXPECT_EQ(Refusal("{\"text\": [1]}"), "f: line 1: text: found an array of 1, expected a string");
  EXPECT_EQ(Refusal("{\"messages\": \"x\"}"),
            "f: line 1: messages: found a string, expected an array of messages");
  EXPECT_EQ(Refusal("{\"messages\": [1]}"), "f: line 1: messages[0]: found 1, expected an object");
  EXPECT_EQ(Refusal("{\"messages\": [{\"content\": \"a\"}]}"),
            "f: line 1: messages[0].role: found nothing, expected a string");
  EXPECT_EQ(Refusal("{\"messages\": [{\"role\": \"user\", \"content\": 3}]}"),
            "f: line 1: messages[0].content: found 3, expected a string");
  EXPECT_EQ(Refusal("{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"image\"}]}]}"),
            "f: line 1: messages[0].content[0]: found an object of 1, expected a part of type "
            "text: other kinds calibrate no language model");
  EXPECT_EQ(Refusal("{\"conversations\": [{\"from\": \"alien\", \"value\": \"a\"}]}"),
            "f: line 1: conversations[0].from: found \"alien\", expected human, gpt, system or "
            "tool");
  EXPECT_EQ(Refusal("{\"conversations\": [{\"from\": \"gpt\"}]}"),
            "f: line 1: conversations[0].value: found nothing, expected a string");
  for (const char* id :
       {"-1", "4294967296", "1.5", "\"1\"", "1e300", "true", "123456789012345678901234567890"}) {
    EXPECT_THAT(Refusal(std::string("{\"input_ids\": [0, ") + id + "]}"),
                HasSubstr("f: line 1: input_ids[1]: found "));
  }
}

TEST(CalibrationDocumentsTest, NamesTellTheForm) {
  const TempDir dir;
  const auto write = [&](const char* name, std::string_view text) {
    EXPECT_TRUE(WriteFileAtomically(dir.path() / name, text).ok());
    return ReadCalibrationFile(dir.path() / name);
  };
  EXPECT_THAT(Contents(write("a.txt", "[\"a\"]").value()), ElementsAre("[\"a\"]"));
  EXPECT_THAT(Contents(write("a.json", "[\"a\"]").value()), ElementsAre("a"));
  EXPECT_THAT(Contents(write("a.jsonl", "\"a\"").value()), ElementsAre("a"));
  EXPECT_EQ(write("a.json", "[\"a\"]")->name, "a.json");
  const auto parquet = write("a.parquet", "PAR1");
  EXPECT_EQ(ErrorOf(parquet.status()), Error::kInvalidArgument);
  EXPECT_THAT(std::string(parquet.status().message()),
              HasSubstr("found a name that ends in \".parquet\", expected .txt, .json or .jsonl"));
  const auto missing = ReadCalibrationFile(dir.path() / "b.txt");
  EXPECT_EQ(ErrorOf(missing.status()), Error::kInvalidArgument);
  EXPECT_THAT(std::string(missing.status().message()), HasSubstr("b.txt: no such file"));
}

TEST(DefaultTextTest, IsWholeAndOfManyDocuments) {
  const std::string_view text = DefaultCalibrationText();
  EXPECT_GE(text.size(), 550'000u);
  EXPECT_LE(text.size(), 620'000u);
  EXPECT_EQ(tokenizer::FindInvalidUtf8(text), std::nullopt);
  const auto documents = Parse(text, Format::kText);
  EXPECT_GE(documents.documents.size(), 280u);
  // One document of each file in data/, in languages that a model may know.
  for (const char* part :
       {"So then, by these two Experiments", "When in the Course of human events", "作者：杜牧",
        "Die Werkstatt lag am Ende", "Le vieux phare", "En el mercado de los jueves",
        "Старый мост через реку", "駅前の小さな本屋", "namespace quantized", "| sum | | |"}) {
    EXPECT_NE(text.find(part), std::string_view::npos) << part;
  }
  std::vector<std::string> contents = Contents(documents);
  std::sort(contents.begin(), contents.end());
  EXPECT_EQ(std::adjacent_find(contents.begin(), contents.end()), contents.end());
  for (const char* junk : {"\t", "\r", "&amp;", "&nbsp;", "</p>", "Gutenberg", "\xef\xbf\xbd"}) {
    EXPECT_EQ(text.find(junk), std::string_view::npos) << junk;
  }
}

}  // namespace
}  // namespace quantized
