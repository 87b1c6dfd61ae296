#include "daemon/options.h"

#include <CLI/CLI.hpp>

#include "core/base/error.h"
#include "core/base/version.h"

namespace quantized {

CommandLine ParseCommandLine(int argc, char** argv) {
  CommandLine line;
  DaemonOptions& options = line.options;
  CLI::App app("Queues and runs quantization jobs for llm-quantize", "quantized");
  app.set_version_flag("--version", "quantized " + std::string(kVersion));
  app.set_help_flag("--help", "Show this message and exit");
  app.option_defaults()->always_capture_default();
  app.add_option("--socket", options.socket, "Unix socket to serve; its folder must be ours alone")
      ->type_name("PATH");
  app.add_option("--listen", options.listen, "Loopback address to serve as well")
      ->type_name("HOST:PORT");
  app.add_option("--state-dir", options.state_dir, "Folder of the store and the logs")
      ->type_name("PATH");
  app.add_option("--worker", options.worker, "Worker program [default: beside this program]")
      ->type_name("PATH");
  app.add_flag("--embedded", options.embedded, "Serve one user, and exit when unused");
  app.add_option("--ready-fd", options.ready_fd,
                 "Descriptor that gets READY, or the reason of failure")
      ->type_name("N")
      ->check(CLI::Range(0, 1 << 20).description(""));
  int64_t idle_seconds = options.idle_exit.count();
  app.add_option("--idle-exit", idle_seconds, "Embedded: exit after so long without job and client")
      ->type_name("SECONDS")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 31).description(""));
  app.add_option("--slots", options.slots, "Jobs that run at once")
      ->type_name("N")
      ->check(CLI::Range(1, 1024).description(""));
  app.add_option("--threads", options.threads,
                 "Threads of a worker whose job does not say, 0 for all processors")
      ->type_name("N")
      ->check(CLI::Range(0u, 4096u).description(""));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const bool help = error.get_exit_code() == 0;
    app.exit(error);
    line.exit_code = help ? 0 : RowOf(Error::kInvalidArgument).exit_code;
  }
  options.idle_exit = std::chrono::seconds(idle_seconds);
  return line;
}

}  // namespace quantized
