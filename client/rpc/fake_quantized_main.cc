// A program that starts like `quantized --embedded`: listens, says READY, ends when it is asked to.
// Each start adds a line to STATE_DIR/starts.
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <string>

#include "client/rpc/fake_daemon.h"

int main(int argc, char** argv) {
  std::map<std::string, std::string> options;
  for (int i = 2; i + 1 < argc; i += 2) options[argv[i]] = argv[i + 1];
  std::ofstream(options["--state-dir"] + "/starts", std::ios::app) << getpid() << '\n';
  unlink(options["--socket"].c_str());
  quantized::testing::FakeDaemon daemon(options["--socket"]);
  const std::string ready = "READY\n";
  const int fd = std::atoi(options["--ready-fd"].c_str());
  if (write(fd, ready.data(), ready.size()) != static_cast<ssize_t>(ready.size())) return 1;
  close(fd);
  daemon.AwaitShutdown();
}
