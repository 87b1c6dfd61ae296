#include "core/hf/tokenizer/sentencepiece_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cstring>

#include "core/base/error.h"
#include "core/base/str_cat.h"
#include "tests/support/paths.h"

namespace quantized::tokenizer {
namespace {

using ::quantized::testing::GoldenDir;
using ::testing::AllOf;
using ::testing::HasSubstr;

// Wire format by hand: field numbers below 16 and lengths below 128 take one byte each.
std::string Bytes(int field, std::string_view content) {
  return StrCat(std::string(1, static_cast<char>(field << 3 | 2)),
                std::string(1, static_cast<char>(content.size())), content);
}
std::string Number(int field, int value) {
  std::string tag(1, static_cast<char>((field << 3 & 0x7F) | (field > 15 ? 0x80 : 0)));
  if (field > 15) tag += static_cast<char>(field >> 4);
  return tag + static_cast<char>(value);
}
std::string Score(float score) {
  std::string out(5, '\x15');  // field 2, four bytes
  std::memcpy(out.data() + 1, &score, 4);
  return out;
}
std::string MakePiece(std::string_view text, float score, int type) {
  return Bytes(1, StrCat(Bytes(1, text), Score(score), type == 1 ? "" : Number(3, type)));
}
const std::string kUnknown = MakePiece("<unk>", 0, 2);

absl::StatusOr<SentencePieceModel> Parse(std::string_view bytes) {
  return ParseSentencePieceModel(std::as_bytes(std::span(bytes)), "dir/tokenizer.model");
}

TEST(SentencePieceModelTest, ReadsPiecesTrainerAndNormalizer) {
  const auto model =
      Parse(StrCat(kUnknown, MakePiece("\u2581a", -1.5f, 1), MakePiece("<0x0A>", 0, 6),
                   Bytes(2, StrCat(Number(3, 2), Number(35, 1))),
                   Bytes(3, StrCat(Number(3, 0), Number(4, 0))), Bytes(9, "later")));
  ASSERT_TRUE(model.ok()) << model.status();
  ASSERT_EQ(model->pieces.size(), 3u);
  EXPECT_EQ(model->pieces[0].type, PieceType::kUnknown);
  EXPECT_EQ(model->pieces[1].text, "\u2581a");
  EXPECT_EQ(model->pieces[1].score, -1.5f);
  EXPECT_EQ(model->pieces[1].type, PieceType::kNormal);
  EXPECT_EQ(model->pieces[2].type, PieceType::kByte);
  EXPECT_EQ(model->kind, SentencePieceModel::Kind::kBpe);
  EXPECT_TRUE(model->byte_fallback);
  EXPECT_FALSE(model->add_dummy_prefix);
  EXPECT_FALSE(model->remove_extra_whitespaces);
}

TEST(SentencePieceModelTest, ReadsWhatItWrites) {
  SentencePieceModel model;
  model.pieces = {{"<unk>", 0, PieceType::kUnknown},
                  {"\u2581a", -1.5f, PieceType::kNormal},
                  {std::string(300, 'x'), -1e30f, PieceType::kUserDefined}};
  model.kind = SentencePieceModel::Kind::kBpe;
  model.byte_fallback = true;
  model.add_dummy_prefix = false;
  const auto read = Parse(SentencePieceModelBytes(model));
  ASSERT_TRUE(read.ok()) << read.status();
  ASSERT_EQ(read->pieces.size(), 3u);
  for (size_t id = 0; id < 3; ++id) {
    EXPECT_EQ(read->pieces[id].text, model.pieces[id].text);
    EXPECT_EQ(read->pieces[id].score, model.pieces[id].score);
    EXPECT_EQ(read->pieces[id].type, model.pieces[id].type);
  }
  EXPECT_EQ(read->kind, model.kind);
  EXPECT_TRUE(read->byte_fallback);
  EXPECT_FALSE(read->add_dummy_prefix);
  EXPECT_TRUE(read->remove_extra_whitespaces);
}

TEST(SentencePieceModelTest, HasTheFormatsDefaults) {
  const auto model = Parse(kUnknown);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->kind, SentencePieceModel::Kind::kUnigram);
  EXPECT_FALSE(model->byte_fallback);
  EXPECT_TRUE(model->add_dummy_prefix);
  EXPECT_TRUE(model->remove_extra_whitespaces);
}

TEST(SentencePieceModelTest, ReadsRealFiles) {
  const std::filesystem::path models = GoldenDir() / "tokenizers" / "models";
  const auto llama = ReadSentencePieceModel(models / "llama2-spm-sharded" / "tokenizer.model");
  ASSERT_TRUE(llama.ok()) << llama.status();
  EXPECT_EQ(llama->pieces.size(), 808u);
  EXPECT_EQ(llama->pieces[3].text, "<0x00>");
  EXPECT_TRUE(llama->byte_fallback);
}

struct Damage {
  const char* name;
  std::string bytes;
  const char* message;
};

class SentencePieceDamageTest : public ::testing::TestWithParam<Damage> {};

TEST_P(SentencePieceDamageTest, IsRefused) {
  const auto model = Parse(GetParam().bytes);
  ASSERT_FALSE(model.ok());
  EXPECT_EQ(ErrorOf(model.status()), Error::kValidationFailed);
  EXPECT_THAT(std::string(model.status().message()),
              AllOf(HasSubstr("dir/tokenizer.model"), HasSubstr(GetParam().message)));
}

INSTANTIATE_TEST_SUITE_P(
    All, SentencePieceDamageTest,
    ::testing::Values(
        Damage{"Empty", "", "pieces: found 0 of type unknown, expected exactly one"},
        Damage{"TwoUnknown", kUnknown + MakePiece("<u>", 0, 2), "found 2 of type unknown"},
        Damage{"Twice", kUnknown + MakePiece("a", 0, 1) + MakePiece("a", 1, 1),
               "pieces[2]: found \"a\" a second time"},
        Damage{"EmptyPiece", kUnknown + MakePiece("", 0, 1),
               "pieces[1].piece: found an empty text"},
        Damage{"NoUtf8", kUnknown + MakePiece("a\xC0", 0, 1),
               "pieces[1].piece: found no UTF-8 at its byte 1"},
        Damage{"Type", kUnknown + MakePiece("a", 0, 7), "pieces[1].type: found 7, expected 1 to 6"},
        Damage{"Kind", kUnknown + Bytes(2, Number(3, 9)), "trainer_spec.model_type: found 9"},
        Damage{"Truncated", kUnknown.substr(0, kUnknown.size() - 1), "byte 2: found a field of"},
        Damage{"TruncatedScore", Bytes(1, Bytes(1, "a") + Score(0).substr(0, 3)),
               "found the end, expected 4 more bytes"},
        Damage{"HugeLength", std::string("\x0A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01", 11),
               "a field of 18446744073709551615 bytes"},
        Damage{"LongNumber", std::string(20, '\xFF'), "a number beyond 64 bits"},
        Damage{"WireType", "\x0B", "wire type 3, expected 0, 1, 2 or 5"},
        Damage{"FieldZero", std::string("\x00\x01", 2), "found field number 0"},
        Damage{"PieceIsNumber", Number(1, 1), "expected that of a message"},
        Damage{"ScoreIsNumber", Bytes(1, Bytes(1, "a") + Number(2, 1)), "that of a piece's score"}),
    [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace quantized::tokenizer
