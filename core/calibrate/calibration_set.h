// Windows of token ids for a calibration: documents are tokenized with the model's tokenizer, put
// in an order that the seed decides, joined, and cut. docs/design/calibration-data.md, "Windows".
// The same data, tokenizer and options give the same windows on every machine, with any number of
// threads.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/job_context.h"
#include "core/calibrate/calibration_documents.h"
#include "core/hf/chat_template/chat_template.h"
#include "core/hf/tokenizer/tokenizer.h"

namespace quantized {

struct CalibrationOptions {
  uint32_t samples = 256;  // windows
  uint32_t sequence_length = 512;
  uint64_t seed = 0;
};

struct CalibrationSet {
  std::vector<std::vector<uint32_t>> windows;  // each of sequence_length ids
  std::string description;                     // the file's name, or "built-in text"
  std::string hash;                            // SHA-256 of the ids, 32 bits each, little-endian
  uint64_t documents = 0;                      // of the whole data
  uint64_t tokens_available = 0;               // likewise, with separators, without BOS
  std::vector<std::string> warnings;
};

// What the model wants around texts.
struct TextMarks {
  std::optional<uint32_t> eos;   // stands between documents
  std::vector<uint32_t> prefix;  // what the tokenizer puts before a text: BOS, or nothing
};

struct TokenizedDocuments {
  std::string description;
  std::vector<TokenIds> documents;  // in file order
  TextMarks marks;
  std::vector<std::string> warnings;
};

// EOS is eos_token of tokenizer_config.json, else eos_token_id (the first, where it is a list) of
// config.json. Errors: kValidationFailed when a file is damaged or the id is none of the
// tokenizer's.
absl::StatusOr<TextMarks> ReadTextMarks(const std::filesystem::path& directory,
                                        const tokenizer::Tokenizer& tokenizer);

// The ids of each document, without special tokens around them but for those in the text itself.
// `chat` may be null where no document is a conversation. Documents are tokenized side by side.
// Errors: kInvalidArgument for a conversation where `chat` is null or its template refuses it, and
// for ids that are not the tokenizer's; kValidationFailed; kCancelled.
absl::StatusOr<TokenizedDocuments> TokenizeDocuments(const CalibrationDocuments& documents,
                                                     const tokenizer::Tokenizer& tokenizer,
                                                     const ChatRenderer* chat, TextMarks marks,
                                                     const JobContext& context);

// The documents of `data`, or the built-in text where it is absent, tokenized for the model in
// `directory`, whose config.json names `model_type`. Errors: those of the parts.
absl::StatusOr<TokenizedDocuments> LoadCalibrationData(
    const std::optional<std::filesystem::path>& data, const std::filesystem::path& directory,
    std::string_view model_type, const JobContext& context);

// Fewer windows than wanted is a warning. Errors: kInvalidArgument when an option is 0 or more than
// 2^20, when the data fill no window, or when nine of ten ids in the windows are the same.
absl::StatusOr<CalibrationSet> MakeCalibrationSet(const TokenizedDocuments& data,
                                                  const CalibrationOptions& options);

// `held_out` windows of documents that MakeCalibrationSet with the same options does not touch; of
// a single document, from what lies behind its last window. With 0 samples it touches none. Fewer
// than wanted is a warning, none too: then `windows` is empty. Errors: kInvalidArgument for an
// option, as above.
absl::StatusOr<CalibrationSet> MakeHeldOutSet(const TokenizedDocuments& data,
                                              const CalibrationOptions& options, uint32_t held_out);

}  // namespace quantized
