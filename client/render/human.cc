#include "client/render/human.h"

#include <fmt/format.h>
#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <filesystem>
#include <string>
#include <vector>

#include "client/render/plan.h"
#include "client/render/progress_line.h"
#include "client/render/result.h"
#include "client/render/substitution_kinds.h"
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
  std::vector<std::string_view> levels;
  for (const v1::OutputSpec& output : spec.outputs()) levels.push_back(output.level());
  return fmt::format("{}", fmt::join(levels, ","));
}

// "3, model-00001-of-00003.gguf to model-00003-of-00003.gguf".
std::string FilesOf(const v1::QuantizeResult& result) {
  const std::filesystem::path first(result.files(0));
  const std::filesystem::path last(result.files(result.files_size() - 1));
  return fmt::format("{}, {} to {}", result.files_size(), first.filename().native(),
                     last.filename().native());
}

std::string ConversionOf(const v1::QuantizeResult& result) {
  std::string text = fmt::format("{} from {}", result.fidelity(), result.original_dtype());
  const double error = RelativeErrorOf(result).value_or(0);
  if (error > 0) text += fmt::format("; weights changed by {}", WeightChangeOf(error));
  return text;
}

std::string HumanResult(const v1::QuantizeResult& result) {
  std::string text = Row("Output", MainFileOf(result));
  if (result.files_size() > 1) text += Row("Files", FilesOf(result));
  text += Row("Format", UpperCase(result.format()) + " " + result.level());
  text += Row("File Size", FormatBytes(result.file_size_bytes()));
  text += Row("Original Size", fmt::format("{} ({})", FormatBytes(result.original_size_bytes()),
                                           result.original_dtype()));
  text += Row("Compression Ratio", fmt::format("{:.2f}", result.compression_ratio()));
  text += Row("Bits Per Weight", fmt::format("{:.2f}", result.bits_per_weight()));
  text += Row("Duration", FormatElapsed(result.duration_seconds()));
  text += Row("Peak Memory", FormatBytes(PeakMemoryOf(result)));
  text += Row("Validation", result.validation_status());
  if (result.has_calibration()) {
    const v1::CalibrationSummary& calibration = result.calibration();
    const bool is_packed = result.group_size() != 0;  // awq or gptq
    if (is_packed) text += Row("Group Size", std::to_string(result.group_size()));
    text +=
        Row("Calibration", fmt::format("{} samples of {} tokens, {}", calibration.windows(),
                                       calibration.sequence_length(), calibration.description()));
    if (is_packed) {
      text += Row("Mean Module Error", result.has_mean_module_error()
                                           ? fmt::format("{:.5f}", result.mean_module_error())
                                           : std::string("not known"));
    }
  }
  if (!result.fidelity().empty()) text += Row("Conversion", ConversionOf(result));
  for (const std::string& file : result.quality().report_files()) text += Row("Report", file);
  for (const std::string& note : result.notes()) text += Row("Note", note);
  SubstitutionKinds substitutions;
  for (const v1::Substitution& one : result.substitutions()) {
    substitutions.Add(one.wanted_type(), one.used_type(), one.why());
  }
  for (const std::string& line : substitutions.Lines()) text += Row("Substitution", line);
  return text;
}

}  // namespace

std::string HumanResults(const v1::QuantizeResults& results) {
  std::string text;
  for (const v1::QuantizeResult& result : results.outputs()) {
    if (!text.empty()) text += "\n";
    text += HumanResult(result);
    if (!result.quality().table().empty()) text += "\n" + PrintableLines(result.quality().table());
  }
  return text;
}

std::string HumanJob(const v1::Job& job) {
  std::string text = Row("Job", job.id());
  text += Row("State", v1::Job::State_Name(job.state()));
  if (!job.reason().empty()) text += Row("Reason", job.reason());
  if (job.queue_position() > 0) text += Row("Queue Position", std::to_string(job.queue_position()));
  if (job.spec().has_quantize()) {
    const v1::QuantizeSpec& spec = job.spec().quantize();
    text += Row("Operation", OperationOf(job.spec()));
    text += Row("Model", spec.has_hub() ? spec.model_name() : spec.model_path());
    text += Row("Level", LevelsOf(spec));
    for (const v1::OutputSpec& output : spec.outputs()) text += Row("Output", output.path());
  }
  text += Row("Progress", ProgressOf(job));
  text += Row("Attempt", std::to_string(job.attempt()));
  if (job.has_create_time()) text += Row("Created", LocalTime(job.create_time()));
  if (job.has_start_time()) text += Row("Started", LocalTime(job.start_time()));
  if (job.has_end_time()) text += Row("Ended", LocalTime(job.end_time()));
  if (job.has_error()) text += Row("Error", job.error().message());
  for (const v1::QuantizeResult& output : job.finished().quantize().outputs()) {
    text += Row("Finished", MainFileOf(output));
  }
  return text;
}

std::string HumanJobs(std::span<const v1::Job> jobs) {
  std::vector<std::vector<std::string>> rows = {
      {"ID", "STATE", "PROGRESS", "CREATED", "LEVEL", "MODEL"}};
  for (const v1::Job& job : jobs) {
    const v1::QuantizeSpec& spec = job.spec().quantize();
    rows.push_back({Printable(job.id()), v1::Job::State_Name(job.state()), ProgressOf(job),
                    job.has_create_time() ? LocalTime(job.create_time()) : "-",
                    job.spec().has_quantize() ? Printable(LevelsOf(spec)) : "-",
                    job.spec().has_quantize() ? Printable(spec.model_name()) : "noop"});
  }
  return AlignedRows(rows);
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

}  // namespace quantized
