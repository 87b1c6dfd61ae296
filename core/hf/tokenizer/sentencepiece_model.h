// tokenizer.model: SentencePiece's model file, a protobuf message (sentencepiece_model.proto,
// ModelProto). Only what a conversion needs is read; the wire format is parsed here, bounded, so
// that no generated code is needed. Format: docs/design/tokenizers.md, "tokenizer.model".
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace quantized::tokenizer {

enum class PieceType {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6
};

struct Piece {
  std::string text;  // UTF-8, not empty
  float score = 0;
  PieceType type = PieceType::kNormal;
};

struct SentencePieceModel {
  enum class Kind { kUnigram = 1, kBpe = 2, kWord = 3, kChar = 4 };

  std::vector<Piece> pieces;  // by id
  Kind kind = Kind::kUnigram;
  bool byte_fallback = false;
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;
};

// `name` is the file's name for messages. Errors: kValidationFailed for damaged or truncated bytes,
// pieces that are empty, not UTF-8 or there twice, and where not exactly one piece is the unknown
// one.
absl::StatusOr<SentencePieceModel> ParseSentencePieceModel(std::span<const std::byte> bytes,
                                                           std::string_view name);

// The bytes of a tokenizer.model from which ParseSentencePieceModel reads `model`.
std::string SentencePieceModelBytes(const SentencePieceModel& model);

// Errors: kModelNotFound when there is no such file, and as above.
absl::StatusOr<SentencePieceModel> ReadSentencePieceModel(const std::filesystem::path& path);

}  // namespace quantized::tokenizer
