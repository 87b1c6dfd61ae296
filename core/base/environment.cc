#include "core/base/environment.h"

#include <unistd.h>

#include <algorithm>
#include <array>

#include "absl/strings/ascii.h"

namespace quantized {
namespace {

// Parts of names: HF_TOKEN, HUGGING_FACE_HUB_TOKEN, AWS_SECRET_ACCESS_KEY, PGPASSWORD, …
constexpr std::array<std::string_view, 7> kSecretNameParts = {
    "TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL", "API_KEY", "ACCESS_KEY"};

bool SpeaksOfSecrets(std::string_view variable) {
  std::string name(variable.substr(0, variable.find('=')));
  absl::AsciiStrToUpper(&name);
  return std::ranges::any_of(kSecretNameParts, [&](std::string_view part) {
    return name.find(part) != std::string::npos;
  });
}

}  // namespace

Environment ProcessEnvironment() {
  Environment environment;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const size_t equals = text.find('=');
    if (equals == std::string_view::npos) continue;
    environment.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return environment;
}

std::string_view Lookup(const Environment& environment, std::string_view name) {
  const auto found = environment.find(name);
  return found == environment.end() ? std::string_view() : std::string_view(found->second);
}

std::vector<std::string> WithoutSecrets(char* const* environment) {
  std::vector<std::string> kept;
  for (; *environment != nullptr; ++environment) {
    if (!SpeaksOfSecrets(*environment)) kept.emplace_back(*environment);
  }
  return kept;
}

}  // namespace quantized
