#include "tests/support/tls_front.h"

#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <utility>

#include "core/base/check.h"

namespace quantized::testing {
namespace {

constexpr long kLifetimeSeconds = 24 * 60 * 60;

template <auto kFree>
struct Freeing {
  template <typename T>
  void operator()(T* object) const {
    kFree(object);
  }
};
template <typename T, auto kFree>
using Owned = std::unique_ptr<T, Freeing<kFree>>;

void AddExtension(X509* certificate, int kind, const char* value) {
  const Owned<X509_EXTENSION, X509_EXTENSION_free> extension(
      X509V3_EXT_conf_nid(nullptr, nullptr, kind, value));
  CHECK(extension != nullptr && X509_add_ext(certificate, extension.get(), -1) == 1);
}

// A certificate that `key` signs for itself.
X509* MakeCertificate(EVP_PKEY* key) {
  X509* certificate = X509_new();
  CHECK(certificate != nullptr);
  X509_set_version(certificate, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -kLifetimeSeconds);
  X509_gmtime_adj(X509_getm_notAfter(certificate), kLifetimeSeconds);
  X509_set_pubkey(certificate, key);
  X509_NAME* name = X509_get_subject_name(certificate);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("127.0.0.1"), -1, -1, 0);
  X509_set_issuer_name(certificate, name);
  AddExtension(certificate, NID_basic_constraints, "critical,CA:TRUE");
  AddExtension(certificate, NID_subject_alt_name, "IP:127.0.0.1");
  CHECK(X509_sign(certificate, key, EVP_sha256()) > 0);
  return certificate;
}

std::string Pem(X509* certificate) {
  const Owned<BIO, BIO_free_all> bio(BIO_new(BIO_s_mem()));
  CHECK(PEM_write_bio_X509(bio.get(), certificate) == 1);
  char* bytes = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &bytes);
  return std::string(bytes, static_cast<size_t>(size));
}

}  // namespace

TlsFront::TlsFront() : context_(SSL_CTX_new(TLS_server_method()), SSL_CTX_free) {
  const Owned<EVP_PKEY, EVP_PKEY_free> key(EVP_EC_gen("P-256"));
  CHECK(context_ != nullptr && key != nullptr);
  const Owned<X509, X509_free> certificate(MakeCertificate(key.get()));
  CHECK(SSL_CTX_use_certificate(context_.get(), certificate.get()) == 1);
  CHECK(SSL_CTX_use_PrivateKey(context_.get(), key.get()) == 1);
  certificate_ = Pem(certificate.get());
}

TlsFront::~TlsFront() {
  std::vector<std::jthread> relays;
  {
    const MutexLock lock(mutex_);
    for (const int fd : open_) ::shutdown(fd, SHUT_RDWR);
    relays = std::move(relays_);
  }
}

int TlsFront::Accept(int fd) {
  std::array<int, 2> plain;
  CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, plain.data()) == 0);
  const MutexLock lock(mutex_);
  open_.insert(fd);
  relays_.emplace_back([this, fd, inner = plain[0]] { Relay(fd, inner); });
  return plain[1];
}

void TlsFront::Relay(int client, int plain) {
  const std::unique_ptr<SSL, void (*)(SSL*)> tls(SSL_new(context_.get()), SSL_free);
  SSL_set_fd(tls.get(), client);
  std::array<char, 16384> bytes;
  bool open = SSL_accept(tls.get()) == 1;
  while (open) {
    std::array<pollfd, 2> waiting = {pollfd{client, POLLIN, 0}, pollfd{plain, POLLIN, 0}};
    const bool buffered = SSL_pending(tls.get()) > 0;
    if (!buffered && ::poll(waiting.data(), waiting.size(), -1) < 0) continue;
    if (buffered || waiting[0].revents != 0) {
      const int got = SSL_read(tls.get(), bytes.data(), bytes.size());
      open = got > 0 && ::send(plain, bytes.data(), static_cast<size_t>(got), MSG_NOSIGNAL) == got;
    }
    if (open && waiting[1].revents != 0) {
      const ssize_t got = ::recv(plain, bytes.data(), bytes.size(), 0);
      open = got > 0 && SSL_write(tls.get(), bytes.data(), static_cast<int>(got)) == got;
    }
  }
  const MutexLock lock(mutex_);
  open_.erase(client);
  ::close(client);
  ::close(plain);
}

}  // namespace quantized::testing
