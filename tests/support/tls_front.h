// TLS in front of a server of a test that speaks plain bytes, with a certificate for 127.0.0.1 that
// nobody but the test trusts.
#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "core/base/mutex.h"

namespace quantized::testing {

// Thread-safe. The destructor ends all connections.
class TlsFront {
 public:
  TlsFront();
  ~TlsFront();

  // The certificate, in PEM, that a client has to trust.
  const std::string& certificate() const { return certificate_; }

  // Takes the connection `fd` over; the result is a plain one to the same client.
  int Accept(int fd);

 private:
  // Carries bytes between `client` and `plain` until one of them ends; closes both.
  void Relay(int client, int plain);

  std::string certificate_;
  const std::unique_ptr<SSL_CTX, void (*)(SSL_CTX*)> context_;
  Mutex mutex_;
  std::set<int> open_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::jthread> relays_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace quantized::testing
