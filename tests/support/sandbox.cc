#include "tests/support/sandbox.h"

#include <signal.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "core/base/check.h"

namespace quantized::testing {
namespace {

std::string Contents(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

}  // namespace

Sandbox::Sandbox() {
  for (const char* name : {"home", "run", "state", "work"}) {
    CHECK(std::filesystem::create_directory(path() / name));
  }
  std::filesystem::permissions(path() / "run", std::filesystem::perms::owner_all);
}

Sandbox::~Sandbox() {
  for (const char* name : {"llm-quantize", "quantized", "quantize-worker", "quantize-fetch"}) {
    for (const pid_t pid : Processes(name)) kill(pid, SIGKILL);
    GoneSoon(name);
  }
}

ProcessOptions Sandbox::options() const {
  return {.environment = {{"HOME", path() / "home"},
                          {"XDG_RUNTIME_DIR", path() / "run"},
                          {"XDG_STATE_HOME", path() / "state"},
                          {"XDG_CONFIG_HOME", ""},
                          {"XDG_CACHE_HOME", ""},
                          {"LLM_QUANTIZE_HOST", ""},
                          {"LLM_QUANTIZE_CHECKPOINT_DIR", ""},
                          {"LLM_QUANTIZE_CACHE", ""},
                          // No test talks to the internet.
                          {"HF_ENDPOINT", "http://127.0.0.1:9"},
                          {"HF_TOKEN", ""},
                          {"HF_TOKEN_PATH", ""},
                          {"HF_HOME", ""},
                          {"HF_HUB_CACHE", ""},
                          {"HF_HUB_OFFLINE", ""},
                          {"HUGGING_FACE_HUB_TOKEN", ""},
                          {"HUGGINGFACE_HUB_CACHE", ""},
                          {"TRANSFORMERS_OFFLINE", ""},
                          {"http_proxy", ""},
                          {"https_proxy", ""},
                          {"all_proxy", ""},
                          {"REQUESTS_CA_BUNDLE", ""},
                          {"CURL_CA_BUNDLE", ""},
                          {"SSL_CERT_FILE", ""},
                          {"SSL_CERT_DIR", ""},
                          {"NO_COLOR", ""},
                          {"CI", ""}},
          .working_directory = work()};
}

std::vector<std::string> Sandbox::Command(const std::vector<std::string>& arguments) {
  std::vector<std::string> command = {BinDir() / "llm-quantize"};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return command;
}

ProcessResult Sandbox::Run(const std::vector<std::string>& arguments) const {
  return RunProcess(Command(arguments), options());
}

ProcessResult Sandbox::RunInShell(const std::string& command,
                                  const std::map<std::string, std::string>& environment) const {
  ProcessOptions in_shell = options();
  in_shell.new_session = true;
  in_shell.environment["PATH"] = BinDir().native() + ":" + std::getenv("PATH");
  in_shell.environment["LC_ALL"] = "C.UTF-8";
  in_shell.environment["TERM"] = "xterm";
  in_shell.environment["SOURCE_DIR"] = SourceDir();
  for (const auto& [name, value] : environment) in_shell.environment[name] = value;
  return RunProcess({"/bin/sh", "-c", command}, in_shell);
}

std::vector<pid_t> Sandbox::Processes(std::string_view name) const {
  std::vector<pid_t> found;
  std::error_code error;
  const std::string ours = "XDG_RUNTIME_DIR=" + (path() / "run").string();
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    const std::string number = entry.path().filename();
    if (!std::ranges::all_of(number, [](unsigned char c) { return std::isdigit(c); })) continue;
    std::error_code gone;
    if (std::filesystem::read_symlink(entry.path() / "exe", gone).filename() != name) continue;
    const pid_t pid = std::stoi(number);
    if (Contents(entry.path() / "environ").find(ours) == std::string::npos) continue;
    if (const char state = ProcessState(pid); state == 'Z' || state == 'X' || state == 0) continue;
    found.push_back(pid);
  }
  return found;
}

bool Sandbox::GoneSoon(std::string_view name) const {
  return WaitUntil([&] { return Processes(name).empty(); }, std::chrono::seconds(10));
}

char ProcessState(pid_t pid) {
  const std::string stat = Contents("/proc/" + std::to_string(pid) + "/stat");
  const size_t after_name = stat.rfind(')');
  return after_name == std::string::npos || after_name + 2 >= stat.size() ? 0
                                                                          : stat[after_name + 2];
}

std::vector<std::string> FilesBelow(const std::filesystem::path& folder) {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (!entry.is_directory()) files.push_back(entry.path().lexically_relative(folder));
  }
  std::ranges::sort(files);
  return files;
}

}  // namespace quantized::testing
