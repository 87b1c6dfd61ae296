// quantize-fetch: brings models of the Hugging Face Hub into the cache. Answers with one JSON
// object on standard output; progress is JSON lines on standard error. The token comes from the
// environment or an inherited descriptor and goes to the Hub only.
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "core/base/core_file.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/base/version.h"
#include "daemon/answer/json_answer.h"
#include "daemon/hub/cache_care.h"
#include "daemon/hub/fetch_attempt.h"
#include "daemon/hub/fetch_model.h"
#include "daemon/hub/remote_headers.h"
#include "daemon/worker/attempt.h"

namespace quantized {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kHelp =
    "Usage: quantize-fetch                      work for the daemon that started it\n"
    "       quantize-fetch fetch ID             fetch a model into the cache\n"
    "       quantize-fetch resolve ID           show a model's commit and files\n"
    "       quantize-fetch pin ID               show what a job needs to fetch a model, with the\n"
    "                                           token\n"
    "       quantize-fetch headers ID DIR [--all-texts]\n"
    "                                           fetch only what describes a model, into DIR; with\n"
    "                                           --all-texts its tokenizer, too\n"
    "       quantize-fetch cache list           show the models in the cache\n"
    "       quantize-fetch cache verify [--remove]\n"
    "                                           check every file in it against its hash\n"
    "       quantize-fetch cache prune [--older-than DAYS]\n"
    "                                           remove what no model needs, and models that were\n"
    "                                           not used for so long\n"
    "       quantize-fetch --version            show the version and exit\n"
    "       quantize-fetch --help               show this message and exit\n"
    "ID is org/name, with @revision for another branch, tag or commit than main.\n"
    "Options:\n"
    "  --token-fd N          read the token from this descriptor instead of HF_TOKEN\n"
    "  --connections N       connections at once [default: 4]\n"
    "  --chunk-bytes N       what one request asks for [default: 16777216]\n";

struct Arguments {
  std::vector<std::string> words;
  std::map<std::string, std::string> options;  // "--remove" has an empty value
};

absl::Status BadArguments(std::string_view what) {
  return MakeError(Error::kInvalidArgument, what, "See quantize-fetch --help");
}

absl::StatusOr<Arguments> ParseArguments(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (!word.starts_with("--")) {
      arguments.words.push_back(word);
    } else if (word == "--remove" || word == "--all-texts") {
      arguments.options[word] = "";
    } else if (word == "--token-fd" || word == "--connections" || word == "--chunk-bytes" ||
               word == "--older-than") {
      if (i + 1 == argc) return BadArguments(StrCat(word, " needs a value"));
      arguments.options[word] = argv[++i];
    } else {
      return BadArguments(StrCat("there is no option ", word));
    }
  }
  return arguments;
}

// The number of option `name`; nullopt when it was not given.
absl::StatusOr<std::optional<uint64_t>> NumberOf(const Arguments& arguments,
                                                 const std::string& name, uint64_t least,
                                                 uint64_t most) {
  const auto found = arguments.options.find(name);
  if (found == arguments.options.end()) return std::nullopt;
  const std::string& text = found->second;
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < least || value > most) {
    return BadArguments(
        StrCat(name, " is '", text, "', expected a number from ", least, " to ", most));
  }
  return value;
}

absl::StatusOr<std::string> ReadToken(int fd) {
  constexpr size_t kMaxTokenBytes = 4096;
  std::string token;
  char piece[512];
  ssize_t got;
  while ((got = ::read(fd, piece, sizeof piece)) > 0) {
    token.append(piece, static_cast<size_t>(got));
    if (token.size() > kMaxTokenBytes) return BadArguments("the token is too long");
  }
  if (got < 0) return BadArguments(StrCat("cannot read the token from descriptor ", fd));
  if (token.empty()) return BadArguments(StrCat("there is no token in descriptor ", fd));
  return token;
}

void PrintLine(const Json& object) {
  const std::string line = object.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  std::fputs(line.c_str(), stderr);
}

// A line when a tenth of a second, or the end, came since the last.
class ProgressLines {
 public:
  void operator()(const FetchProgress& progress) {
    const auto now = std::chrono::steady_clock::now();
    if (now < next_ && progress.done_bytes < progress.total_bytes) return;
    next_ = now + std::chrono::milliseconds(100);
    PrintLine({{"event", "progress"},
               {"done_bytes", progress.done_bytes},
               {"total_bytes", progress.total_bytes}});
  }

 private:
  std::chrono::steady_clock::time_point next_;
};

// SIGINT, SIGTERM and SIGHUP become a stop. To be made before any other thread.
std::stop_token StopOnSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::stop_source stop;
  std::stop_token token = stop.get_token();
  // Ends with the process.
  std::thread([signals, stop]() mutable {
    int signal = 0;
    sigwait(&signals, &signal);
    stop.request_stop();
  }).detach();
  return token;
}

