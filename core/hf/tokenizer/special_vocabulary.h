// Which token has which role, which are put around a text, and the chat template: what a GGUF file
// says of a vocabulary beside the tokens. Decided as the reference converter decides it, from
// tokenizer.json, tokenizer_config.json and config.json: docs/design/tokenizers.md, "Special
// tokens".
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/gguf/metadata.h"
#include "core/hf/tokenizer/tokenizer_config.h"
#include "core/hf/tokenizer/tokenizer_file.h"
#include "nlohmann/json.hpp"

namespace quantized::tokenizer {

// The metadata keys of a role such as "bos": the id of its token, and whether it goes around every
// text. Empty where GGUF has none.
std::string_view TokenIdKey(std::string_view role);
std::string_view AddTokenKey(std::string_view role);

class SpecialVocabulary {
 public:
  // The roles that are looked for unless others are wanted.
  static std::vector<std::string> DefaultRoles() {
    return {"bos", "eos", "unk", "sep", "pad", "cls", "mask"};
  }

  // `file` is the directory's tokenizer.json, null where it has none; `config` its config.json. Ids
  // from `vocab_size` on are left out where that is given. Errors: kValidationFailed when a file is
  // damaged or an id is negative.
  static absl::StatusOr<SpecialVocabulary> Read(const std::filesystem::path& directory,
                                                const TokenizerFile* file,
                                                const nlohmann::json& config,
                                                std::optional<uint64_t> vocab_size,
                                                std::vector<std::string> roles = DefaultRoles());

  // Sets the id of a role unless it has one. `role` is a name such as "bos" or "prefix".
  void SetId(std::string_view role, uint32_t id);

  // Sets the keys: ids, add_* flags, chat templates, normalizer flags, in this order.
  void AppendTo(gguf::Metadata& metadata) const;

 private:
  absl::Status ReadConfiguration(const std::filesystem::path& directory, const TokenizerFile* file,
                                 std::optional<uint64_t> vocab_size);
  void ReadProcessor(const nlohmann::json& processor);
  void ReadTemplate(const nlohmann::json& processor);
  void ReadPair(const nlohmann::json& processor, const std::string& first, const std::string& last);
  void ReadNormalizer(const nlohmann::json& normalizer);
  absl::Status SetIdFromFile(std::string_view role, const nlohmann::json& id,
                             std::optional<uint64_t> vocab_size, std::string_view file);
  void SetFlag(std::string_view role, bool value);
  bool HasFlag(std::string_view role) const;

  std::vector<std::string> roles_;
  std::vector<std::pair<std::string, uint32_t>> ids_;  // in order of their keys
  std::vector<std::pair<std::string, bool>> add_;      // likewise
  std::vector<ChatTemplate> templates_;
  std::optional<bool> lowercase_;
  std::optional<bool> strip_accents_;
  // tokenizer_config.json with what the post-processor adds to it while it is read.
  nlohmann::json tokenizer_config_;
  bool has_tokenizer_config_ = false;
  // Values of bos_token and so on as tokenizer_config.json has them: a text or an object.
  nlohmann::json bos_, eos_, cls_, sep_;
};

}  // namespace quantized::tokenizer
