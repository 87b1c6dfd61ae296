#include "core/hf/tokenizer/sentencepiece_model.h"

#include <bit>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/hf/tokenizer/file_error.h"
#include "core/hf/tokenizer/text.h"
#include "core/hf/tokenizer/unicode.h"
#include "core/hf/tokenizer/vocabulary.h"

namespace quantized::tokenizer {
namespace {

constexpr uint64_t kMaxFileBytes = uint64_t{128} << 20;

enum class Wire { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

// One field of a message.
struct Field {
  uint64_t number = 0;
  Wire wire = Wire::kVarint;
  uint64_t value = 0;      // of kVarint, kFixed32, kFixed64
  std::string_view bytes;  // of kBytes; points into the file
  size_t offset = 0;       // in the file
};

// Walks the fields of one message (protobuf.dev/programming-guides/encoding).
class Message {
 public:
  Message(std::string_view name, std::string_view bytes, size_t offset)
      : name_(name), bytes_(bytes), offset_(offset) {}

  // nullopt at the end.
  absl::StatusOr<std::optional<Field>> Next() {
    if (at_ == bytes_.size()) return std::nullopt;
    Field field;
    field.offset = offset_ + at_;
    ASSIGN_OR_RETURN(const uint64_t tag, Varint());
    field.number = tag >> 3;
    if (field.number == 0) return Damaged("field number 0", "1 or more");
    switch (tag & 7) {
      case 0: {
        ASSIGN_OR_RETURN(field.value, Varint());
        return field;
      }
      case 1:
        field.wire = Wire::kFixed64;
        break;
      case 2: {
        field.wire = Wire::kBytes;
        ASSIGN_OR_RETURN(const uint64_t size, Varint());
        if (size > bytes_.size() - at_) {
          return Damaged(StrCat("a field of ", size, " bytes"),
                         StrCat("at most the ", bytes_.size() - at_, " that are left"));
        }
        field.bytes = bytes_.substr(at_, static_cast<size_t>(size));
        field.offset = offset_ + at_;
        at_ += static_cast<size_t>(size);
        return field;
      }
      case 5:
        field.wire = Wire::kFixed32;
        break;
      default:
        return Damaged(StrCat("wire type ", tag & 7), "0, 1, 2 or 5");
    }
    const size_t size = field.wire == Wire::kFixed64 ? 8 : 4;
    if (size > bytes_.size() - at_) return Damaged("the end", StrCat(size, " more bytes"));
    for (size_t i = 0; i < size; ++i) {
      field.value |= uint64_t{static_cast<unsigned char>(bytes_[at_ + i])} << (8 * i);
    }
    at_ += size;
    return field;
  }

  absl::Status Damaged(std::string_view found, std::string_view expected) const {
    return FileError(name_, StrCat("byte ", offset_ + at_), found, expected);
  }

 private:
  absl::StatusOr<uint64_t> Varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (at_ == bytes_.size()) return Damaged("the end", "more of a number");
      const auto byte = static_cast<unsigned char>(bytes_[at_++]);
      if (shift == 63 && byte > 1) break;
      value |= uint64_t{byte & 0x7Fu} << shift;
      if (byte < 0x80) return value;
    }
    return Damaged("a number beyond 64 bits", "at most 10 bytes");
  }

  std::string_view name_;
  std::string_view bytes_;
  size_t offset_;
  size_t at_ = 0;
};

absl::Status WireError(std::string_view name, const Field& field, std::string_view what) {
  return FileError(name, StrCat("byte ", field.offset),
                   StrCat("wire type ", static_cast<int>(field.wire)), StrCat("that of ", what));
}

absl::StatusOr<Piece> ParsePiece(std::string_view name, const Field& message, size_t id) {
  Piece piece;
  Message fields(name, message.bytes, message.offset);
  while (true) {
    ASSIGN_OR_RETURN(const std::optional<Field> field, fields.Next());
    if (!field.has_value()) break;
    if (field->number == 1) {
      if (field->wire != Wire::kBytes) return WireError(name, *field, "a piece's text");
      piece.text = field->bytes;
    } else if (field->number == 2) {
      if (field->wire != Wire::kFixed32) return WireError(name, *field, "a piece's score");
      piece.score = std::bit_cast<float>(static_cast<uint32_t>(field->value));
    } else if (field->number == 3) {
      if (field->wire != Wire::kVarint) return WireError(name, *field, "a piece's type");
      if (field->value < 1 || field->value > 6) {
        return FileError(name, StrCat("pieces[", id, "].type"), StrCat(field->value), "1 to 6");
      }
      piece.type = static_cast<PieceType>(field->value);
    }
  }
  const auto field = [&] { return StrCat("pieces[", id, "].piece"); };
  if (piece.text.empty()) return FileError(name, field(), "an empty text", "some text");
  if (const auto bad = FindInvalidUtf8(piece.text)) {
    return FileError(name, field(), StrCat("no UTF-8 at its byte ", *bad), "UTF-8");
  }
  return piece;
}

// TrainerSpec and NormalizerSpec: calls `set` with each whole-number field.
template <typename Set>
absl::Status ParseNumbers(std::string_view name, const Field& message, Set set) {
  Message fields(name, message.bytes, message.offset);
  while (true) {
    ASSIGN_OR_RETURN(const std::optional<Field> field, fields.Next());
    if (!field.has_value()) return absl::OkStatus();
    if (field->wire == Wire::kVarint) set(field->number, field->value);
  }
}

// The same format, written.
void AppendVarint(uint64_t value, std::string* out) {
  for (; value >= 0x80; value >>= 7) out->push_back(static_cast<char>(value | 0x80));
  out->push_back(static_cast<char>(value));
}

void AppendTag(uint64_t number, Wire wire, std::string* out) {
  AppendVarint(number << 3 | static_cast<uint64_t>(wire), out);
}

void AppendNumber(uint64_t number, uint64_t value, std::string* out) {
  AppendTag(number, Wire::kVarint, out);
  AppendVarint(value, out);
}

void AppendBytes(uint64_t number, std::string_view bytes, std::string* out) {
  AppendTag(number, Wire::kBytes, out);
  AppendVarint(bytes.size(), out);
  out->append(bytes);
}

void AppendFloat(uint64_t number, float value, std::string* out) {
  AppendTag(number, Wire::kFixed32, out);
  const auto bits = std::bit_cast<uint32_t>(value);
  for (int shift = 0; shift < 32; shift += 8) out->push_back(static_cast<char>(bits >> shift));
}

}  // namespace

