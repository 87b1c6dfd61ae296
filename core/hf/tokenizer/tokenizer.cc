#include "core/hf/tokenizer/tokenizer.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/hf/tokenizer/auto_tokenizer.h"
#include "core/hf/tokenizer/file_error.h"
#include "core/hf/tokenizer/text.h"
#include "core/hf/tokenizer/tokenizer_config.h"
#include "core/hf/tokenizer/unicode.h"

namespace quantized::tokenizer {

absl::StatusOr<std::vector<AddedToken>> ResolveAddedTokens(const std::vector<AddedToken>& tokens,
                                                           const Vocabulary& vocabulary) {
  std::vector<AddedToken> resolved;
  absl::flat_hash_set<std::string_view, TextHash, std::equal_to<>> seen;
  std::optional<uint32_t> largest;
  const uint32_t model_size = static_cast<uint32_t>(vocabulary.size());
  for (const AddedToken& token : tokens) {
    if (token.content.empty() || !seen.insert(token.content).second) continue;
    AddedToken added = token;
    if (const auto known = vocabulary.IdOf(token.content)) {
      added.id = *known;
    } else {
      added.id = largest.has_value() ? std::max(model_size, *largest + 1) : model_size;
    }
    if (added.id >= Vocabulary::kMaxTokens) {
      return FileError("tokenizer.json", "added_tokens",
                       StrCat(Quoted(token.content), " with id ", added.id),
                       StrCat("ids below ", Vocabulary::kMaxTokens));
    }
    largest = largest.has_value() ? std::max(*largest, added.id) : added.id;
    resolved.push_back(std::move(added));
  }
  return resolved;
}

absl::StatusOr<std::unique_ptr<const Tokenizer>> Tokenizer::Create(TokenizerFile file) {
  if (file.model_type != "BPE") {
    return FileError("tokenizer.json", "model.type", Quoted(file.model_type), "\"BPE\"");
  }
  ASSIGN_OR_RETURN(const std::vector<AddedToken> added,
                   ResolveAddedTokens(file.added_tokens, file.vocabulary));
  ASSIGN_OR_RETURN(BpeModel model, BpeModel::Create(std::move(file.vocabulary), file.merges,
                                                    std::move(file.options)));
  std::unique_ptr<Tokenizer> tokenizer(new Tokenizer(std::move(model)));
  ASSIGN_OR_RETURN(tokenizer->normalizer_, Normalizer::Parse(file.normalizer));
  ASSIGN_OR_RETURN(tokenizer->pre_tokenizer_, PreTokenizer::Parse(file.pre_tokenizer));
  ASSIGN_OR_RETURN(tokenizer->post_processor_, PostProcessor::Parse(file.post_processor));
  ASSIGN_OR_RETURN(tokenizer->decoder_, Decoder::Parse(file.decoder));
  tokenizer->end_id_ = tokenizer->model_.vocabulary().end_id();
  for (const AddedToken& token : added) {
    tokenizer->end_id_ = std::max(tokenizer->end_id_, token.id + 1);
    if (token.normalized) {
      ASSIGN_OR_RETURN(const std::string text, tokenizer->normalizer_.Apply(token.content));
      if (text.size() > kMaxAddedTokenBytes) {
        return FileError("tokenizer.json", StrCat("added token ", Quoted(token.content)),
                         StrCat("a normalised form of ", text.size(), " bytes"),
                         StrCat("at most ", kMaxAddedTokenBytes));
      }
      tokenizer->in_normalized_.Add(text, token);
    } else {
      tokenizer->in_text_.Add(token.content, token);
    }
    // Where ids have gaps two tokens can get one id; transformers' loading leaves it to the first.
    tokenizer->added_.try_emplace(token.id, token);
  }
  return std::unique_ptr<const Tokenizer>(std::move(tokenizer));
}

absl::StatusOr<std::unique_ptr<const Tokenizer>> Tokenizer::FromDirectory(
    const std::filesystem::path& directory, std::string_view model_type) {
  ASSIGN_OR_RETURN(const nlohmann::json config, ReadTokenizerConfig(directory));
  ASSIGN_OR_RETURN(TokenizerFile file, ReadAnyTokenizerFiles(directory, config, model_type));
  RETURN_IF_ERROR(ApplyTokenizerConfig(config, model_type, &file));
  return Create(std::move(file));
}

absl::StatusOr<std::vector<uint32_t>> Tokenizer::Encode(std::string_view text,
                                                        bool add_special) const {
  if (const auto bad = FindInvalidUtf8(text)) {
    return MakeError(Error::kInvalidArgument, StrCat("text is not UTF-8 at byte ", *bad));
  }
  std::vector<uint32_t> ids;
  BpeModel::Cache cache;
  for (const AddedTokenMatcher::Part& part : in_text_.Split(text)) {
    if (part.id.has_value()) {
      ids.push_back(*part.id);
      continue;
    }
    ASSIGN_OR_RETURN(const std::string normal,
                     normalizer_.Apply(text.substr(part.begin, part.end - part.begin)));
    for (const AddedTokenMatcher::Part& inner : in_normalized_.Split(normal)) {
      if (inner.id.has_value()) {
        ids.push_back(*inner.id);
        continue;
      }
      const std::string_view piece =
          std::string_view(normal).substr(inner.begin, inner.end - inner.begin);
      const bool at_start = part.begin == 0 && inner.begin == 0;
      ASSIGN_OR_RETURN(const Pieces words, pre_tokenizer_.Apply(piece, at_start));
      for (size_t i = 0; i < words.size(); ++i) model_.Encode(words[i], &cache, &ids);
    }
  }
  return add_special ? post_processor_.Apply(std::move(ids)) : std::move(ids);
}

absl::StatusOr<std::string> Tokenizer::Decode(std::span<const uint32_t> ids,
                                              bool skip_special) const {
  std::vector<std::string> tokens;
  tokens.reserve(ids.size());
  for (const uint32_t id : ids) {
    const AddedToken* added = AddedTokenOf(id);
    if (skip_special && added != nullptr && added->special) continue;
    if (const auto text = TextOf(id)) tokens.emplace_back(*text);
  }
  return decoder_.Apply(std::move(tokens));
}

std::optional<std::string_view> Tokenizer::TextOf(uint32_t id) const {
  const AddedToken* added = AddedTokenOf(id);
  if (added != nullptr) return added->content;
  return vocabulary().TextOf(id);
}

const AddedToken* Tokenizer::AddedTokenOf(uint32_t id) const {
  const auto it = added_.find(id);
  return it == added_.end() ? nullptr : &it->second;
}

}  // namespace quantized::tokenizer
