#include "client/render/human.h"

#include <fmt/format.h>
#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "client/render/progress_line.h"
#include "client/render/text.h"

namespace quantized {
namespace {

std::string Row(std::string_view key, std::string_view value) {
  return fmt::format("{}: {}\n", key, Printable(value));
}

std::string LocalTime(const google::protobuf::Timestamp& timestamp) {
  const time_t seconds = google::protobuf::util::TimeUtil::TimestampToTimeT(timestamp);
  tm local{};
  localtime_r(&seconds, &local);
  std::array<char, 32> text;
  return std::string(text.data(), strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S", &local));
}

std::string ProgressOf(const v1::Job& job) {
  if (job.state() == v1::Job::SUCCEEDED) return "100%";
  if (job.progress().total() == 0) return "-";
  return fmt::format("{}%", PercentOf({"", job.progress().done(), job.progress().total(), "", 0}));
}

std::string UpperCase(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return std::toupper(c); });
  return text;
}

std::string LevelsOf(const v1::QuantizeSpec& spec) {
  return fmt::format("{}", fmt::join(spec.levels().begin(), spec.levels().end(), ","));
}

// One row for each kind of substitution: the JSON form lists the tensors.
std::string SubstitutionRows(const v1::QuantizeResult& result) {
  std::map<std::string, int> kinds;
  for (const v1::Substitution& one : result.substitutions()) {
    ++kinds[fmt::format("{} instead of {} ({})", one.used_type(), one.wanted_type(), one.why())];
  }
  std::string rows;
  for (const auto& [kind, tensors] : kinds) {
    rows += Row("Substitution", fmt::format("{} tensor{} {} {}", tensors, tensors == 1 ? "" : "s",
                                            tensors == 1 ? "is" : "are", kind));
  }
  return rows;
}

}  // namespace

std::string HumanResult(const v1::QuantizeResult& result) {
  std::string text = Row("Output", result.output_path());
  text += Row("Format", UpperCase(result.format()) + " " + result.level());
  text += Row("File Size", FormatBytes(result.file_size_bytes()));
  text += Row("Original Size", fmt::format("{} ({})", FormatBytes(result.original_size_bytes()),
                                           result.original_dtype()));
  text += Row("Compression Ratio", fmt::format("{:.2f}", result.compression_ratio()));
  text += Row("Bits Per Weight", fmt::format("{:.2f}", result.bits_per_weight()));
  text += Row("Duration", FormatElapsed(result.duration_seconds()));
  text += Row("Peak Memory", FormatBytes(result.peak_memory_bytes()));
  text += Row("Validation", result.validation_status());
  return text + SubstitutionRows(result);
}

std::string HumanJob(const v1::Job& job) {
  std::string text = Row("Job", job.id());
  text += Row("State", v1::Job::State_Name(job.state()));
  if (!job.reason().empty()) text += Row("Reason", job.reason());
  if (job.queue_position() > 0) text += Row("Queue Position", std::to_string(job.queue_position()));
  if (job.spec().has_quantize()) {
    const v1::QuantizeSpec& spec = job.spec().quantize();
    text += Row("Model", spec.model_path());
    text += Row("Level", LevelsOf(spec));
    text += Row("Output", spec.output_path());
  }
  text += Row("Progress", ProgressOf(job));
  text += Row("Attempt", std::to_string(job.attempt()));
  if (job.has_create_time()) text += Row("Created", LocalTime(job.create_time()));
  if (job.has_start_time()) text += Row("Started", LocalTime(job.start_time()));
  if (job.has_end_time()) text += Row("Ended", LocalTime(job.end_time()));
  if (job.has_error()) text += Row("Error", job.error().message());
  return text;
}

std::string HumanJobs(std::span<const v1::Job> jobs) {
  using Cells = std::array<std::string, 6>;
  std::vector<Cells> rows = {{"ID", "STATE", "PROGRESS", "CREATED", "LEVEL", "MODEL"}};
  for (const v1::Job& job : jobs) {
    const v1::QuantizeSpec& spec = job.spec().quantize();
    rows.push_back({Printable(job.id()), v1::Job::State_Name(job.state()), ProgressOf(job),
                    job.has_create_time() ? LocalTime(job.create_time()) : "-",
                    job.spec().has_quantize() ? Printable(LevelsOf(spec)) : "-",
                    job.spec().has_quantize() ? Printable(spec.model_name()) : "noop"});
  }
  std::array<size_t, std::tuple_size_v<Cells>> widths{};
  for (const Cells& cells : rows) {
    for (size_t i = 0; i < cells.size(); ++i) widths[i] = std::max(widths[i], cells[i].size());
  }
  std::string text;
  for (const Cells& cells : rows) {
    for (size_t i = 0; i + 1 < cells.size(); ++i) {
      text += fmt::format("{:<{}}", cells[i], widths[i] + 2);
    }
    text += cells.back() + "\n";
  }
  return text;
}

std::string HumanServer(const v1::ServerInfo& info, std::string_view address) {
  std::string text = Row("Status", "running");
  text += Row("Address", address);
  text += Row("Version", fmt::format("{} (API {})", info.version(), info.api_version()));
  text += Row("PID", std::to_string(info.pid()));
  if (info.has_start_time()) text += Row("Started", LocalTime(info.start_time()));
  text += Row("Mode", info.embedded() ? "embedded" : "system");
  text += Row("Jobs", fmt::format("{} running, {} waiting, {} at once", info.jobs_running(),
                                  info.jobs_pending(), info.slots()));
  text += Row("Store", info.store_path());
  text += Row("Log", info.log_path());
  return text;
}

std::string HumanStopped(bool stopped, int64_t jobs_left) {
  std::string text = Row("Status", stopped ? "stopped" : "stopping");
  if (jobs_left > 0) text += Row("Jobs Left", std::to_string(jobs_left));
  return text;
}

std::string ResumeCommand(const v1::JobSpec& spec) {
  const v1::QuantizeSpec& quantize = spec.quantize();
  if (!spec.has_quantize() || !quantize.checkpoint().enabled()) return "";
  const std::filesystem::path output(quantize.output_path());
  std::string command = fmt::format(
      "llm-quantize quantize {} {} -q {} -o {} -n {} --checkpoint-dir {}",
      ShellQuote(quantize.model_path()), ShellQuote(quantize.format()),
      ShellQuote(LevelsOf(quantize)), ShellQuote(output.parent_path().native()),
      ShellQuote(output.filename().native()), ShellQuote(quantize.checkpoint().directory()));
  if (!quantize.pre_tokenizer().empty()) {
    command += " --pre " + ShellQuote(quantize.pre_tokenizer());
  }
  return command;
}

}  // namespace quantized
