#include "core/hf/chat_template/items.h"

#include <algorithm>
#include <optional>

#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/hf/chat_template/methods.h"
#include "core/tensor/text.h"

namespace quantized::jinja {

absl::StatusOr<Value> GetItem(const Value& value, const Value& index, Work& work) {
  if (const auto* undefined = value.As<Undefined>()) {
    return Refuse(StrCat("\"", PrintableName(undefined->name), "\" is undefined, so has no items"));
  }
  if (const auto* name = index.As<std::string>()) {
    if (const Dict* dict = value.AsDict()) {
      RETURN_IF_ERROR(work.Charge(dict->members.size()));
      if (const Value* member = FindMember(*dict, *name)) return *member;
    }
    // Jinja looks for an attribute of that name next; there, too, a member is none.
    return GetAttribute(value, *name, work);
  }
  const std::optional<int64_t> place = AsIndex(index);
  if (!place.has_value()) return Refuse(StrCat("an index that is a ", KindOf(index)));
  const auto at = [&](size_t size) -> std::optional<size_t> {
    const int64_t i = *place < 0 ? *place + static_cast<int64_t>(size) : *place;
    if (i < 0 || static_cast<uint64_t>(i) >= size) return std::nullopt;
    return static_cast<size_t>(i);
  };
  if (const List* list = value.AsList()) {
    if (const auto i = at(list->items.size())) return list->items[*i];
  } else if (const auto* text = value.As<std::string>()) {
    RETURN_IF_ERROR(work.Charge(text->size()));
    const std::vector<std::string_view> characters = Characters(*text);
    if (const auto i = at(characters.size())) return Value(std::string(characters[*i]));
  }
  return Value(Undefined{StrCat("item ", *place)});
}

absl::StatusOr<Value> GetSlice(const Value& value, const Value& begin, const Value& end,
                               const Value& step) {
  std::vector<std::string_view> characters;
  const List* list = value.AsList();
  const auto* text = value.As<std::string>();
  if (text != nullptr) characters = Characters(*text);
  if (list == nullptr && text == nullptr) return Refuse(StrCat("a slice of a ", KindOf(value)));
  const auto size = static_cast<int64_t>(list ? list->items.size() : characters.size());
  for (const Value* bound : {&begin, &end, &step}) {
    if (!bound->IsNone() && !AsIndex(*bound).has_value()) {
      return Refuse(StrCat("a slice with a bound that is a ", KindOf(*bound)));
    }
  }
  const int64_t stride = AsIndex(step).value_or(1);
  if (stride == 0) return Refuse("a slice with step 0");
  // Where Python begins and ends: bounds from behind, then clamped.
  const auto bound = [&](const Value& given, int64_t absent) {
    const auto index = AsIndex(given);
    if (!index.has_value()) return absent;
    const int64_t low = stride > 0 ? 0 : -1, high = stride > 0 ? size : size - 1;
    return std::clamp(*index < 0 ? *index + size : *index, low, high);
  };
  const int64_t first = bound(begin, stride > 0 ? 0 : size - 1);
  const int64_t last = bound(end, stride > 0 ? size : -1);
  std::string part;
  std::vector<Value> items;
  for (int64_t i = first; stride > 0 ? i < last : i > last;) {
    if (list != nullptr) {
      items.push_back(list->items[static_cast<size_t>(i)]);
    } else {
      part += characters[static_cast<size_t>(i)];
    }
    if (stride > size || stride < -size) break;  // no second one, and no overflow
    i += stride;
  }
  if (list != nullptr) return MakeList(std::move(items));
  return Value(std::move(part));
}

absl::StatusOr<std::vector<Value>> ItemsOf(const Value& value, Work& work) {
  std::vector<Value> items;
  if (const List* list = value.AsList()) {
    RETURN_IF_ERROR(work.Charge(64 * list->items.size()));
    items = list->items;
  } else if (const auto* text = value.As<std::string>()) {
    RETURN_IF_ERROR(work.Charge(64 * text->size()));
    for (const std::string_view c : Characters(*text)) items.emplace_back(std::string(c));
  } else if (const Dict* dict = value.AsDict(); dict && !dict->is_namespace && !dict->is_loop) {
    RETURN_IF_ERROR(work.Charge(64 * dict->members.size()));
    for (const auto& [name, member] : dict->members) items.emplace_back(name);
  } else if (!value.IsUndefined()) {
    return Refuse(StrCat("a loop over a ", KindOf(value)));
  }
  return items;
}

}  // namespace quantized::jinja
