#include "client/rpc/endpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"

namespace quantized {
namespace {

using ::testing::StartsWith;

TEST(ParseHostTest, TakesSocketsAndAddresses) {
  struct Case {
    std::string_view host, target;
  };
  for (const Case& one :
       {Case{"unix:/run/q.sock", "unix:/run/q.sock"},
        Case{"unix:///run/q.sock", "unix:/run/q.sock"}, Case{"gpu-box:7420", "dns:///gpu-box:7420"},
        Case{"10.0.0.7:1", "dns:///10.0.0.7:1"}, Case{"[::1]:65535", "dns:///[::1]:65535"}}) {
    const auto endpoint = ParseHost(one.host);
    ASSERT_TRUE(endpoint.ok()) << one.host << ": " << endpoint.status();
    EXPECT_EQ(endpoint->target, one.target);
    EXPECT_EQ(endpoint->kind, Endpoint::Kind::kNamed);
  }
}

TEST(ParseHostTest, MakesRelativeSocketsAbsolute) {
  const auto endpoint = ParseHost("unix:q.sock");
  ASSERT_TRUE(endpoint.ok());
  EXPECT_THAT(endpoint->target, StartsWith("unix:/"));
  EXPECT_TRUE(endpoint->target.ends_with("/q.sock"));
}

TEST(ParseHostTest, RefusesWhatIsNoAddress) {
  const std::string too_long = "unix:/" + std::string(200, 'x');
  for (const std::string& host :
       {std::string("gpu-box"), std::string("gpu-box:"), std::string("gpu-box:0"),
        std::string("gpu-box:65536"), std::string("gpu-box:7x"), std::string(":7420"),
        std::string("unix:"), std::string("::1:80"), std::string("a b:80"),
        std::string("http://a:80"), too_long}) {
    const auto endpoint = ParseHost(host);
    ASSERT_FALSE(endpoint.ok()) << host;
    EXPECT_EQ(ErrorOf(endpoint.status()), Error::kInvalidArgument) << host;
  }
}

}  // namespace
}  // namespace quantized
