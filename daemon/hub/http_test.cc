#include "daemon/hub/http.h"

#include <cstdlib>
#include <thread>

#include "daemon/hub/hub_test.h"
#include "daemon/hub/url.h"

namespace quantized {
namespace {

using ::testing::HasSubstr;
using testing::HubPort;
using testing::HubRequest;

TEST(UrlTest, Parts) {
  EXPECT_EQ(OriginOf("https://Hub.co/a?b"), "https://hub.co:443");
  EXPECT_EQ(OriginOf("http://hub.co:81"), "http://hub.co:81");
  EXPECT_EQ(OriginOf("file:///etc/passwd"), std::nullopt);
  EXPECT_EQ(ResolveLocation("https://a/b/c", "/d?e"), "https://a/d?e");
  EXPECT_EQ(ResolveLocation("https://a/b/c", "//x/d"), "https://x/d");
  EXPECT_EQ(ResolveLocation("https://a/b/c", "file:///etc/passwd"), std::nullopt);
  EXPECT_EQ(ResolveLocation("https://a/b/c", ""), std::nullopt);
  EXPECT_EQ(PercentEncode("refs/pr 4", false), "refs%2Fpr%204");
  EXPECT_EQ(PercentEncode("a/b#c", true), "a/b%23c");
  EXPECT_EQ(PublicUrl("https://me:pw@a/b?Signature=x#y"), "https://a/b");
}

class HttpTest : public HubTest {
 protected:
  HttpSettings Settings() { return {.endpoint = server_.endpoint(), .token = "hf_canary"}; }

  // The body of `path` at the Hub, or what went wrong.
  HttpResult Get(const std::string& url, HttpSettings settings, std::stop_token stop = {}) {
    body_.clear();
    HttpClient client(settings, stop);
    return client.Get({.url = url},
                      [&](const HttpResponse& head, std::span<const std::byte> bytes) {
                        linked_ = head.Header("x-linked-etag");
                        body_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
                        return absl::OkStatus();
                      });
  }

  static std::string Redirect(const std::string& location) {
    return "HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + location + "\r\n\r\n";
  }

