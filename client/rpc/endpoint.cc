#include "client/rpc/endpoint.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <charconv>
#include <cstring>
#include <filesystem>

#include "core/base/error.h"

namespace quantized {
namespace {

constexpr std::string_view kUnixPrefix = "unix:";
constexpr std::string_view kForms = "Use unix:PATH or HOST:PORT, for example gpu-box:7420";

absl::StatusOr<Endpoint> ParseUnix(std::string_view path) {
  if (path.starts_with("//")) path.remove_prefix(2);  // unix:///path, as URLs have it
  if (path.empty()) {
    return MakeError(Error::kInvalidArgument, "the host 'unix:' names no path", kForms);
  }
  const std::string absolute = std::filesystem::absolute(path).lexically_normal();
  if (absolute.size() >= sizeof(sockaddr_un::sun_path)) {
    return MakeError(
        Error::kInvalidArgument,
        fmt::format("the socket path '{}' has {} characters, more than the {} that Linux takes",
                    absolute, absolute.size(), sizeof(sockaddr_un::sun_path) - 1));
  }
  return Endpoint{Endpoint::Kind::kNamed, std::string(kUnixPrefix) + absolute};
}

}  // namespace

absl::StatusOr<Endpoint> ParseHost(std::string_view host) {
  if (host.starts_with(kUnixPrefix)) return ParseUnix(host.substr(kUnixPrefix.size()));
  const size_t colon = host.rfind(':');
  const std::string_view name = host.substr(0, colon);
  int port = 0;
  if (colon != std::string_view::npos) {
    const std::string_view digits = host.substr(colon + 1);
    const auto [end, error] = std::from_chars(digits.begin(), digits.end(), port);
    if (error != std::errc() || end != digits.end()) port = 0;
  }
  const bool bracketed = name.starts_with('[') && name.ends_with(']');
  const bool plain = name.find_first_of(":/[] ") == std::string_view::npos;
  if (name.empty() || !(bracketed || plain) || port < 1 || port > 65535) {
    return MakeError(Error::kInvalidArgument, fmt::format("'{}' is not an address", host), kForms);
  }
  return Endpoint{Endpoint::Kind::kNamed, "dns:///" + std::string(host)};
}

bool SocketAnswers(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) return false;
  std::memcpy(address.sun_path, path.data(), path.size());
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return false;
  const int result = connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  // A full backlog (EAGAIN) is a busy daemon, not a missing one.
  const bool answers = result == 0 || errno == EAGAIN;
  close(fd);
  return answers;
}

}  // namespace quantized