absl::StatusOr<SentencePieceModel> ParseSentencePieceModel(std::span<const std::byte> bytes,
                                                           std::string_view name) {
  SentencePieceModel model;
  Message fields(name, std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()),
                 0);
  uint64_t kind = 1;
  while (true) {
    ASSIGN_OR_RETURN(const std::optional<Field> field, fields.Next());
    if (!field.has_value()) break;
    if (field->number < 1 || field->number > 3) continue;
    if (field->wire != Wire::kBytes) return WireError(name, *field, "a message");
    if (field->number == 1) {
      if (model.pieces.size() == Vocabulary::kMaxTokens) {
        return FileError(name, "pieces", "more", StrCat("at most ", Vocabulary::kMaxTokens));
      }
      ASSIGN_OR_RETURN(Piece piece, ParsePiece(name, *field, model.pieces.size()));
      model.pieces.push_back(std::move(piece));
    } else if (field->number == 2) {
      RETURN_IF_ERROR(ParseNumbers(name, *field, [&](uint64_t number, uint64_t value) {
        if (number == 3) kind = value;
        if (number == 35) model.byte_fallback = value != 0;
      }));
    } else {
      RETURN_IF_ERROR(ParseNumbers(name, *field, [&](uint64_t number, uint64_t value) {
        if (number == 3) model.add_dummy_prefix = value != 0;
        if (number == 4) model.remove_extra_whitespaces = value != 0;
      }));
    }
  }
  if (kind < 1 || kind > 4) {
    return FileError(name, "trainer_spec.model_type", StrCat(kind), "1 to 4");
  }
  model.kind = static_cast<SentencePieceModel::Kind>(kind);
  absl::flat_hash_set<std::string_view, TextHash, std::equal_to<>> seen;
  size_t unknown = 0;
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    const Piece& piece = model.pieces[id];
    if (!seen.insert(piece.text).second) {
      return FileError(name, StrCat("pieces[", id, "]"),
                       StrCat(Quoted(piece.text), " a second time"), "every piece once");
    }
    unknown += piece.type == PieceType::kUnknown;
  }
  if (unknown != 1) {
    return FileError(name, "pieces", StrCat(unknown, " of type unknown"), "exactly one");
  }
  return model;
}

std::string SentencePieceModelBytes(const SentencePieceModel& model) {
  std::string out, part;
  for (const Piece& piece : model.pieces) {
    part.clear();
    AppendBytes(1, piece.text, &part);
    AppendFloat(2, piece.score, &part);
    AppendNumber(3, static_cast<uint64_t>(piece.type), &part);
    AppendBytes(1, part, &out);
  }
  part.clear();
  AppendNumber(3, static_cast<uint64_t>(model.kind), &part);
  AppendNumber(35, model.byte_fallback, &part);
  AppendBytes(2, part, &out);
  part.clear();
  AppendNumber(3, model.add_dummy_prefix, &part);
  AppendNumber(4, model.remove_extra_whitespaces, &part);
  AppendBytes(3, part, &out);
  return out;
}

absl::StatusOr<SentencePieceModel> ReadSentencePieceModel(const std::filesystem::path& path) {
  ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path, kMaxFileBytes));
  RETURN_IF_ERROR(RefuseLfsPointer(path.string(), bytes));
  return ParseSentencePieceModel(std::as_bytes(std::span(bytes)), path.string());
}

}  // namespace quantized::tokenizer