  std::string body_, linked_;
};

TEST_F(HttpTest, TheTokenStaysAtTheEndpoint) {
  server_.Override([&](const HubRequest& request) -> std::optional<std::string> {
    if (request.port == HubPort::kCdn) {
      return request.path == "/back" ? Redirect(server_.endpoint() + "/end")
                                     : Redirect(server_.cdn() + "/back");
    }
    if (request.path == "/start") return Redirect("/relative");
    if (request.path == "/relative") return Redirect(server_.cdn() + "/there");
    return "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
  });
  const HttpResult result = Get(server_.endpoint() + "/start", Settings());
  ASSERT_TRUE(result.transfer.ok()) << result.transfer;
  EXPECT_EQ(body_, "ok");
  EXPECT_EQ(result.response.url, server_.endpoint() + "/end");
  ASSERT_EQ(server_.requests().size(), 5u);
  for (const HubRequest& request : server_.requests()) {
    EXPECT_EQ(request.headers.contains("authorization"), request.port == HubPort::kHub)
        << request.path;
    for (const auto& [name, value] : request.headers) {
      EXPECT_EQ(value.find("hf_canary") != std::string::npos,
                request.port == HubPort::kHub && name == "authorization");
    }
  }
}

// What the Hub says of a file it redirects to is kept, what it says of its answer is not.
TEST_F(HttpTest, HeadersAreThoseOfTheLastHop) {
  server_.Override([&](const HubRequest& request) -> std::optional<std::string> {
    if (request.port == HubPort::kCdn) return "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    return "HTTP/1.1 302 Found\r\nContent-Length: 0\r\nETag: \"hub\"\r\nRetry-After: 9\r\n"
           "X-Linked-Etag: \"linked\"\r\nLocation: " +
           server_.cdn() + "/there\r\n\r\n";
  });
  const HttpResult result = Get(server_.endpoint() + "/start", Settings());
  ASSERT_TRUE(result.transfer.ok()) << result.transfer;
  EXPECT_EQ(result.response.Header("etag"), "");
  EXPECT_EQ(result.response.Header("retry-after"), "");
  EXPECT_EQ(result.response.Header("x-linked-etag"), "\"linked\"");
  EXPECT_EQ(linked_, "\"linked\"");
}

TEST_F(HttpTest, RedirectsThatAreRefused) {
  const std::string secure = "https://127.0.0.1:1";
  for (const std::string& location :
       {std::string("file:///etc/passwd"), std::string("gopher://x/"), std::string("")}) {
    server_.Override([location](const HubRequest&) { return Redirect(location); });
    const HttpResult result = Get(server_.endpoint() + "/x", Settings());
    EXPECT_EQ(ErrorOf(result.transfer), Error::kIo) << location;
    EXPECT_FALSE(result.may_retry);
  }
  // From an endpoint of https no hop may be http. The first request is one that a redirect led to.
  server_.Override([&](const HubRequest&) { return Redirect(server_.cdn() + "/plain"); });
  HttpSettings settings = Settings();
  settings.endpoint = "https://huggingface.co";
  server_.ForgetRequests();
  const HttpResult result = Get(server_.endpoint() + "/x", settings);
  EXPECT_THAT(MessageOf(result.transfer), HasSubstr("expected one of https"));
  EXPECT_EQ(server_.requests().size(), 1u);
  EXPECT_FALSE(server_.requests()[0].headers.contains("authorization"));
}

TEST_F(HttpTest, EndlessRedirects) {
  server_.Override([&](const HubRequest&) { return Redirect("/again"); });
  EXPECT_THAT(MessageOf(Get(server_.endpoint() + "/x", Settings()).transfer),
              HasSubstr("redirects more than 10 times"));
}

TEST_F(HttpTest, EndlessHeadersAndErrors) {
  const std::string flood(1 << 20, 'x');
  server_.Override([flood](const HubRequest&) {
    std::string answer = "HTTP/1.1 200 OK\r\n";
    for (int i = 0; i < 2000; ++i)
      answer += "X-" + std::to_string(i) + ": " + flood.substr(0, 1000) + "\r\n";
    return answer;
  });
  HttpResult result = Get(server_.endpoint() + "/x", Settings());
  EXPECT_THAT(MessageOf(result.transfer), HasSubstr("headers of the response are longer"));
  server_.Override([flood](const HubRequest&) { return "HTTP/1.1 200 OK\r\nX: " + flood + flood; });
  EXPECT_FALSE(Get(server_.endpoint() + "/x", Settings()).transfer.ok());
  server_.Override([flood](const HubRequest&) {
    return "HTTP/1.1 404 Not Found\r\nContent-Length: 1048576\r\n\r\n" + flood;
  });
  result = Get(server_.endpoint() + "/x", Settings());
  EXPECT_TRUE(result.transfer.ok()) << result.transfer;
  EXPECT_EQ(result.response.status, 404);
}

// A name that is not found may be found later, by the same client.
TEST_F(HttpTest, ANameThatIsNotFound) {
  HttpSettings settings = Settings();
  settings.endpoint = "http://nothere.invalid";
  HttpClient client(settings, {});
  const auto take = [&](const HttpResponse&, std::span<const std::byte>) {
    return absl::OkStatus();
  };
  for (int attempt = 0; attempt < 3; ++attempt) {
    const HttpResult result = client.Get({.url = "http://nothere.invalid/x"}, take);
    EXPECT_EQ(ErrorOf(result.transfer), Error::kIo) << result.transfer;
    EXPECT_THAT(MessageOf(result.transfer), HasSubstr("cannot read http://nothere.invalid/x"));
    EXPECT_TRUE(result.may_retry);
  }
  server_.Override(
      [](const HubRequest&) { return "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"; });
  EXPECT_TRUE(client.Get({.url = server_.endpoint() + "/x"}, take).transfer.ok());
}

// The variables that curl reads, for as long as it lives.
class ProxyVariables {
 public:
  ProxyVariables(const std::string& http_proxy, const std::string& no_proxy) {
    setenv("http_proxy", http_proxy.c_str(), 1);
    setenv("no_proxy", no_proxy.c_str(), 1);
  }
  ~ProxyVariables() {
    unsetenv("http_proxy");
    unsetenv("no_proxy");
  }
};

TEST_F(HttpTest, AProxyWhoseNameIsNotFoundIsAFaultThatPasses) {
  const ProxyVariables proxy("http://nothere.invalid:3128", "another.invalid");
  const HttpResult result = Get(server_.endpoint() + "/x", Settings());
  EXPECT_EQ(ErrorOf(result.transfer), Error::kIo) << result.transfer;
  EXPECT_THAT(MessageOf(result.transfer), HasSubstr("proxy"));
  EXPECT_TRUE(result.may_retry);
  EXPECT_TRUE(server_.requests().empty());
}

// Names are the proxy's to find, and the token goes to the Hub only, proxy or not.
TEST_F(HttpTest, AProxyAndWhatGoesWithoutIt) {
  server_.Override([&](const HubRequest& request) -> std::optional<std::string> {
    if (request.port == HubPort::kHub) return Redirect(server_.cdn() + "/end");
    return "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
  });
  HttpSettings settings = Settings();
  settings.endpoint = "http://hub.invalid";
  for (const std::string no_proxy : {"another.invalid", "127.0.0.1"}) {
    server_.ForgetRequests();
    const ProxyVariables proxy(server_.endpoint(), no_proxy);
    const HttpResult result = Get("http://hub.invalid/x?y", settings);
    ASSERT_TRUE(result.transfer.ok()) << result.transfer;
    EXPECT_EQ(body_, "ok");
    const std::vector<HubRequest> requests = server_.requests();
    ASSERT_EQ(requests.size(), 2u);
    EXPECT_EQ(requests[0].proxied_to, "hub.invalid");
    EXPECT_EQ(requests[0].path, "/x");
    EXPECT_TRUE(requests[0].headers.contains("authorization"));
    EXPECT_EQ(requests[1].proxied_to,
              no_proxy == "127.0.0.1" ? "" : server_.cdn().substr(std::string("http://").size()));
    EXPECT_FALSE(requests[1].headers.contains("authorization"));
  }
}

TEST_F(HttpTest, AStallBeforeTheHeadersIsAFaultThatPasses) {
  server_.Add(Model("me/model"));
  server_.Fail({.kind = testing::HubFaultKind::kStallBeforeHeaders, .port = HubPort::kHub});
  HttpSettings settings = Settings();
  settings.token = "";
  settings.stall_timeout = std::chrono::seconds(1);
  const std::string url = server_.endpoint() + "/me/model/resolve/main/config.json";
  const HttpResult stalled = Get(url, settings);
  EXPECT_EQ(ErrorOf(stalled.transfer), Error::kIo) << stalled.transfer;
  EXPECT_TRUE(stalled.may_retry);
  EXPECT_EQ(stalled.response.status, 0);
  EXPECT_TRUE(Get(url, settings).response.succeeded());
}

TEST_F(HttpTest, AStopEndsARequestAtOnce) {
  server_.Add(Model("me/model"));
  server_.Fail(
      {.kind = testing::HubFaultKind::kStall, .port = HubPort::kHub, .path_part = "config"});
  std::stop_source stop;
  HttpSettings settings = Settings();
  settings.token = "";
  settings.stall_timeout = std::chrono::seconds(600);
  std::jthread stopper([&] {
    EXPECT_TRUE(server_.WaitForRequests("config", 1));
    stop.request_stop();
  });
  const HttpResult result =
      Get(server_.endpoint() + "/me/model/resolve/main/config.json", settings, stop.get_token());
  EXPECT_EQ(ErrorOf(result.transfer), Error::kCancelled);
  EXPECT_FALSE(result.may_retry);
}

}  // namespace
}  // namespace quantized