class Program {
 public:
  Program(Arguments arguments, FetchContext context)
      : arguments_(std::move(arguments)), context_(std::move(context)) {}

  absl::StatusOr<Json> Run() {
    const std::vector<std::string>& words = arguments_.words;
    if (words.size() == 2 && words[0] == "fetch") return Fetch();
    if (words.size() == 2 && words[0] == "resolve") return Resolve();
    if (words.size() == 2 && words[0] == "pin") return Pin();
    if (words.size() == 3 && words[0] == "headers") return Headers();
    if (words.size() == 2 && words[0] == "cache") {
      if (words[1] == "list") return List();
      if (words[1] == "verify") return Verify();
      if (words[1] == "prune") return Prune();
    }
    return BadArguments("there is no such command");
  }

 private:
  static Json Describe(const HubId& id, const FetchedModel& model) {
    return {{"status", "success"},
            {"model_name", id.name},
            {"revision", id.revision},
            {"commit", model.commit},
            {"path", model.path.string()},
            {"files", model.files},
            {"size_bytes", model.size_bytes},
            {"fetched_bytes", model.fetched_bytes}};
  }

  absl::StatusOr<Json> Fetch() {
    ASSIGN_OR_RETURN(const HubId id, ParseHubId(arguments_.words[1]));
    ASSIGN_OR_RETURN(const FetchedModel model, FetchModel(context_, id));
    return Describe(id, model);
  }

  absl::StatusOr<Json> Resolve() {
    ASSIGN_OR_RETURN(const HubId id, ParseHubId(arguments_.words[1]));
    ASSIGN_OR_RETURN(const RepositoryInfo info, ResolveModel(context_, id, context_.questions));
    Json files = Json::array();
    for (const RemoteFile& file : info.files) {
      files.push_back(
          {{"path", file.path}, {"size_bytes", file.size_bytes}, {"hash", file.hash()}});
    }
    return Json{{"status", "success"},
                {"model_name", id.name},
                {"revision", id.revision},
                {"commit", info.commit},
                {"files", std::move(files)}};
  }

  // For llm-quantize, which hands it to the daemon: the names are those of the proto's HubModel.
  absl::StatusOr<Json> Pin() {
    ASSIGN_OR_RETURN(const HubId id, ParseHubId(arguments_.words[1]));
    ASSIGN_OR_RETURN(const std::string commit, PinModel(context_, id));
    const HubSettings& settings = context_.settings;
    return Json{{"status", "success"},
                {"repository", id.name},
                {"revision", id.revision},
                {"commit", commit},
                {"endpoint", settings.endpoint},
                {"offline", settings.offline},
                {"cache_dir", settings.cache.string()},
                {"shared_cache_dir", settings.shared_cache.string()},
                {"certificates", settings.certificates.string()},
                {"token", settings.token}};
  }

  absl::StatusOr<Json> Headers() {
    ASSIGN_OR_RETURN(const HubId id, ParseHubId(arguments_.words[1]));
    const Texts texts = arguments_.options.contains("--all-texts") ? Texts::kAll : Texts::kFew;
    ASSIGN_OR_RETURN(
        const FetchedModel model,
        FetchHeaders(context_, id, texts, std::filesystem::absolute(arguments_.words[2])));
    Json answer = Describe(id, model);
    answer["missing_bytes"] = model.missing_bytes;
    return answer;
  }

  absl::StatusOr<Json> List() {
    const HubCache cache(context_.settings.cache);
    Json models = Json::array();
    ASSIGN_OR_RETURN(const std::vector<CachedRepository> repositories, ListCache(cache));
    for (const CachedRepository& repository : repositories) {
      Json snapshots = Json::array();
      for (const CachedSnapshot& snapshot : repository.snapshots) {
        const auto age = std::filesystem::file_time_type::clock::now() - snapshot.last_used;
        snapshots.push_back(
            {{"commit", snapshot.commit},
             {"revisions", snapshot.revisions},
             {"files", snapshot.files},
             {"size_bytes", snapshot.size_bytes},
             {"unused_hours", std::chrono::duration_cast<std::chrono::hours>(age).count()}});
      }
      models.push_back({{"model_name", repository.name},
                        {"size_bytes", repository.size_bytes},
                        {"incomplete_bytes", repository.incomplete_bytes},
                        {"snapshots", std::move(snapshots)}});
    }
    return Json{{"status", "success"}, {"path", cache.root().string()}, {"models", models}};
  }

  static std::string UnreadableToo(const VerifiedCache& verified) {
    if (verified.unreadable.empty()) return "";
    return StrCat("; ", verified.unreadable.size(), " more cannot be read");
  }

