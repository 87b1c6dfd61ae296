#include "daemon/hub/http.h"

#include <curl/curl.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "absl/strings/ascii.h"
#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/str_cat.h"
#include "core/base/version.h"
#include "daemon/hub/url.h"

namespace quantized {
namespace {

constexpr int kMaxRedirects = 10;
constexpr size_t kMaxHeaderBytes = 256 << 10;
constexpr size_t kMaxErrorBodyBytes = 64 << 10;
constexpr long kReceiveBufferBytes = 256 << 10;

// Faults that another attempt may not meet.
constexpr std::array kPassingFaults = {CURLE_COULDNT_RESOLVE_HOST, CURLE_COULDNT_RESOLVE_PROXY,
                                       CURLE_COULDNT_CONNECT,      CURLE_PARTIAL_FILE,
                                       CURLE_OPERATION_TIMEDOUT,   CURLE_GOT_NOTHING,
                                       CURLE_SEND_ERROR,           CURLE_RECV_ERROR,
                                       CURLE_SSL_CONNECT_ERROR,    CURLE_HTTP2,
                                       CURLE_HTTP2_STREAM,         CURLE_WEIRD_SERVER_REPLY};

bool IsPassing(int status) {
  return status == 408 || status == 425 || status == 429 || (status >= 500 && status != 501);
}

bool IsRedirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

class HeaderList {
 public:
  ~HeaderList() { curl_slist_free_all(list_); }
  void Add(const std::string& line) {
    curl_slist* longer = curl_slist_append(list_, line.c_str());
    CHECK(longer != nullptr);
    list_ = longer;
  }
  curl_slist* get() const { return list_; }

 private:
  curl_slist* list_ = nullptr;
};

struct EasyCleanup {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};

template <typename Value>
void Set(CURL* easy, CURLoption option, Value value) {
  CHECK(curl_easy_setopt(easy, option, value) == CURLE_OK);
}

}  // namespace

absl::Status DownloadCancelled() {
  return MakeError(Error::kCancelled, "the download was cancelled");
}

bool IsContentRange(std::string_view text, ByteRange range, uint64_t size_bytes) {
  return text == StrCat("bytes ", range.begin, "-", range.end - 1, "/", size_bytes);
}

std::string HttpResponse::Header(const std::string& name) const {
  const auto found = headers.find(name);
  return found == headers.end() ? "" : found->second;
}

// Keeps the connections.
struct HttpClient::Handles {
  CURLM* multi = nullptr;

  Handles() {
    static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
    CHECK(ready == CURLE_OK);
    multi = curl_multi_init();
    CHECK(multi != nullptr);
  }
  ~Handles() { curl_multi_cleanup(multi); }
};

// What curl's callbacks need to know of the request under way.
struct HttpClient::Transfer {
  CURL* easy;
  const BodySink& sink;
  HttpResult result;
  size_t header_bytes = 0;
  size_t error_bytes = 0;
  bool headers_ended = false;
  char error_text[CURL_ERROR_SIZE] = {};

  static size_t OnHeader(char* data, size_t, size_t size, void* self) {
    return static_cast<Transfer*>(self)->TakeHeader({data, size}) ? size : 0;
  }
  static size_t OnBody(char* data, size_t, size_t size, void* self) {
    return static_cast<Transfer*>(self)->TakeBody({data, size}) ? size : 0;
  }

  void ReadStatus() {
    long status = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    result.response.status = static_cast<int>(status);
  }

  bool TakeHeader(std::string_view line) {
    header_bytes += line.size();
    if (header_bytes > kMaxHeaderBytes) {
      result.transfer = MakeError(Error::kIo, StrCat("the headers of the response are longer than ",
                                                     kMaxHeaderBytes, " bytes"));
      return false;
    }
    if (line == "\r\n" || line == "\n") headers_ended = true;
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) return true;
    const absl::string_view value(line.data() + colon + 1, line.size() - colon - 1);
    std::string name(line.substr(0, colon));
    absl::AsciiStrToLower(&name);
    result.response.headers[name] = std::string(absl::StripAsciiWhitespace(value));
    return true;
  }

  bool TakeBody(std::string_view bytes) {
    HttpResponse& response = result.response;
    if (response.status == 0) ReadStatus();
    if (response.succeeded()) {
      result.transfer = sink(response, std::as_bytes(std::span(bytes)));
      return result.transfer.ok();
    }
    // Nobody reads it; a short one leaves the connection for the next request.
    error_bytes += bytes.size();
    return error_bytes <= kMaxErrorBodyBytes;
  }
};

HttpClient::HttpClient(const HttpSettings& settings, std::stop_token stop)
    : settings_(settings), stop_(std::move(stop)), handles_(std::make_unique<Handles>()) {}

HttpClient::~HttpClient() = default;

HttpResult HttpClient::Get(const HttpRequest& request, const BodySink& sink) {
  std::map<std::string, std::string> linked;
  std::string url = request.url;
  for (int hop = 0; hop <= kMaxRedirects; ++hop) {
    HttpResult result = GetOnce(request, url, linked, sink);
    const std::string location = result.response.Header("location");
    for (const auto& [name, value] : result.response.headers) {
      if (name.starts_with("x-linked-")) linked[name] = value;
    }
    if (!result.transfer.ok() || !IsRedirect(result.response.status)) return result;
    const std::optional<std::string> next = ResolveLocation(url, location);
    if (!next || (!IsHttps(*next) && IsHttps(settings_.endpoint))) {
      result.transfer = MakeError(Error::kIo, StrCat(PublicUrl(url), " redirects to ",
                                                     next ? PublicUrl(*next) : "no URL of http",
                                                     ", expected one of https"));
      return result;
    }
    url = *next;
  }
  HttpResult result;
  result.transfer = MakeError(
      Error::kIo, StrCat(PublicUrl(request.url), " redirects more than ", kMaxRedirects, " times"));
  return result;
}

