#include "core/hf/chat_template/call.h"

#include "core/base/str_cat.h"

namespace quantized::jinja {

absl::Status Work::Charge(size_t bytes) {
  if (bytes > left_) return Refuse("more work than is granted to one conversation");
  left_ -= bytes;
  return absl::OkStatus();
}

ArgumentReader::ArgumentReader(std::string_view call, const CallArguments& arguments)
    : call_(call), arguments_(arguments) {}

const Value* ArgumentReader::Next(std::string_view name) {
  const size_t place = places_++;
  if (place < arguments_.positional.size()) return &arguments_.positional[place];
  for (const auto& [key, value] : arguments_.named) {
    if (key == name) {
      ++named_;
      return &value;
    }
  }
  return nullptr;
}

absl::StatusOr<std::string> ArgumentReader::Text(std::string_view name) {
  const Value* value = Next(name);
  const auto* text = value == nullptr ? nullptr : value->As<std::string>();
  if (text == nullptr) return Wrong(name, value, "str");
  return *text;
}

absl::Status ArgumentReader::Check() const {
  if (arguments_.positional.size() <= places_ && arguments_.named.size() == named_) {
    return absl::OkStatus();
  }
  return Refuse(StrCat(call_, ": arguments that are not known here"));
}

absl::Status ArgumentReader::Wrong(std::string_view name, const Value* found,
                                   std::string_view expected) const {
  return Refuse(StrCat(call_, ": argument ", name, " is ",
                       found == nullptr ? "missing" : KindOf(*found), ", expected ", expected));
}

}  // namespace quantized::jinja
