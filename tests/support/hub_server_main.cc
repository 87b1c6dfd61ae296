// hub-server NAME=FOLDER…: serves folders as repositories of a Hub on the loopback, for scripts.
// Prints "HF_ENDPOINT=http://127.0.0.1:PORT"; then, at the end of standard input, each request on a
// line: "hub GET /api/models/…".
#include <csignal>
#include <cstdio>
#include <string>

#include "tests/support/hub_server.h"

int main(int argc, char** argv) {
  using quantized::testing::HubPort;
  std::signal(SIGPIPE, SIG_IGN);  // of a client that is gone
  quantized::testing::HubServer server;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const size_t equals = argument.find('=');
    if (equals == std::string::npos) {
      std::fputs("Usage: hub-server NAME=FOLDER…\n", stderr);
      return 2;
    }
    quantized::testing::HubRepository repository{.name = argument.substr(0, equals)};
    repository.AddFolder(argument.substr(equals + 1));
    server.Add(std::move(repository));
  }
  std::printf("HF_ENDPOINT=%s\n", server.endpoint().c_str());
  std::fflush(stdout);
  while (std::getchar() != EOF) {
  }
  for (const auto& request : server.requests()) {
    std::printf("%s %s %s\n", request.port == HubPort::kHub ? "hub" : "cdn", request.method.c_str(),
                request.path.c_str());
  }
  return 0;
}
