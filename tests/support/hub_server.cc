#include "tests/support/hub_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <list>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <thread>
#include <utility>

#include "absl/strings/ascii.h"
#include "core/base/check.h"
#include "core/base/file.h"
#include "core/base/str_cat.h"
#include "tests/support/tls_front.h"

namespace quantized::testing {
namespace {

using nlohmann::json;

constexpr size_t kMaxRequestBytes = 64 << 10;

struct Listener {
  int fd = -1;
  int port = 0;
};

Listener Listen() {
  Listener listener;
  listener.fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  CHECK(listener.fd >= 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  CHECK(::bind(listener.fd, reinterpret_cast<sockaddr*>(&address), size) == 0);
  CHECK(::listen(listener.fd, 256) == 0);
  CHECK(::getsockname(listener.fd, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  listener.port = ntohs(address.sin_port);
  return listener;
}

bool SendAll(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

std::string Decoded(std::string_view text) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    unsigned byte = 0;
    if (text[i] == '%' && i + 2 < text.size() &&
        std::from_chars(&text[i + 1], &text[i + 3], byte, 16).ec == std::errc()) {
      decoded += static_cast<char>(byte);
      i += 2;
    } else {
      decoded += text[i];
    }
  }
  return decoded;
}

std::optional<HubRequest> ParseRequest(HubPort port, const std::string& text) {
  HubRequest request{.port = port};
  std::istringstream lines(text);
  std::string line, target;
  if (!std::getline(lines, line) || !(std::istringstream(line) >> request.method >> target)) {
    return std::nullopt;
  }
  constexpr std::string_view kScheme = "http://";
  if (target.starts_with(kScheme)) {
    const size_t slash = std::min(target.find('/', kScheme.size()), target.size());
    request.proxied_to = target.substr(kScheme.size(), slash - kScheme.size());
    target.erase(0, slash);
  }
  const size_t question = target.find('?');
  request.path = target.substr(0, question);
  if (question != std::string::npos) request.query = target.substr(question + 1);
  while (std::getline(lines, line)) {
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    std::string name = line.substr(0, colon);
    absl::AsciiStrToLower(&name);
    request.headers[name] = std::string(absl::StripAsciiWhitespace(line.substr(colon + 1)));
  }
  const std::string range = request.headers["range"];
  uint64_t begin = 0, last = 0;
  if (std::sscanf(range.c_str(), "bytes=%lu-%lu", &begin, &last) == 2) {
    request.range = {begin, last + 1};
  }
  return request;
}

std::string Head(std::string_view status, std::string_view headers, uint64_t length) {
  return StrCat("HTTP/1.1 ", status, "\r\nServer: hub\r\n", headers, "Content-Length: ", length,
                "\r\n\r\n");
}

std::string Refusal(std::string_view status, std::string_view code, std::string_view message) {
  const std::string body = json{{"error", std::string(message)}}.dump();
  std::string headers = "Content-Type: application/json\r\n";
  if (!code.empty()) StrAppend(&headers, "X-Error-Code: ", code, "\r\n");
  StrAppend(&headers, "X-Error-Message: ", message, "\r\n");
  return Head(status, headers, body.size()) + body;
}

std::string JsonAnswer(const json& body) {
  const std::string text = body.dump();
  return Head("200 OK", "Content-Type: application/json\r\n", text.size()) + text;
}

json InfoOf(const HubRepository& repository) {
  json siblings = json::array();
  for (const auto& [path, file] : repository.files) {
    json entry = {{"rfilename", path}, {"blobId", file.blob_id}, {"size", file.size_bytes}};
    if (file.lfs) {
      entry["lfs"] = {{"sha256", file.sha256}, {"size", file.size_bytes}, {"pointerSize", 134}};
    }
    siblings.push_back(std::move(entry));
  }
  return {{"id", repository.name},
          {"modelId", repository.name},
          {"sha", repository.Commit()},
          {"private", repository.is_private},
          {"gated", repository.gated ? json("auto") : json(false)},
          {"siblings", std::move(siblings)}};
}

json TreeOf(const HubRepository& repository) {
  json entries = json::array();
  for (const auto& [path, file] : repository.files) {
    json entry = {
        {"type", "file"}, {"oid", file.blob_id}, {"size", file.size_bytes}, {"path", path}};
    if (file.lfs) {
      entry["lfs"] = {{"oid", file.sha256}, {"size", file.size_bytes}, {"pointerSize", 134}};
    }
    entries.push_back(std::move(entry));
  }
  return entries;
}

}  // namespace

class HubServer::Impl {
 public:
  explicit Impl(HubScheme scheme) : hub_(Listen()), cdn_(Listen()) {
    if (scheme == HubScheme::kHttps) tls_.emplace();
    acceptors_.emplace_back([this] { AcceptAll(hub_.fd, HubPort::kHub); });
    acceptors_.emplace_back([this] { AcceptAll(cdn_.fd, HubPort::kCdn); });
  }

  ~Impl() {
    ::shutdown(hub_.fd, SHUT_RDWR);
    ::shutdown(cdn_.fd, SHUT_RDWR);
    acceptors_.clear();
    {
      const std::lock_guard lock(mutex_);
      for (const int fd : open_) ::shutdown(fd, SHUT_RDWR);
      gather_part_.reset();
      came_.notify_all();
    }
    connections_.clear();
    ::close(hub_.fd);
    ::close(cdn_.fd);
  }

  std::string UrlOf(const Listener& listener) const {
    return StrCat(tls_ ? "https" : "http", "://127.0.0.1:", listener.port);
  }

  const Listener hub_, cdn_;
  std::optional<TlsFront> tls_;
  mutable std::mutex mutex_;  // guards what follows
  mutable std::condition_variable came_;
  std::map<std::string, HubRepository> repositories_;
  // What repositories were before: their commits can still be asked for, and a file may be on its
  // way.
  std::list<HubRepository> older_;
  std::set<std::string> tokens_, public_tokens_;
  std::vector<HubFault> faults_;
  std::function<std::optional<std::string>(const HubRequest&)> override_;
  std::vector<HubRequest> requests_;
  std::optional<std::string> gather_part_;  // while requests are held
  size_t gather_count_ = 0, held_ = 0;
  bool gathered_ = false;

 private:
  void AcceptAll(int listener, HubPort port) {
    int fd;
    while ((fd = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC)) >= 0) {
      const int on = 1;
      ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      if (tls_) fd = tls_->Accept(fd);
      const std::lock_guard lock(mutex_);
      open_.insert(fd);
      connections_.emplace_back([this, fd, port] {
        Serve(fd, port);
        const std::lock_guard closing(mutex_);
        open_.erase(fd);
        ::close(fd);
      });
    }
  }

  void Serve(int fd, HubPort port) {
    std::string buffer;
    while (true) {
      const size_t end = buffer.find("\r\n\r\n");
      if (end == std::string::npos) {
        char piece[4096];
        const ssize_t got = ::recv(fd, piece, sizeof piece, 0);
        if (got <= 0 || buffer.size() > kMaxRequestBytes) return;
        buffer.append(piece, static_cast<size_t>(got));
        continue;
      }
      std::optional<HubRequest> request = ParseRequest(port, buffer.substr(0, end + 2));
      buffer.erase(0, end + 4);
      if (request && request->proxied_to == StrCat("127.0.0.1:", cdn_.port)) {
        request->port = HubPort::kCdn;
      }
      if (!request || !Answer(fd, *request)) return;
    }
  }

  // Until Gather's requests are there; `lock` is of mutex_.
  void Hold(const HubRequest& request, std::unique_lock<std::mutex>& lock) {
    if (!gather_part_ || request.path.find(*gather_part_) == std::string::npos) return;
    ++held_;
    if (held_ == gather_count_) {
      gathered_ = true;
      gather_part_.reset();
      came_.notify_all();
    }
    if (!came_.wait_for(lock, std::chrono::minutes(1), [this] { return !gather_part_; })) {
      gather_part_.reset();
      came_.notify_all();
    }
    --held_;
  }

  std::optional<HubFault> FaultFor(const HubRequest& request) {
    for (HubFault& fault : faults_) {
      if (fault.port != request.port || fault.times <= 0 ||
          request.path.find(fault.path_part) == std::string::npos) {
        continue;
      }
      const bool flip_elsewhere =
          fault.kind == HubFaultKind::kFlipByte && request.range &&
          (fault.at_byte < request.range->first || fault.at_byte >= request.range->second);
      if (flip_elsewhere) continue;
      if (fault.skip > 0) {
        --fault.skip;
        continue;
      }
      --fault.times;
      return fault;
    }
    return std::nullopt;
  }

  // False when the connection is to be closed.
  bool Answer(int fd, const HubRequest& request) {
    std::optional<HubFault> fault;
    std::optional<std::string> answer;
    const HubFile* file = nullptr;
    {
      std::unique_lock lock(mutex_);
      requests_.push_back(request);
      came_.notify_all();
      Hold(request, lock);
      if (override_) answer = override_(request);
      if (answer) {
        // As it is; an answer without a length ends with the connection.
      } else {
        fault = FaultFor(request);
        answer = request.port == HubPort::kHub ? AtHub(request, file) : AtCdn(request, file);
      }
    }
    const auto is = [&](HubFaultKind kind) { return fault && fault->kind == kind; };
    if (is(HubFaultKind::kCloseBeforeHeaders)) return false;
    if (is(HubFaultKind::kStallBeforeHeaders)) return WaitUntilGone(fd);
    if (is(HubFaultKind::kCloseInHeaders)) {
      SendAll(fd, "HTTP/1.1 200 OK\r\nContent-Le");
      return false;
    }
    if (is(HubFaultKind::kTooManyRequests)) {
      const std::string body = "slow down";
      return SendAll(fd, Head("429 Too Many Requests", "Retry-After: 7\r\n", body.size()) + body);
    }
    if (is(HubFaultKind::kServerError)) return SendAll(fd, Refusal("503 Gone Fishing", "", "busy"));
    if (is(HubFaultKind::kExpired)) return SendAll(fd, Refusal("403 Forbidden", "", "expired"));
    if (file == nullptr) {
      const size_t end = answer->find("\r\n\r\n");
      if (request.method == "HEAD" && end != std::string::npos) answer->resize(end + 4);
      return SendAll(fd, *answer) && answer->find("Content-Length: ") != std::string::npos;
    }
    return SendFile(fd, request, *file, *answer, fault);
  }

  bool MayRead(const HubRequest& request, const HubRepository& repository, bool contents,
               std::string& refusal) const {
    const auto found = request.headers.find("authorization");
    const std::string token =
        found == request.headers.end() ? "" : found->second.substr(std::string("Bearer ").size());
    if (!token.empty() && !tokens_.contains(token) && !public_tokens_.contains(token)) {
      refusal = Refusal("401 Unauthorized", "", "Invalid credentials in Authorization header");
    } else if (tokens_.contains(token)) {
      return true;
    } else if (repository.name.empty() || repository.is_private) {
      refusal = Refusal(token.empty() ? "401 Unauthorized" : "404 Not Found", "RepoNotFound",
                        "Repository not found");
    } else if (repository.gated && contents) {
      refusal = Refusal(token.empty() ? "401 Unauthorized" : "403 Forbidden", "GatedRepo",
                        "Access to the model is restricted");
    }
    return refusal.empty();
  }

  // The repository that the path names after `prefix`, and what follows its name.
  std::pair<const HubRepository*, std::string> Find(std::string_view path,
                                                    std::string_view prefix) const {
    for (const auto& [name, repository] : repositories_) {
      const std::string begin = StrCat(prefix, name);
      if (path.starts_with(begin) && (path.size() == begin.size() || path[begin.size()] == '/')) {
        return {&repository, std::string(path.substr(begin.size()))};
      }
    }
    return {nullptr, ""};
  }

  // What `now` was at `revision`; nullptr: there is no such revision.
  const HubRepository* At(const HubRepository& now, const std::string& revision) const {
    if (revision == now.revision || revision == now.Commit()) return &now;
    for (const HubRepository& before : older_) {
      if (before.name == now.name && before.Commit() == revision) return &before;
    }
    return nullptr;
  }

  // The answer; or, with `file`, the headers that belong to it, without those of its length.
  std::string AtHub(const HubRequest& request, const HubFile*& file) const {
    static const HubRepository kNone;
    const bool api = request.path.starts_with("/api/");
    const auto [found, rest] = Find(request.path, api ? "/api/models/" : "/");
    const HubRepository& now = found == nullptr ? kNone : *found;
    std::string refusal;
    const bool open = api || rest.ends_with("/README.md");
    if (!MayRead(request, now, !open, refusal)) return refusal;
    if (found == nullptr) return Refusal("404 Not Found", "RepoNotFound", "Repository not found");
    std::istringstream parts(rest.empty() ? rest : rest.substr(1));
    std::string verb, revision, path;
    std::getline(parts, verb, '/');
    std::getline(parts, revision, '/');
    std::getline(parts, path);
    revision = Decoded(revision);
    path = Decoded(path);
    const HubRepository* const chosen = verb.empty() ? &now : At(now, revision);
    if (chosen == nullptr) {
      return Refusal("404 Not Found", "RevisionNotFound", StrCat("Invalid rev id: ", revision));
    }
    const HubRepository& repository = *chosen;
    if (api && (verb.empty() || verb == "revision")) return JsonAnswer(InfoOf(repository));
    if (api && verb == "tree") return JsonAnswer(TreeOf(repository));
    const auto entry = repository.files.find(path);
    if (verb != "resolve" || entry == repository.files.end()) {
      return Refusal("404 Not Found", "EntryNotFound", "Entry not found");
    }
    const std::string commit = StrCat("X-Repo-Commit: ", repository.Commit(), "\r\n");
    if (!entry->second.lfs) {
      file = &entry->second;
      return StrCat(commit, "ETag: \"", file->hash(), "\"\r\n");
    }
    const HubFile& large = entry->second;
    return Head(
        "302 Found",
        StrCat(commit, "Location: ", UrlOf(cdn_), "/lfs/", large.sha256,
               "?X-Signature=very-secret-signature\r\nX-Linked-Etag: \"", large.sha256,
               "\"\r\nX-Linked-Size: ", large.size_bytes, "\r\nETag: \"", large.sha256, "\"\r\n"),
        0);
  }

  std::string AtCdn(const HubRequest& request, const HubFile*& file) const {
    for (const auto& [name, repository] : repositories_) {
      if ((file = LargeFile(repository, request.path)) != nullptr) break;
    }
    for (auto before = older_.begin(); file == nullptr && before != older_.end(); ++before) {
      file = LargeFile(*before, request.path);
    }
    if (file == nullptr) return Refusal("404 Not Found", "", "no such object");
    return StrCat("ETag: \"cdn-", file->sha256, "\"\r\n");
  }

  static const HubFile* LargeFile(const HubRepository& repository, std::string_view path) {
    for (const auto& [name, file] : repository.files) {
      if (file.lfs && path == StrCat("/lfs/", file.sha256)) return &file;
    }
    return nullptr;
  }

  bool SendFile(int fd, const HubRequest& request, const HubFile& file, std::string headers,
                const std::optional<HubFault>& fault) {
    const auto is = [&](HubFaultKind kind) { return fault && fault->kind == kind; };
    if (is(HubFaultKind::kAnotherFile) || is(HubFaultKind::kAnotherEtag)) {
      headers = "ETag: \"another\"\r\n";
    }
    uint64_t begin = 0, end = file.size_bytes;
    std::string status = "200 OK";
    const auto if_range = request.headers.find("if-range");
    const bool still = if_range == request.headers.end() ||
                       headers.find(StrCat("ETag: ", if_range->second)) != std::string::npos;
    if (request.range && still && !is(HubFaultKind::kNoRanges)) {
      begin = std::min(request.range->first, end);
      end = std::min(request.range->second, end);
      status = "206 Partial Content";
      const uint64_t shift = is(HubFaultKind::kWrongRange) ? 1 : 0;
      StrAppend(&headers, "Content-Range: bytes ", begin + shift, "-", end - 1 + shift, "/",
                file.size_bytes, "\r\n");
    }
    if (!SendAll(fd, Head(status, headers + "Accept-Ranges: bytes\r\n", end - begin))) return false;
    if (request.method == "HEAD") return true;
    uint64_t stop = end;
    if (is(HubFaultKind::kCloseInBody) || is(HubFaultKind::kStall)) {
      stop = std::min(end, begin + fault->at_byte);
    }
    if (is(HubFaultKind::kCloseBeforeEnd)) stop = end - 1;
    const bool sent = SendBytes(fd, file, begin, stop, fault);
    if (sent && is(HubFaultKind::kStall)) return WaitUntilGone(fd);
    return sent && stop == end;
  }

  // Until the other side, or the server, gives up. False: the connection is to be closed.
  static bool WaitUntilGone(int fd) {
    pollfd gone = {.fd = fd, .events = POLLRDHUP, .revents = 0};
    ::poll(&gone, 1, -1);
    return false;
  }

  static bool SendBytes(int fd, const HubFile& file, uint64_t begin, uint64_t end,
                        const std::optional<HubFault>& fault) {
    const bool intact = !fault || (fault->kind != HubFaultKind::kFlipByte &&
                                   fault->kind != HubFaultKind::kAnotherFile);
    if (file.path.empty()) {
      std::string bytes = file.bytes.substr(begin, end - begin);
      if (!intact && fault->kind == HubFaultKind::kAnotherFile) {
        for (char& c : bytes) c = static_cast<char>(c ^ 0x55);
      } else if (!intact && fault->at_byte >= begin && fault->at_byte < end) {
        bytes[fault->at_byte - begin] ^= 1;
      }
      return SendAll(fd, bytes);
    }
    const auto opened = File::OpenForRead(file.path);
    if (!opened.ok()) return false;
    off_t at = static_cast<off_t>(begin);
    while (static_cast<uint64_t>(at) < end) {
      const ssize_t sent = ::sendfile(fd, opened->fd(), &at, end - static_cast<uint64_t>(at));
      if (sent < 0 && errno == EINTR) continue;
      if (sent <= 0) return false;
    }
    return true;
  }

  std::set<int> open_;
  std::vector<std::jthread> connections_;
  std::vector<std::jthread> acceptors_;
};

HubServer::HubServer(HubScheme scheme) : impl_(std::make_unique<Impl>(scheme)) {}
HubServer::~HubServer() = default;

std::string HubServer::endpoint() const { return impl_->UrlOf(impl_->hub_); }
std::string HubServer::cdn() const { return impl_->UrlOf(impl_->cdn_); }
std::string HubServer::certificate() const { return impl_->tls_->certificate(); }

void HubServer::Add(HubRepository repository) {
  const std::lock_guard lock(impl_->mutex_);
  HubRepository& now = impl_->repositories_[repository.name];
  if (!now.name.empty()) impl_->older_.push_back(std::move(now));
  now = std::move(repository);
}

void HubServer::Accept(std::string token) {
  const std::lock_guard lock(impl_->mutex_);
  impl_->tokens_.insert(std::move(token));
}

void HubServer::AcceptForPublic(std::string token) {
  const std::lock_guard lock(impl_->mutex_);
  impl_->public_tokens_.insert(std::move(token));
}

void HubServer::Fail(HubFault fault) {
  const std::lock_guard lock(impl_->mutex_);
  impl_->faults_.push_back(std::move(fault));
}

void HubServer::StopFailing() {
  const std::lock_guard lock(impl_->mutex_);
  impl_->faults_.clear();
}

void HubServer::Override(std::function<std::optional<std::string>(const HubRequest&)> answer) {
  const std::lock_guard lock(impl_->mutex_);
  impl_->override_ = std::move(answer);
}

void HubServer::Gather(std::string path_part, size_t count) {
  const std::lock_guard lock(impl_->mutex_);
  impl_->gather_part_ = std::move(path_part);
  impl_->gather_count_ = count;
  impl_->gathered_ = false;
}

bool HubServer::gathered() const {
  const std::lock_guard lock(impl_->mutex_);
  return impl_->gathered_;
}

std::vector<HubRequest> HubServer::requests() const {
  const std::lock_guard lock(impl_->mutex_);
  return impl_->requests_;
}

void HubServer::ForgetRequests() {
  const std::lock_guard lock(impl_->mutex_);
  impl_->requests_.clear();
}

bool HubServer::WaitForRequests(std::string_view path_part, size_t count) const {
  std::unique_lock lock(impl_->mutex_);
  return impl_->came_.wait_for(lock, std::chrono::minutes(1), [&] {
    const auto matches = [&](const HubRequest& request) {
      return request.path.find(path_part) != std::string::npos;
    };
    return static_cast<size_t>(std::ranges::count_if(impl_->requests_, matches)) >= count;
  });
}

}  // namespace quantized::testing
