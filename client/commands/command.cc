#include "client/commands/command.h"

#include <charconv>
#include <utility>

#include "core/base/check.h"

namespace quantized {

const Values::Value& Values::ValueOf(std::string_view name) const {
  const auto found = values_.find(name);
  CHECK(found != values_.end());
  return found->second;
}

bool Values::Has(std::string_view name) const { return ValueOf(name).given; }

const std::string& Values::Text(std::string_view name) const { return ValueOf(name).text; }

const std::vector<std::string>& Values::Texts(std::string_view name) const {
  return ValueOf(name).texts;
}

uint64_t Values::Count(std::string_view name) const {
  const std::string& text = Text(name);
  uint64_t count = 0;
  std::from_chars(text.data(), text.data() + text.size(), count);
  return count;
}

void Values::Set(std::string_view name, std::string value, bool given) {
  values_.insert_or_assign(std::string(name), Value{.text = std::move(value), .given = given});
}

void Values::SetAll(std::string_view name, std::vector<std::string> values) {
  const bool given = !values.empty();
  values_.insert_or_assign(std::string(name), Value{.texts = std::move(values), .given = given});
}

ConnectionOptions ConnectionFor(const CommandContext& context, bool may_start) {
  ConnectionOptions options;
  options.host = context.host;
  options.environment = context.environment;
  options.daemon_program = context.program_dir / "quantized";
  options.may_start = may_start;
  return options;
}

}  // namespace quantized
