#include "core/rebuild/token_list.h"

#include <cmath>

#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/hf/tokenizer/file_error.h"
#include "core/hf/tokenizer/unicode.h"
#include "core/hf/tokenizer/vocabulary.h"
#include "core/rebuild/metadata_values.h"

namespace quantized {
namespace {

using tokenizer::AddedToken;
using tokenizer::PieceType;

constexpr std::string_view kModel = "tokenizer.ggml.model";
constexpr std::string_view kTokens = "tokenizer.ggml.tokens";
constexpr std::string_view kTypes = "tokenizer.ggml.token_type";
constexpr std::string_view kScores = "tokenizer.ggml.scores";

std::string At(std::string_view key, size_t index) { return StrCat(key, "[", index, "]"); }

template <typename T>
absl::Status CheckSize(std::string_view key, const std::vector<T>* list, size_t size) {
  if (list != nullptr && list->size() == size) return absl::OkStatus();
  return KeyError(key, list == nullptr ? "nothing" : StrCat(list->size()),
                  StrCat("one for each of the ", size, " tokens"));
}

}  // namespace

absl::StatusOr<TokenList> TokenList::Read(const gguf::Metadata& metadata) {
  TokenList list;
  ASSIGN_OR_RETURN(const std::string* model, FindText(metadata, kModel));
  if (model == nullptr) return KeyError(kModel, "nothing", "gpt2 or llama");
  if (*model != "gpt2" && *model != "llama") {
    return NoPlaceError(kModel, FoundText(metadata.Find(kModel)), "gpt2 or llama");
  }
  list.kind_ = *model == "llama" ? TokenizerKind::kSentencePiece : TokenizerKind::kByteLevel;
  ASSIGN_OR_RETURN(list.texts_, FindTexts(metadata, kTokens));
  const size_t size = list.texts_ == nullptr ? 0 : list.texts_->size();
  if (size == 0 || size > tokenizer::Vocabulary::kMaxTokens) {
    return KeyError(kTokens, StrCat(size), StrCat("1 to ", tokenizer::Vocabulary::kMaxTokens));
  }
  for (size_t id = 0; id < size; ++id) {
    const std::string& text = (*list.texts_)[id];
    if (text.empty() || tokenizer::FindInvalidUtf8(text)) {
      return KeyError(At(kTokens, id), tokenizer::Quoted(text), "UTF-8 text");
    }
  }
  ASSIGN_OR_RETURN(list.types_, FindInts(metadata, kTypes));
  RETURN_IF_ERROR(CheckSize(kTypes, list.types_, size));
  for (size_t id = 0; id < size; ++id) {
    const int32_t type = (*list.types_)[id];
    if (type < 1 || type > 6) return KeyError(At(kTypes, id), StrCat(type), "1 to 6");
  }
  if (list.kind_ == TokenizerKind::kByteLevel) return list;
  ASSIGN_OR_RETURN(list.scores_, FindFloats(metadata, kScores));
  RETURN_IF_ERROR(CheckSize(kScores, list.scores_, size));
  for (size_t id = 0; id < size; ++id) {
    if (std::isnan((*list.scores_)[id])) return KeyError(At(kScores, id), "nan", "a number");
  }
  return list;
}

PieceType TokenList::type(uint32_t id) const { return static_cast<PieceType>((*types_)[id]); }

bool TokenList::IsPadding(uint32_t id) const {
  return type(id) == PieceType::kUnused && text(id) == StrCat("[PAD", id, "]");
}

uint32_t TokenList::end_id() const {
  uint32_t end = size();
  while (end > 0 && IsPadding(end - 1)) --end;
  return end;
}

absl::StatusOr<std::vector<AddedToken>> TokenList::AddedTokens() const {
  std::vector<AddedToken> added;
  for (uint32_t id = 0; id < size(); ++id) {
    const bool special = type(id) == PieceType::kControl || type(id) == PieceType::kUnknown;
    if (!special && type(id) != PieceType::kUserDefined) continue;
    if (added.size() == tokenizer::kMaxAddedTokens ||
        text(id).size() > tokenizer::kMaxAddedTokenBytes) {
      return KeyError(At(kTokens, id), "one more control or user-defined token",
                      StrCat("at most ", tokenizer::kMaxAddedTokens, " of ",
                             tokenizer::kMaxAddedTokenBytes, " bytes"));
    }
    AddedToken token;
    token.id = id;
    token.content = text(id);
    token.special = special;
    added.push_back(std::move(token));
  }
  return added;
}

}  // namespace quantized