  absl::StatusOr<Json> Verify() {
    const HubCache cache(context_.settings.cache);
    const bool remove = arguments_.options.contains("--remove");
    ASSIGN_OR_RETURN(const VerifiedCache verified, VerifyCache(cache, remove, context_.stop));
    const auto names = [](const std::vector<std::filesystem::path>& paths) {
      return StrCat(paths.front().string(), paths.size() > 1 ? ", …" : "");
    };
    if (!verified.wrong.empty() && !remove) {
      return MakeError(
          Error::kValidationFailed,
          StrCat(verified.wrong.size(), " of the cache's files are wrong: ", names(verified.wrong),
                 UnreadableToo(verified)),
          "Remove them with 'llm-quantize cache verify --remove'; they are fetched again when "
          "needed");
    }
    if (!verified.unreadable.empty()) {
      return MakeError(Error::kIo,
                       StrCat(verified.unreadable.size(),
                              " of the cache's files cannot be read: ", names(verified.unreadable)),
                       "Make them readable, or remove them by hand; they are fetched again when "
                       "needed");
    }
    Json wrong = Json::array();
    for (const auto& path : verified.wrong) wrong.push_back(path.string());
    return Json{{"status", "success"},
                {"path", cache.root().string()},
                {"files", verified.files},
                {"size_bytes", verified.size_bytes},
                {"removed", wrong}};
  }

  absl::StatusOr<Json> Prune() {
    constexpr uint64_t kMostDays = 36500;
    ASSIGN_OR_RETURN(const auto days, NumberOf(arguments_, "--older-than", 0, kMostDays));
    std::optional<std::chrono::hours> older_than;
    if (days) older_than = std::chrono::hours(24 * *days);
    const HubCache cache(context_.settings.cache);
    ASSIGN_OR_RETURN(const PrunedCache pruned, PruneCache(cache, older_than));
    for (const std::string& skipped : pruned.skipped) {
      context_.Tell(StrCat("Left alone: ", skipped));
    }
    return Json{{"status", "success"},
                {"path", cache.root().string()},
                {"snapshots", pruned.snapshots},
                {"files", pruned.files},
                {"freed_bytes", pruned.freed_bytes}};
  }

  const Arguments arguments_;
  const FetchContext context_;
};

absl::StatusOr<Json> Answer(int argc, char** argv, const std::stop_token& stop) {
  constexpr uint64_t kMostConnections = 64;
  constexpr uint64_t kLeastChunkBytes = 64 << 10;
  constexpr uint64_t kMostChunkBytes = 1 << 30;
  ASSIGN_OR_RETURN(Arguments arguments, ParseArguments(argc, argv));
  ASSIGN_OR_RETURN(const auto token_fd, NumberOf(arguments, "--token-fd", 0, 1 << 20));
  ASSIGN_OR_RETURN(const auto connections,
                   NumberOf(arguments, "--connections", 1, kMostConnections));
  ASSIGN_OR_RETURN(const auto chunk_bytes,
                   NumberOf(arguments, "--chunk-bytes", kLeastChunkBytes, kMostChunkBytes));
  std::string token;
  if (token_fd) {
    ASSIGN_OR_RETURN(token, ReadToken(static_cast<int>(*token_fd)));
  }
  const Environment environment = ProcessEnvironment();
  const bool asks_nobody = !arguments.words.empty() && arguments.words[0] == "cache";
  ASSIGN_OR_RETURN(HubSettings settings, asks_nobody
                                             ? ReadCacheSettings(environment)
                                             : ReadHubSettings(environment, std::move(token)));
  RealWaiter waiter;
  FetchContext context{.settings = std::move(settings),
                       .waiter = waiter,
                       .stop = stop,
                       .on_progress = ProgressLines(),
                       .on_message = [](std::string_view text) {
                         PrintLine({{"event", "message"}, {"message", text}});
                       }};
  if (connections) context.rules.connections = *connections;
  if (chunk_bytes) context.rules.chunk_bytes = *chunk_bytes;
  const std::string secret = context.settings.token;
  absl::StatusOr<Json> answer = Program(std::move(arguments), std::move(context)).Run();
  if (!answer.ok()) return WithoutToken(answer.status(), secret);
  return answer;
}

}  // namespace
}  // namespace quantized

int main(int argc, char** argv) {
  quantized::LeaveNoCoreFile();  // it would hold the token
  const rlimit none = {0, 0};
  setrlimit(RLIMIT_CORE, &none);
  signal(SIGPIPE, SIG_IGN);
  if (argc == 1) return quantized::RunAttempt("quantize-fetch", &quantized::RunFetch);
  const std::string_view first = argc == 2 ? argv[1] : "";
  if (first == "--version") {
    std::printf("quantize-fetch %s\n", quantized::kVersion.data());
    return 0;
  }
  if (first == "--help") {
    std::fputs(quantized::kHelp.data(), stdout);
    return 0;
  }
  const std::stop_token stop = quantized::StopOnSignals();
  return quantized::PrintAnswer([&] { return quantized::Answer(argc, argv, stop); });
}
