#include "core/rebuild/token_roles.h"

#include <string>

#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/hf/tokenizer/special_vocabulary.h"
#include "core/rebuild/metadata_values.h"

namespace quantized {
namespace {

constexpr std::string_view kRoles[] = {"bos", "eos", "unk", "sep", "pad", "mask", "eot", "eom"};
// Runtimes take it for theirs that texts begin with bos.
constexpr std::string_view kBeginsWithBos[] = {"llama-bpe", "llama3", "llama-v3", "tekken"};

bool BeginsWithBos(const gguf::Metadata& metadata, const TokenList& tokens) {
  if (tokens.kind() == TokenizerKind::kSentencePiece) return true;
  const auto* pre = metadata.Get<std::string>("tokenizer.ggml.pre");
  return pre != nullptr && std::ranges::count(kBeginsWithBos, *pre) > 0;
}

}  // namespace

std::optional<uint32_t> TokenRoles::IdOf(std::string_view role) const {
  for (const auto& [name, id] : ids) {
    if (name == role) return id;
  }
  return std::nullopt;
}

absl::StatusOr<TokenRoles> ReadTokenRoles(const gguf::Metadata& metadata, const TokenList& tokens) {
  TokenRoles roles;
  for (const std::string_view role : kRoles) {
    const std::string_view key = tokenizer::TokenIdKey(role);
    ASSIGN_OR_RETURN(const std::optional<uint32_t> id, FindUint32(metadata, key));
    if (!id) continue;
    if (*id >= tokens.size()) {
      return KeyError(key, StrCat(*id), StrCat("an id below ", tokens.size()));
    }
    roles.ids.emplace_back(role, *id);
  }
  const auto around = [&](std::string_view role, bool by_default,
                          std::optional<uint32_t>* out) -> absl::Status {
    const std::string_view key = tokenizer::AddTokenKey(role);
    ASSIGN_OR_RETURN(const std::optional<bool> add, FindBool(metadata, key));
    if (!add.value_or(by_default)) return absl::OkStatus();
    *out = roles.IdOf(role);
    if (*out) return absl::OkStatus();
    return KeyError(
        tokenizer::TokenIdKey(role), "nothing",
        StrCat("the id of a token, since ", key, " is ", add ? "" : "taken to be ", "true"));
  };
  RETURN_IF_ERROR(around("bos", BeginsWithBos(metadata, tokens), &roles.before));
  RETURN_IF_ERROR(around("eos", false, &roles.behind));
  return roles;
}

}  // namespace quantized
