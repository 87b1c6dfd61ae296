#include "core/hf/tokenizer/sentencepiece_tokenizer.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <tuple>
#include <utility>
#include <vector>

#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/hf/tokenizer/file_error.h"

namespace quantized::tokenizer {
namespace {

// Each place in a piece is looked at, and each look hashes both halves: the sum of squares. Gemma
// 3's 262,144 pieces have 27 million.
constexpr uint64_t kMaxMergeWork = uint64_t{1} << 32;

bool Continues(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

bool Flag(const nlohmann::json& config, const char* name, bool fallback) {
  const auto it = config.find(name);
  return it != config.end() && it->is_boolean() ? it->get<bool>() : fallback;
}

absl::StatusOr<Vocabulary> VocabularyOf(const SentencePieceModel& model, bool tab_is_byte) {
  size_t bytes = 0;
  for (const Piece& piece : model.pieces) bytes += piece.text.size();
  Vocabulary vocabulary(model.pieces.size(), bytes);
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    const std::string& text = model.pieces[id].text;
    RETURN_IF_ERROR(vocabulary.Add(tab_is_byte && text == "<0x09>" ? "\t" : text, id));
  }
  return vocabulary;
}

// A merge for each way to make a piece of two others: those of better pieces first, then by the id
// of the piece, then by those of its halves. The published tokenizer.json files of Llama 2 and
// Gemma are in this order. (Some versions of transformers sorted by the halves' lengths in between,
// which splits runs of blanks otherwise than SentencePiece does.)
std::vector<Merge> MergesOf(const SentencePieceModel& model, const Vocabulary& vocabulary) {
  struct Ranked {
    float score;
    size_t piece;
    Merge merge;
  };
  std::vector<Ranked> ranked;
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    const std::string_view text = model.pieces[id].text;
    for (size_t at = 1; at < text.size(); ++at) {
      if (Continues(text[at])) continue;
      const auto left = vocabulary.IdOf(text.substr(0, at));
      const auto right = left.has_value() ? vocabulary.IdOf(text.substr(at)) : std::nullopt;
      if (right.has_value()) ranked.push_back({model.pieces[id].score, id, {*left, *right}});
    }
  }
  std::sort(ranked.begin(), ranked.end(), [](const Ranked& a, const Ranked& b) {
    return std::tie(b.score, a.piece, a.merge) < std::tie(a.score, b.piece, b.merge);
  });
  std::vector<Merge> merges;
  merges.reserve(ranked.size());
  for (const Ranked& r : ranked) merges.push_back(r.merge);
  return merges;
}

nlohmann::json ReplaceBlank() {
  return {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "\u2581"}};
}

// Normalizer, pre-tokenizer and decoder.
void SetParts(bool gemma, const nlohmann::json& config, TokenizerFile& file) {
  nlohmann::json decoders = {
      {{"type", "Replace"}, {"pattern", {{"String", "\u2581"}}}, {"content", " "}},
      {{"type", "ByteFallback"}},
      {{"type", "Fuse"}}};
  if (gemma) {
    file.normalizer = ReplaceBlank();
    file.pre_tokenizer = {{"type", "Split"},
                          {"pattern", {{"String", " "}}},
                          {"behavior", "MergedWithPrevious"},
                          {"invert", false}};
  } else {
    const bool prefix = Flag(config, "add_prefix_space", true);
    if (Flag(config, "legacy", true)) {
      nlohmann::json normalizers = nlohmann::json::array();
      if (prefix) normalizers.push_back({{"type", "Prepend"}, {"prepend", "\u2581"}});
      normalizers.push_back(ReplaceBlank());
      file.normalizer = {{"type", "Sequence"}, {"normalizers", std::move(normalizers)}};
    } else {
      file.pre_tokenizer = {{"type", "Metaspace"},
                            {"replacement", "\u2581"},
                            {"prepend_scheme", prefix ? "first" : "never"},
                            {"split", false}};
    }
    if (prefix) {
      decoders.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1u}, {"stop", 0u}});
    }
  }
  file.decoder = {{"type", "Sequence"}, {"decoders", std::move(decoders)}};
}

absl::Status CheckModel(const SentencePieceModel& model, const std::filesystem::path& path) {
  if (model.kind != SentencePieceModel::Kind::kBpe) {
    return FileError(path.string(), "trainer_spec.model_type", StrCat(static_cast<int>(model.kind)),
                     "2, byte-pair encoding", "add the model's tokenizer.json to its directory");
  }
  uint64_t work = 0;
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    const Piece& piece = model.pieces[id];
    work += uint64_t{piece.text.size()} * piece.text.size();
    if (!std::isnan(piece.score)) continue;
    return FileError(path.string(), StrCat("pieces[", id, "].score"), "nan", "a number");
  }
  if (work <= kMaxMergeWork) return absl::OkStatus();
  return FileError(path.string(), "pieces", "longer ones", "pieces of a few characters",
                   "add the model's tokenizer.json to its directory");
}

}  // namespace

absl::StatusOr<TokenizerFile> TokenizerFileOf(const SentencePieceModel& model,
                                              std::string_view tokenizer_class,
                                              const nlohmann::json& config,
                                              const std::filesystem::path& path) {
  RETURN_IF_ERROR(CheckModel(model, path));
  const bool gemma = tokenizer_class == "GemmaTokenizer";
  // Gemma's first models lack the tab; it then takes the place of its byte.
  const bool has_tab = std::any_of(model.pieces.begin(), model.pieces.end(),
                                   [](const Piece& piece) { return piece.text == "\t"; });
  TokenizerFile file;
  file.path = path;
  file.model_type = "BPE";
  file.options.fuse_unk = true;
  file.options.byte_fallback = true;
  ASSIGN_OR_RETURN(file.vocabulary, VocabularyOf(model, gemma && !has_tab), << path.string());
  file.merges = MergesOf(model, file.vocabulary);
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    const Piece& piece = model.pieces[id];
    if (piece.type == PieceType::kUnknown) {
      file.options.unk_token = *file.vocabulary.TextOf(static_cast<uint32_t>(id));
    }
    const bool control = piece.type == PieceType::kControl;
    if (!control && piece.type != PieceType::kUserDefined) continue;
    if (file.added_tokens.size() == kMaxAddedTokens || piece.text.size() > kMaxAddedTokenBytes) {
      return FileError(path.string(), StrCat("pieces[", id, "]"), "one more special token",
                       StrCat("at most ", kMaxAddedTokens, " of ", kMaxAddedTokenBytes, " bytes"));
    }
    AddedToken token;
    token.id = static_cast<uint32_t>(id);
    token.content = piece.text;
    token.special =
        control || (gemma && (piece.text == "<start_of_turn>" || piece.text == "<end_of_turn>"));
    file.added_tokens.push_back(std::move(token));
  }
  SetParts(gemma, config, file);
  return file;
}

}  // namespace quantized::tokenizer
