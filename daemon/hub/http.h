// One HTTP request at a time, over libcurl. Redirects are followed here, not by curl: the token
// goes to the endpoint's own scheme, host and port and nowhere else, and a redirect from https to
// http is refused. Proxies are those of curl's environment variables (https_proxy, no_proxy, …).
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace quantized {

struct HttpSettings {
  std::string endpoint;
  std::string token;                   // a secret; empty for none
  std::filesystem::path certificates;  // as HubSettings has them
  std::chrono::seconds connect_timeout{15};
  // A transfer that brings nothing for so long has failed.
  std::chrono::seconds stall_timeout{30};
};

struct ByteRange {
  uint64_t begin = 0;
  uint64_t end = 0;  // the byte after the last
  uint64_t size_bytes() const { return end - begin; }
};

// Whether `text`, a Content-Range, is "bytes 0-9/100": `range` of a file of `size_bytes`.
bool IsContentRange(std::string_view text, ByteRange range, uint64_t size_bytes);

struct HttpRequest {
  std::string url;
  std::optional<ByteRange> range;
  // An ETag: the range only if it is still this. Sent to the origin (OriginOf) that named it only:
  // another's names are its own. Empty for none.
  std::string if_range, if_range_origin;
};

struct HttpResponse {
  int status = 0;   // 0: none came
  std::string url;  // who answered, after redirects
  // Of the last hop; of those before only what they say of the file they redirect to (X-Linked-…).
  // Names in lower case.
  std::map<std::string, std::string> headers;

  // "" where there is none.
  std::string Header(const std::string& name) const;
  bool succeeded() const { return status >= 200 && status < 300; }
};

struct HttpResult {
  HttpResponse response;
  // OK when a whole response came, of whatever status; else what the body sink returned,
  // kCancelled, or kIo for a fault of the connection.
  absl::Status transfer;
  // Whether the same request may well succeed later: faults of connections, 408, 429, 5xx.
  bool may_retry = false;
};

// kCancelled: what a stop makes of a download, wherever it is noticed.
absl::Status DownloadCancelled();

// Takes a part of the body of a success, whose status and headers are in the response. A failure
// ends the transfer.
using BodySink = std::function<absl::Status(const HttpResponse&, std::span<const std::byte>)>;

// Keeps its connections for the next request. For one thread; `stop` may come from any.
class HttpClient {
 public:
  HttpClient(const HttpSettings& settings, std::stop_token stop);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // Sends a GET. A stop ends it at once.
  HttpResult Get(const HttpRequest& request, const BodySink& sink);

  const HttpSettings& settings() const { return settings_; }
  const std::stop_token& stop() const { return stop_; }

 private:
  struct Handles;
  struct Transfer;

  // Without redirects. `linked`: what the hops before said of the file.
  HttpResult GetOnce(const HttpRequest& request, const std::string& url,
                     const std::map<std::string, std::string>& linked, const BodySink& sink);

  const HttpSettings settings_;
  const std::stop_token stop_;
  std::unique_ptr<Handles> handles_;
};

}  // namespace quantized
