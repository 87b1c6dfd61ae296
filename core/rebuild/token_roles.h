// The tokens with a role and what goes around every text, out of a GGUF file's metadata.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "core/gguf/metadata.h"
#include "core/rebuild/token_list.h"

namespace quantized {

struct TokenRoles {
  // "bos" and its kin with their ids, those that the file has.
  std::vector<std::pair<std::string_view, uint32_t>> ids;
  // Around every text; nothing where none is.
  std::optional<uint32_t> before, behind;

  std::optional<uint32_t> IdOf(std::string_view role) const;
};

// Where a file does not say whether bos and eos go around a text, runtimes put bos before it for
// SentencePiece vocabularies and those split as Llama 3's are. Errors: kValidationFailed for keys
// of another type, ids beyond the tokens, and where a token goes around a text and the file has
// none.
absl::StatusOr<TokenRoles> ReadTokenRoles(const gguf::Metadata& metadata, const TokenList& tokens);

}  // namespace quantized
