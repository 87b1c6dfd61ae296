#include "core/rebuild/tokenizer.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/hf/tokenizer/auto_tokenizer.h"
#include "core/hf/tokenizer/file_error.h"
#include "core/hf/tokenizer/post_processor.h"
#include "core/hf/tokenizer/pre_tokenizer_name.h"
#include "core/hf/tokenizer/sentencepiece_tokenizer.h"
#include "core/hf/tokenizer/special_vocabulary.h"
#include "core/hf/tokenizer/text.h"
#include "core/rebuild/metadata_values.h"
#include "core/rebuild/token_list.h"
#include "core/rebuild/token_roles.h"

namespace quantized {
namespace {

using namespace tokenizer;  // NOLINT(google-build-using-namespace): as in the library itself
using nlohmann::json;

constexpr std::string_view kTokens = "tokenizer.ggml.tokens";
constexpr std::string_view kPre = "tokenizer.ggml.pre";
constexpr std::string_view kMerges = "tokenizer.ggml.merges";
constexpr std::string_view kSpacePrefix = "tokenizer.ggml.add_space_prefix";
constexpr std::string_view kBlankMark = "\u2581";

// Phi-3's tokens take white space behind them along, but for these; runtimes know it of the family,
// no file says it.
constexpr std::string_view kStripsBehind = "phi3";
constexpr std::string_view kStripsNothing[] = {"<unk>", "<s>", "<|endoftext|>"};

bool IsGemma(const Architecture& architecture) {
  return TokenizerClassOf(architecture.model_type) == "GemmaTokenizer";
}

// Gemma's runs of blanks are user-defined pieces, which a conversion writes with blanks for marks.
std::string PieceText(const Architecture& architecture, const TokenList& tokens, uint32_t id) {
  const bool has_marks = IsGemma(architecture) && tokens.type(id) == PieceType::kUserDefined;
  return has_marks ? ReplaceAll(tokens.text(id), " ", kBlankMark) : tokens.text(id);
}

// ---- Byte-level

absl::StatusOr<PreTokenizerStructure> StructureOf(const gguf::Metadata& metadata,
                                                  std::string_view override_name) {
  ASSIGN_OR_RETURN(const std::string* written, FindText(metadata, kPre));
  const std::string name(!override_name.empty() ? override_name
                         : written != nullptr   ? std::string_view(*written)
                                                : "");
  std::optional<PreTokenizerStructure> structure = PreTokenizerStructureOfName(name);
  if (structure) return *std::move(structure);
  return NoPlaceError(
      kPre, name.empty() ? "nothing" : Quoted(name),
      "a name whose rules for splitting text are known",
      "name the one that splits text alike with --pre NAME, such as --pre llama-bpe, "
      "--pre qwen2 or --pre gpt-2");
}

absl::StatusOr<Vocabulary> VocabularyOf(const TokenList& tokens) {
  size_t bytes = 0;
  for (uint32_t id = 0; id < tokens.size(); ++id) bytes += tokens.text(id).size();
  Vocabulary vocabulary(tokens.size(), bytes);
  for (uint32_t id = 0; id < tokens.size(); ++id) {
    if (!tokens.IsPadding(id)) {
      RETURN_IF_ERROR(vocabulary.Add(tokens.text(id), id)) << kTokens;
    }
  }
  return vocabulary;
}

// "left right"; a left half is never empty, so that a blank in the first place belongs to it.
absl::StatusOr<Merge> MergeOf(const std::string& text, const Vocabulary& vocabulary) {
  const size_t blank = text.find(' ', 1);
  if (blank != std::string::npos) {
    const std::string left = text.substr(0, blank), right = text.substr(blank + 1);
    const auto left_id = vocabulary.IdOf(left), right_id = vocabulary.IdOf(right);
    if (left_id && right_id && vocabulary.IdOf(left + right)) return Merge(*left_id, *right_id);
  }
  return KeyError(kMerges, Quoted(text), "two tokens that make a third, with a blank between");
}

absl::StatusOr<std::vector<Merge>> MergesOf(const gguf::Metadata& metadata,
                                            const Vocabulary& vocabulary) {
  ASSIGN_OR_RETURN(const std::vector<std::string>* texts, FindTexts(metadata, kMerges));
  if (texts == nullptr) return KeyError(kMerges, "nothing", "the merges of the vocabulary");
  std::vector<Merge> merges;
  merges.reserve(texts->size());
  for (const std::string& text : *texts) {
    ASSIGN_OR_RETURN(const Merge merge, MergeOf(text, vocabulary));
    merges.push_back(merge);
  }
  return merges;
}

absl::StatusOr<TokenizerFile> ByteLevelFile(const TokenList& tokens, const gguf::Metadata& metadata,
                                            std::string_view pre_tokenizer) {
  TokenizerFile file;
  file.model_type = "BPE";
  ASSIGN_OR_RETURN(PreTokenizerStructure structure, StructureOf(metadata, pre_tokenizer));
  file.pre_tokenizer = std::move(structure.pre_tokenizer);
  file.normalizer = std::move(structure.normalizer);
  file.options.ignore_merges = structure.ignore_merges;
  file.decoder = {{"type", "ByteLevel"},
                  {"add_prefix_space", true},
                  {"trim_offsets", true},
                  {"use_regex", true}};
  ASSIGN_OR_RETURN(file.vocabulary, VocabularyOf(tokens));
  ASSIGN_OR_RETURN(file.merges, MergesOf(metadata, file.vocabulary));
  return file;
}

// ---- SentencePiece

absl::StatusOr<uint32_t> UnknownId(const TokenList& tokens, const gguf::Metadata& metadata) {
  ASSIGN_OR_RETURN(const TokenRoles roles, ReadTokenRoles(metadata, tokens));
  std::optional<uint32_t> unknown = roles.IdOf("unk");
  for (uint32_t id = 0; id < tokens.end_id() && !unknown; ++id) {
    if (tokens.type(id) == PieceType::kUnknown) unknown = id;
  }
  if (unknown && *unknown < tokens.end_id()) return *unknown;
  return KeyError(TokenIdKey("unk"), unknown ? StrCat(*unknown, ", a padding token") : "nothing",
                  "the id of the unknown token");
}

absl::StatusOr<bool> PrefixesBlank(const gguf::Metadata& metadata) {
  ASSIGN_OR_RETURN(const std::optional<bool> prefix, FindBool(metadata, kSpacePrefix));
  return prefix.value_or(true);  // as runtimes have it
}

absl::StatusOr<SentencePieceModel> ModelOf(const Architecture& architecture,
                                           const TokenList& tokens,
                                           const gguf::Metadata& metadata) {
  SentencePieceModel model;
  model.kind = SentencePieceModel::Kind::kBpe;
  model.byte_fallback = true;
  model.remove_extra_whitespaces = false;
  ASSIGN_OR_RETURN(model.add_dummy_prefix, PrefixesBlank(metadata));
  ASSIGN_OR_RETURN(const uint32_t unknown, UnknownId(tokens, metadata));
  for (uint32_t id = 0; id < tokens.end_id(); ++id) {
    Piece piece = {PieceText(architecture, tokens, id), tokens.score(id), tokens.type(id)};
    // There is one unknown piece, and a user-defined one comes before all others, whatever the
    // score that a conversion has put in the place of its own.
    if (piece.type == PieceType::kUnknown) piece.type = PieceType::kControl;
    if (id == unknown) piece.type = PieceType::kUnknown;
    if (piece.type == PieceType::kUserDefined) piece.score = 0;
    model.pieces.push_back(std::move(piece));
  }
  return model;
}

absl::StatusOr<TokenizerFile> SentencePieceFile(const Architecture& architecture,
                                                const TokenList& tokens,
                                                const gguf::Metadata& metadata) {
  ASSIGN_OR_RETURN(const SentencePieceModel model, ModelOf(architecture, tokens, metadata));
  const json config = {{"add_prefix_space", model.add_dummy_prefix}};
  return TokenizerFileOf(model, TokenizerClassOf(architecture.model_type), config, kTokens);
}

// ---- What both kinds have

absl::StatusOr<std::vector<AddedToken>> AddedTokensOf(const Architecture& architecture,
                                                      const TokenList& tokens) {
  ASSIGN_OR_RETURN(std::vector<AddedToken> added, tokens.AddedTokens());
  if (tokens.kind() == TokenizerKind::kByteLevel) return added;
  for (AddedToken& token : added) {
    token.content = PieceText(architecture, tokens, token.id);
    token.rstrip = architecture.model_type == kStripsBehind &&
                   std::ranges::count(kStripsNothing, token.content) == 0;
  }
  return added;
}

}  // namespace

absl::StatusOr<TokenizerFile> RebuildTokenizer(const Architecture& architecture,
                                               const gguf::Metadata& metadata,
                                               std::string_view pre_tokenizer) {
  ASSIGN_OR_RETURN(const TokenList tokens, TokenList::Read(metadata));
  ASSIGN_OR_RETURN(const TokenRoles roles, ReadTokenRoles(metadata, tokens));
  const bool is_byte_level = tokens.kind() == TokenizerKind::kByteLevel;
  ASSIGN_OR_RETURN(TokenizerFile file, is_byte_level
                                           ? ByteLevelFile(tokens, metadata, pre_tokenizer)
                                           : SentencePieceFile(architecture, tokens, metadata));
  file.path = "tokenizer.json";
  ASSIGN_OR_RETURN(file.added_tokens, AddedTokensOf(architecture, tokens));
  const auto token = [&](std::optional<uint32_t> id) {
    return AddedToken{.id = id.value_or(0), .content = id ? tokens.text(*id) : ""};
  };
  const AddedToken before = token(roles.before), behind = token(roles.behind);
  if (roles.before || roles.behind) {
    file.post_processor =
        TemplateAround(roles.before ? &before : nullptr, roles.behind ? &behind : nullptr);
  }
  return file;
}

absl::StatusOr<SentencePieceModel> RebuildSentencePieceModel(const Architecture& architecture,
                                                             const gguf::Metadata& metadata) {
  ASSIGN_OR_RETURN(const TokenList tokens, TokenList::Read(metadata));
  if (tokens.kind() != TokenizerKind::kSentencePiece) {
    return KeyError("tokenizer.ggml.model", "gpt2", "llama");
  }
  return ModelOf(architecture, tokens, metadata);
}

}  // namespace quantized
