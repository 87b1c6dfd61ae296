#include "core/hf/tokenizer/post_processor.h"

#include <string>

#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/hf/tokenizer/component_json.h"
#include "core/hf/tokenizer/file_error.h"
#include "core/hf/tokenizer/vocabulary.h"

namespace quantized::tokenizer {
namespace {

// Templates are a few items long; a token stands for a few ids.
constexpr size_t kMaxItems = 256;

struct Around {
  std::vector<uint32_t> before;
  std::vector<uint32_t> behind;
};

absl::StatusOr<uint32_t> TokenId(const Component& component, std::string_view field,
                                 const nlohmann::json& json) {
  if (!json.is_number_unsigned() || json.get<uint64_t>() >= Vocabulary::kMaxTokens) {
    return component.Wrong(field, json.is_number() ? json.dump() : std::string(KindOf(json)),
                           StrCat("a token id below ", Vocabulary::kMaxTokens));
  }
  return json.get<uint32_t>();
}

// The ids that `special_tokens` gives for token `name`.
absl::StatusOr<std::vector<uint32_t>> IdsOfToken(const Component& component,
                                                 const std::string& name) {
  const std::string field = StrCat("special_tokens[", Quoted(name), "]");
  const auto tokens = component.json().find("special_tokens");
  if (tokens == component.json().end() || !tokens->is_object() || !tokens->contains(name)) {
    return component.Wrong(field, "nothing", "the ids of a token that the template uses");
  }
  const nlohmann::json& token = (*tokens)[name];
  const auto ids = token.is_object() ? token.find("ids") : token.end();
  if (!token.is_object() || ids == token.end() || !ids->is_array() || ids->size() > kMaxItems) {
    return component.Wrong(field, KindOf(token), "an object with an array of ids");
  }
  std::vector<uint32_t> result;
  for (const nlohmann::json& id : *ids) {
    ASSIGN_OR_RETURN(const uint32_t value, TokenId(component, field, id));
    result.push_back(value);
  }
  return result;
}

absl::StatusOr<Around> ParseTemplate(const Component& component) {
  const auto single = component.json().find("single");
  if (single == component.json().end() || !single->is_array() || single->size() > kMaxItems) {
    return component.Wrong("single", "none, or no short array", "an array of template items");
  }
  Around around;
  bool text_seen = false;
  for (size_t i = 0; i < single->size(); ++i) {
    const nlohmann::json& item = (*single)[i];
    const std::string field = StrCat("single[", i, "]");
    if (!item.is_object() || item.size() != 1 || !item.begin()->is_object() ||
        !item.begin()->contains("id") || !(*item.begin())["id"].is_string()) {
      return component.Wrong(field, KindOf(item),
                             "{\"SpecialToken\" or \"Sequence\": {\"id\": …}}");
    }
    const std::string id = (*item.begin())["id"].get<std::string>();
    if (item.begin().key() == "Sequence") {
      if (text_seen || id != "A") {
        return component.Wrong(field, StrCat("sequence ", Quoted(id)), "sequence A, once");
      }
      text_seen = true;
    } else {
      ASSIGN_OR_RETURN(const std::vector<uint32_t> ids, IdsOfToken(component, id));
      std::vector<uint32_t>& side = text_seen ? around.behind : around.before;
      side.insert(side.end(), ids.begin(), ids.end());
    }
  }
  if (!text_seen) return component.Wrong("single", "no sequence A", "one");
  return around;
}

// Member `name` of Roberta's and Bert's processors: [text, id].
absl::StatusOr<uint32_t> PairId(const Component& component, const std::string& name) {
  const auto it = component.json().find(name);
  if (it == component.json().end() || !it->is_array() || it->size() != 2) {
    return component.Wrong(name, "none, or no pair", "a pair of text and id");
  }
  return TokenId(component, name, (*it)[1]);
}

absl::Status Append(const Component& component, Around* around) {
  if (component.type() == "Sequence") {
    ASSIGN_OR_RETURN(const std::vector<Component> members, component.Members("processors"));
    for (const Component& member : members) RETURN_IF_ERROR(Append(member, around));
    return absl::OkStatus();
  }
  if (component.type() == "ByteLevel") return absl::OkStatus();  // only moves offsets
  if (!around->before.empty() || !around->behind.empty()) {
    // To a second one what the first made is no single text any more.
    return component.Wrong("type", "a second processor that adds tokens", "one");
  }
  if (component.type() == "TemplateProcessing") {
    ASSIGN_OR_RETURN(*around, ParseTemplate(component));
  } else if (component.type() == "RobertaProcessing" || component.type() == "BertProcessing") {
    ASSIGN_OR_RETURN(const uint32_t cls, PairId(component, "cls"));
    ASSIGN_OR_RETURN(const uint32_t sep, PairId(component, "sep"));
    *around = {{cls}, {sep}};
  } else {
    return component.UnknownType(
        "Sequence, TemplateProcessing, ByteLevel, RobertaProcessing, BertProcessing");
  }
  return absl::OkStatus();
}

}  // namespace

nlohmann::json TemplateAround(const AddedToken* bos, const AddedToken* eos) {
  nlohmann::json tokens = nlohmann::json::object();
  const auto special = [&](const AddedToken* token, nlohmann::json* items) {
    if (token == nullptr) return;
    items->push_back({{"SpecialToken", {{"id", token->content}, {"type_id", 0u}}}});
    tokens[token->content] = {{"id", token->content},
                              {"ids", nlohmann::json::array({token->id})},
                              {"tokens", nlohmann::json::array({token->content})}};
  };
  const auto around = [&](const std::vector<std::string>& texts) {
    nlohmann::json items = nlohmann::json::array();
    special(bos, &items);
    for (const std::string& text : texts) {
      items.push_back({{"Sequence", {{"id", text}, {"type_id", 0u}}}});
    }
    special(eos, &items);
    return items;
  };
  const nlohmann::json single = around({"A"}), pair = around({"A", "B"});
  return {{"type", "TemplateProcessing"},
          {"single", single},
          {"pair", pair},
          {"special_tokens", tokens}};
}

absl::StatusOr<PostProcessor> PostProcessor::Parse(const nlohmann::json& json) {
  Around around;
  if (!json.is_null()) {
    ASSIGN_OR_RETURN(const Component component, Component::Of(json, "post_processor"));
    RETURN_IF_ERROR(Append(component, &around));
  }
  return PostProcessor(std::move(around.before), std::move(around.behind));
}

std::vector<uint32_t> PostProcessor::Apply(std::vector<uint32_t> ids) const {
  ids.insert(ids.begin(), before_.begin(), before_.end());
  ids.insert(ids.end(), behind_.begin(), behind_.end());
  return ids;
}

}  // namespace quantized::tokenizer