HttpResult HttpClient::GetOnce(const HttpRequest& request, const std::string& url,
                               const std::map<std::string, std::string>& linked,
                               const BodySink& sink) {
  // One for each request: what a failed one leaves behind in its handle, as the receive buffer
  // after a name that was not found, makes curl refuse options for the next.
  const std::unique_ptr<CURL, EasyCleanup> handle(curl_easy_init());
  CURL* const easy = handle.get();
  CHECK(easy != nullptr);
  Transfer transfer{.easy = easy, .sink = sink, .result = {}};
  transfer.result.response.url = url;
  transfer.result.response.headers = linked;
  if (stop_.stop_requested()) {
    transfer.result.transfer = DownloadCancelled();
    return std::move(transfer.result);
  }

  HeaderList headers;
  headers.Add("Accept-Encoding: identity");  // ranges and sizes are those of the file
  if (!settings_.token.empty() && OriginOf(url) == OriginOf(settings_.endpoint)) {
    headers.Add(StrCat("Authorization: Bearer ", settings_.token));
  }
  if (request.range) {
    Set(easy, CURLOPT_RANGE, StrCat(request.range->begin, "-", request.range->end - 1).c_str());
    if (!request.if_range.empty() && OriginOf(url) == request.if_range_origin) {
      headers.Add(StrCat("If-Range: ", request.if_range));
    }
  }
  Set(easy, CURLOPT_URL, url.c_str());
  Set(easy, CURLOPT_HTTPHEADER, headers.get());
  Set(easy, CURLOPT_USERAGENT, StrCat("llm-quantize/", kVersion).c_str());
  Set(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  Set(easy, CURLOPT_FOLLOWLOCATION, 0L);
  Set(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  if (const std::filesystem::path& trusted = settings_.certificates; !trusted.empty()) {
    // OpenSSL takes several folders in one text.
    std::error_code ignored;
    const bool is_folder = std::filesystem::is_directory(trusted, ignored) || !Exists(trusted);
    Set(easy, is_folder ? CURLOPT_CAPATH : CURLOPT_CAINFO, trusted.c_str());
  }
  Set(easy, CURLOPT_NOSIGNAL, 1L);
  Set(easy, CURLOPT_CONNECTTIMEOUT, static_cast<long>(settings_.connect_timeout.count()));
  Set(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
  Set(easy, CURLOPT_LOW_SPEED_TIME, static_cast<long>(settings_.stall_timeout.count()));
  Set(easy, CURLOPT_BUFFERSIZE, kReceiveBufferBytes);
  Set(easy, CURLOPT_ERRORBUFFER, transfer.error_text);
  Set(easy, CURLOPT_HEADERFUNCTION, &Transfer::OnHeader);
  Set(easy, CURLOPT_HEADERDATA, &transfer);
  Set(easy, CURLOPT_WRITEFUNCTION, &Transfer::OnBody);
  Set(easy, CURLOPT_WRITEDATA, &transfer);

  CURLM* const multi = handles_->multi;
  CHECK(curl_multi_add_handle(multi, easy) == CURLM_OK);
  CURLcode code = CURLE_OK;
  {
    const std::stop_callback wake(stop_, [multi] { curl_multi_wakeup(multi); });
    int running = 1;
    while (running > 0 && !stop_.stop_requested()) {
      CHECK(curl_multi_perform(multi, &running) == CURLM_OK);
      if (running > 0) CHECK(curl_multi_poll(multi, nullptr, 0, 1000, nullptr) == CURLM_OK);
    }
    int left = 0;
    if (const CURLMsg* message = curl_multi_info_read(multi, &left)) code = message->data.result;
  }
  curl_multi_remove_handle(multi, easy);
  transfer.ReadStatus();

  HttpResult& result = transfer.result;
  if (stop_.stop_requested()) {
    result.transfer = DownloadCancelled();
    return std::move(result);
  }
  // curl takes a connection that ends among the headers for the end of them.
  if (code == CURLE_OK && !transfer.headers_ended) code = CURLE_GOT_NOTHING;
  // A sink that failed and an error's body that is too long end as write errors: told already.
  if (code != CURLE_OK && result.transfer.ok() && code != CURLE_WRITE_ERROR) {
    const std::string why =
        transfer.error_text[0] != '\0' ? transfer.error_text : curl_easy_strerror(code);
    result.transfer = MakeError(
        Error::kIo, StrCat("cannot read ", PublicUrl(url), ": ", why),
        "Check the network, the proxy and HF_ENDPOINT; HF_HUB_OFFLINE=1 uses what is in the cache");
    result.may_retry =
        std::find(kPassingFaults.begin(), kPassingFaults.end(), code) != kPassingFaults.end();
  } else if (result.transfer.ok()) {
    result.may_retry = IsPassing(result.response.status);
  }
  return std::move(result);
}

}  // namespace quantized
