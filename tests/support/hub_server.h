// The Hugging Face Hub on the loopback, for tests, and a proxy to it: serves repositories over HTTP
// as the Hub does, with its headers, its errors and its redirect of large files to another host
// (here, another port: the CDN), remembers every request, and fails as a test asks it to.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/hub_repository.h"

namespace quantized::testing {

enum class HubPort { kHub, kCdn };

struct HubRequest {
  HubPort port = HubPort::kHub;
  std::string method, path, query;
  // "host:port" where it came as to a proxy: with a whole URL, of which the above is the rest.
  std::string proxied_to;
  std::map<std::string, std::string> headers;  // names in lower case
  // Of the Range header, the byte after the last included.
  std::optional<std::pair<uint64_t, uint64_t>> range;
};

enum class HubFaultKind {
  kCloseBeforeHeaders,
  kCloseInHeaders,
  kCloseInBody,     // after `at_byte` bytes of it
  kCloseBeforeEnd,  // one byte before its end
  kStall,           // sends `at_byte` bytes of the body, then nothing
  kStallBeforeHeaders,
  kTooManyRequests,  // 429 with Retry-After: 7
  kServerError,      // 503
  kExpired,          // 403, as a signed URL that is too old
  kFlipByte,         // the byte at `at_byte` of the file
  kAnotherFile,      // bytes and ETag of another file of the same size
  kAnotherEtag,      // the right bytes
  kNoRanges,         // whole files only
  kWrongRange,       // says that the bytes are those one further
};

struct HubFault {
  HubFaultKind kind;
  HubPort port = HubPort::kCdn;
  std::string path_part;  // of requests whose path holds this
  int times = 1;          // and then no more
  uint64_t at_byte = 0;
  uint64_t skip = 0;  // so many such requests go well before
};

enum class HubScheme { kHttp, kHttps };

// Ports are free ones. Thread-safe. The destructor ends all connections.
class HubServer {
 public:
  explicit HubServer(HubScheme scheme = HubScheme::kHttp);
  ~HubServer();
  HubServer(const HubServer&) = delete;
  HubServer& operator=(const HubServer&) = delete;

  std::string endpoint() const;  // "http://127.0.0.1:PORT"
  std::string cdn() const;
  // With kHttps: what a client has to trust, in PEM.
  std::string certificate() const;

  void Add(HubRepository repository);
  // Who has it may read gated and private repositories; other tokens are refused.
  void Accept(std::string token);
  // A token that is valid, but may read what is public only.
  void AcceptForPublic(std::string token);
  void Fail(HubFault fault);
  // Forgets the faults that are still to come.
  void StopFailing();
  // What `answer` gives is sent as it is instead of the response.
  void Override(std::function<std::optional<std::string>(const HubRequest&)> answer);

  // Holds requests with `path_part` until `count` of them are there at once; then no more.
  void Gather(std::string path_part, size_t count);
  // Whether they were; when that takes a minute, all are let go.
  bool gathered() const;

  std::vector<HubRequest> requests() const;
  void ForgetRequests();
  // Blocks until `count` requests with `path_part` came in; false when that takes a minute.
  bool WaitForRequests(std::string_view path_part, size_t count) const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace quantized::testing
