// Reading the small parts of tokenizer.json - normalizer, pre_tokenizer, post_processor, decoder -
// with errors that name the field.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/hf/tokenizer/regex.h"
#include "nlohmann/json.hpp"

namespace quantized::tokenizer {

// Sequences within sequences, and members of one sequence: real files need 2 and 7.
inline constexpr int kMaxComponentDepth = 8;
inline constexpr size_t kMaxComponents = 64;

// One object of tokenizer.json, and the path that leads to it ("normalizer.normalizers[1]").
// Refers to the JSON value, which must outlive it.
class Component {
 public:
  // Errors: kValidationFailed unless `json` is an object with a string `type`.
  static absl::StatusOr<Component> Of(const nlohmann::json& json, std::string path, int depth = 0);

  const std::string& type() const { return type_; }
  const std::string& path() const { return path_; }
  const nlohmann::json& json() const { return *json_; }

  // The member, or `fallback` where it is absent or null; without a fallback it must be there.
  // Errors: kValidationFailed when it has another type.
  absl::StatusOr<bool> Bool(std::string_view name, std::optional<bool> fallback = {}) const;
  absl::StatusOr<uint64_t> Unsigned(std::string_view name) const;
  absl::StatusOr<std::string> String(std::string_view name,
                                     std::optional<std::string> fallback = {}) const;
  // A string that holds exactly one character.
  absl::StatusOr<std::string> Character(std::string_view name) const;
  // {"String": …} or {"Regex": …}.
  absl::StatusOr<Regex> Pattern(std::string_view name) const;
  // The members of a Sequence, kept in array `name`. Errors: kValidationFailed when nested too deep
  // or too many.
  absl::StatusOr<std::vector<Component>> Members(std::string_view name) const;

  // The error for member `name`.
  absl::Status Wrong(std::string_view name, std::string_view found,
                     std::string_view expected) const;
  // The error for a type that we do not know; `known` lists those that we do.
  absl::Status UnknownType(std::string_view known) const;

 private:
  Component(const nlohmann::json& json, std::string path, int depth)
      : json_(&json), path_(std::move(path)), depth_(depth) {}
  const nlohmann::json* Find(std::string_view name) const;  // null: absent or null

  const nlohmann::json* json_;
  std::string path_;
  std::string type_;
  int depth_ = 0;
};

// What a JSON value is, for messages: "a number", "null".
std::string_view KindOf(const nlohmann::json& json);

}  // namespace quantized::tokenizer
