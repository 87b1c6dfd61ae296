#include "core/report/quality_report.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>
#include <utility>

#include "core/base/str_cat.h"
#include "core/report/markup.h"
#include "core/tensor/text.h"

namespace quantized {
namespace {

using nlohmann::ordered_json;

constexpr int kReportVersion = 1;
constexpr size_t kWorstShown = 3;

ordered_json OptionalNumber(const std::optional<double>& value) {
  return value ? ordered_json(*value) : ordered_json();
}

ordered_json HistogramJson(const LogHistogram& histogram) {
  ordered_json edges = ordered_json::array();
  for (size_t bin = 0; bin <= LogHistogram::kBins; ++bin) edges.push_back(LogHistogram::Edge(bin));
  return {{"below", histogram.below},
          {"edges", std::move(edges)},
          {"counts", histogram.bins},
          {"above", histogram.above}};
}

ordered_json ModuleJson(const ModuleError& module) {
  return {{"module", module.module},
          {"layer", module.layer ? ordered_json(*module.layer) : ordered_json()},
          {"kind", module.kind},
          {"type", module.type},
          {"rows", module.rows},
          {"cols", module.cols},
          {"weight_error", OptionalNumber(module.weight_error)},
          {"output_error", OptionalNumber(module.output_error)}};
}

// A line of the table: a name in a column of its own, then what is known.
void AppendLine(std::string_view name, std::string_view value, std::string& table) {
  constexpr size_t kColumn = 16;
  StrAppend(&table, "  ", name, std::string(kColumn - name.size(), ' '), value, "\n");
}

}  // namespace

ordered_json ToJson(const QualityReport& report) {
  const ModelComparison& comparison = report.comparison;
  const ModelComparison::Percentiles& percentiles = comparison.kl_percentiles;
  ordered_json settings = ordered_json::object(), windows = ordered_json::array(),
               modules = ordered_json::array();
  for (const QualityReport::Setting& setting : report.settings) {
    settings[setting.name] = setting.value;
  }
  for (const ModelComparison::Window& window : comparison.windows) {
    windows.push_back(
        {{"perplexity_ratio", window.perplexity_ratio}, {"kl_divergence", window.kl_divergence}});
  }
  for (const ModuleError& module : report.modules) modules.push_back(ModuleJson(module));
  const ordered_json json = {
      {"report_version", kReportVersion},
      {"tool_version", report.tool_version},
      {"model", report.model},
      {"architecture", report.architecture},
      {"format", report.format},
      {"level", report.level},
      {"bits_per_weight", report.bits_per_weight},
      {"size_bytes", report.size_bytes},
      {"calibration",
       report.calibration.empty() ? ordered_json() : ordered_json(report.calibration)},
      {"settings", std::move(settings)},
      {"evaluation",
       {{"text", report.text},
        {"windows", comparison.windows.size()},
        {"window_length", report.window_length},
        {"tokens", comparison.tokens}}},
      {"perplexity",
       {{"source", comparison.source_perplexity},
        {"quantized", comparison.perplexity},
        {"ratio", comparison.perplexity_ratio()},
        {"ratio_standard_error", comparison.ratio_standard_error}}},
      {"kl_divergence",
       {{"mean", comparison.kl_divergence},
        {"standard_error", comparison.kl_standard_error},
        {"median", percentiles.median},
        {"p90", percentiles.p90},
        {"p99", percentiles.p99},
        {"p99_9", percentiles.p99_9},
        {"maximum", percentiles.maximum},
        {"histogram", HistogramJson(comparison.kl_histogram)}}},
      {"top1_agreement", comparison.top1_agreement},
      {"windows", std::move(windows)},
      {"modules", std::move(modules)}};
  // Writing replaces what JSON cannot hold.
  return ordered_json::parse(json.dump(-1, ' ', false, ordered_json::error_handler_t::replace));
}

std::optional<double> ComparedError(const ModuleError& module) {
  for (const std::optional<double>& error : {module.weight_error, module.output_error}) {
    if (error && std::isfinite(*error)) return error;
  }
  return std::nullopt;
}

std::vector<size_t> WorstModules(const QualityReport& report) {
  std::vector<size_t> order;
  for (size_t i = 0; i < report.modules.size(); ++i) {
    if (ComparedError(report.modules[i])) order.push_back(i);
  }
  std::ranges::stable_sort(order, std::greater(),
                           [&](size_t i) { return *ComparedError(report.modules[i]); });
  return order;
}

std::string ToTable(const QualityReport& report) {
  const ModelComparison& comparison = report.comparison;
  const ModelComparison::Percentiles& percentiles = comparison.kl_percentiles;
  std::string table =
      StrCat("Quality of ", PrintableName(report.model), ", ", PrintableName(report.format), " ",
             PrintableName(report.level), " (", Decimal(report.bits_per_weight, 2),
             " bits per weight, ", HumanBytes(report.size_bytes), ")\n");
  AppendLine("Text",
             StrCat(PrintableName(report.text), ": ", comparison.windows.size(), " windows of ",
                    report.window_length, " tokens"),
             table);
  const Uncertain ratio = WithError(comparison.perplexity_ratio(), comparison.ratio_standard_error);
  AppendLine("Perplexity",
             StrCat(Decimal(comparison.source_perplexity, 4), " → ",
                    Decimal(comparison.perplexity, 4), ", ratio ", ratio.value, " ± ", ratio.error),
             table);
  const Uncertain mean = WithError(comparison.kl_divergence, comparison.kl_standard_error);
  AppendLine("KL divergence", StrCat(mean.value, " ± ", mean.error, " nats per token"), table);
  for (const auto& [name, value] : {std::pair{"  median", percentiles.median},
                                    {"  90 %", percentiles.p90},
                                    {"  99 %", percentiles.p99},
                                    {"  99.9 %", percentiles.p99_9},
                                    {"  maximum", percentiles.maximum}}) {
    AppendLine(name, ThreeDigits(value), table);
  }
  AppendLine("Same top token", StrCat(Decimal(100 * comparison.top1_agreement, 2), " %"), table);
  const std::vector<size_t> worst = WorstModules(report);
  if (worst.empty()) return table;
  const bool of_weights = report.modules[worst[0]].weight_error.has_value();
  StrAppend(&table, "  Largest relative errors of ", of_weights ? "weights" : "outputs", "\n");
  for (size_t i = 0; i < std::min(kWorstShown, worst.size()); ++i) {
    const ModuleError& module = report.modules[worst[i]];
    AppendLine(StrCat("  ", ThreeDigits(*ComparedError(module))),
               StrCat(PrintableName(module.module), " (", PrintableName(module.type), ")"), table);
  }
  return table;
}

}  // namespace quantized
