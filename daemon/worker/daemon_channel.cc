#include "daemon/worker/daemon_channel.h"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>
#include <string_view>

#include "core/base/status_macros.h"

namespace quantized {

absl::Status DaemonChannel::Send(const v1::WorkerFrame& frame) {
  ASSIGN_OR_RETURN(const std::string bytes, EncodeFrame(frame));
  std::string_view unsent = bytes;
  MutexLock lock(mutex_);
  while (!unsent.empty()) {
    const ssize_t sent = send(socket_, unsent.data(), unsent.size(), MSG_NOSIGNAL);
    if (sent >= 0) {
      unsent.remove_prefix(static_cast<size_t>(sent));
    } else if (errno != EINTR) {
      _exit(kDaemonGone);
    }
  }
  return absl::OkStatus();
}

v1::DaemonFrame DaemonChannel::Receive() {
  for (;;) {
    if (std::optional<v1::DaemonFrame> frame = Next()) return *std::move(frame);
    ReadSome(/*flags=*/0);
  }
}

std::optional<v1::DaemonFrame> DaemonChannel::TryReceive() {
  for (;;) {
    std::optional<v1::DaemonFrame> frame = Next();
    if (frame.has_value() || !ReadSome(MSG_DONTWAIT)) return frame;
  }
}

std::optional<v1::DaemonFrame> DaemonChannel::Next() {
  absl::StatusOr<std::optional<v1::DaemonFrame>> frame = reader_.Next<v1::DaemonFrame>();
  if (!frame.ok()) _exit(kDaemonGone);
  return *std::move(frame);
}

bool DaemonChannel::ReadSome(int flags) {
  std::array<char, 4096> bytes;
  const ssize_t size = recv(socket_, bytes.data(), bytes.size(), flags);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (size <= 0) _exit(kDaemonGone);
  reader_.Append({bytes.data(), static_cast<size_t>(size)});
  return true;
}

}  // namespace quantized
