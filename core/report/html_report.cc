#include "core/report/html_report.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "core/base/str_cat.h"
#include "core/report/markup.h"
#include "core/report/svg_plot.h"
#include "core/tensor/text.h"

namespace quantized {
namespace {

// Mixtures have tens of thousands of modules; a page lists the worst.
constexpr size_t kMostModules = 1000;

constexpr std::string_view kPageStyle = R"(
:root { color-scheme: light dark; --ground: #ffffff; --panel: #f5f7f9; --text: #1b222b;
  --quiet: #586472; --line: #dde2e8; --bar: #2a75b3; --mark: #b4481e; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #12161b; --panel: #1b2129; --text: #e6eaef; --quiet: #9aa6b3;
    --line: #303944; --bar: #4a94c6; --mark: #f0925f; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--text);
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 980px; margin: 0 auto; padding: 24px 20px 48px; }
h1 { font-size: 26px; line-height: 1.25; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 19px; margin: 36px 0 6px; }
p { margin: 6px 0 12px; max-width: 72ch; }
.quiet { color: var(--quiet); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(200px, 1fr)); gap: 12px;
  margin: 20px 0 0; }
.tiles div { background: var(--panel); border-radius: 8px; padding: 12px 14px; }
.tiles dt { color: var(--quiet); font-size: 13px; }
.tiles dd { margin: 0; }
.tiles .value { font-size: 24px; font-variant-numeric: tabular-nums; }
.tiles .note { font-size: 13px; color: var(--quiet); }
.wide { overflow-x: auto; margin: 12px 0; }
table { border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 4px 14px 4px 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
th { font-weight: 600; }
.number { text-align: right; white-space: nowrap; }
.name { overflow-wrap: anywhere; }
.modules { width: 100%; }
.modules .name { min-width: 200px; }
th button { font: inherit; color: inherit; background: none; border: 0; padding: 0;
  cursor: pointer; }
th[aria-sort=descending] button::after { content: " ↓"; }
th[aria-sort=ascending] button::after { content: " ↑"; }
)";

// Sorts the table of modules by the column whose head is pressed: numbers from the largest, names
// from the first; again, the other way. Missing values stay last. Without it the worst come first.
constexpr std::string_view kSortScript = R"(
for (const table of document.querySelectorAll("table.modules")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.firstElementChild.addEventListener("click", () => {
    const numeric = head.classList.contains("number");
    const turned = head.getAttribute("aria-sort") === "descending" ? "ascending" :
      head.getAttribute("aria-sort") === "ascending" ? "descending" :
      numeric ? "descending" : "ascending";
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", turned);
    const sign = turned === "ascending" ? 1 : -1;
    const key = (row) => {
      const text = row.cells[column].dataset.value ?? row.cells[column].textContent;
      return numeric ? (text === "" ? NaN : Number(text)) : text;
    };
    const order = (a, b) => numeric ?
      (isNaN(a) ? (isNaN(b) ? 0 : 1) : isNaN(b) ? -1 : sign * (a - b)) :
      sign * a.localeCompare(b, "en", { numeric: true });
    const rows = [...table.tBodies[0].rows].sort((a, b) => order(key(a), key(b)));
    table.tBodies[0].append(...rows);
  }));
}
)";

// `value` and `note` are markup.
std::string Tile(std::string_view name, const std::string& value, const std::string& note) {
  return StrCat("<div><dt>", name, "</dt><dd class=\"value\">", value, "</dd><dd class=\"note\">",
                note, "</dd></div>\n");
}

std::string Tiles(const QualityReport& report) {
  const ModelComparison& comparison = report.comparison;
  const Uncertain mean = WithError(comparison.kl_divergence, comparison.kl_standard_error);
  const Uncertain ratio = WithError(comparison.perplexity_ratio(), comparison.ratio_standard_error);
  return StrCat(
      "<dl class=\"tiles\">\n",
      Tile("KL divergence, mean", mean.value, StrCat("± ", mean.error, " nats per token")),
      Tile("Same likeliest token", StrCat(Decimal(100 * comparison.top1_agreement, 1), " %"),
           StrCat("of ", comparison.tokens, " tokens")),
      Tile("Perplexity ratio", ratio.value,
           StrCat("± ", ratio.error, ": ", Decimal(comparison.source_perplexity, 3), " → ",
                  Decimal(comparison.perplexity, 3))),
      Tile("Size", HumanBytes(report.size_bytes),
           StrCat(Decimal(report.bits_per_weight, 2), " bits per weight")),
      "</dl>\n");
}

std::string Row(std::string_view name, const std::string& value, std::string_view value_class) {
  return StrCat("<tr><th scope=\"row\">", Escaped(name), "</th><td class=\"", value_class, "\">",
                value, "</td></tr>\n");
}

std::string Predictions(const QualityReport& report) {
  const ModelComparison& comparison = report.comparison;
  const ModelComparison::Percentiles& percentiles = comparison.kl_percentiles;
  struct Spread {
    std::string_view name, mark;
    double value;
  };
  const Spread spreads[] = {{"Median", "median", percentiles.median},
                            {"90 % of tokens at most", "90 %", percentiles.p90},
                            {"99 % of tokens at most", "99 %", percentiles.p99},
                            {"99.9 % of tokens at most", "99.9 %", percentiles.p99_9},
                            {"Maximum", "max", percentiles.maximum}};
  HistogramPlot plot{
      .id = "divergence",
      .title = "How the divergence of tokens is spread",
      .description = StrCat("Histogram on a logarithmic axis of the KL divergence of ",
                            comparison.tokens, " tokens: "),
      .x_label = "KL divergence of a token, nats (logarithmic)",
      .y_label = "share of tokens, %",
      .histogram = comparison.kl_histogram,
      .marks = {}};
  std::string table;
  for (const Spread& spread : spreads) {
    plot.marks.push_back({spread.value, StrCat(spread.mark, " ", ThreeDigits(spread.value))});
    StrAppend(&plot.description, &spread == spreads ? "" : ", ", spread.mark, " ",
              ThreeDigits(spread.value));
    table += Row(spread.name, ThreeDigits(spread.value), "number");
  }
  plot.description += ".";
  return StrCat(
      "<section>\n<h2>Predictions</h2>\n<p>Both models read the same text. For each token, the "
      "Kullback–Leibler divergence tells how far the quantized model’s probabilities for the next "
      "token are from the source’s: 0 where they are the same.</p>\n<div class=\"wide\">\n",
      ToSvg(plot),
      "</div>\n<div class=\"wide\"><table>\n<thead><tr><th scope=\"col\">KL divergence"
      "</th><th scope=\"col\" class=\"number\">nats</th></tr></thead>\n<tbody>\n",
      table, "</tbody></table></div>\n</section>\n");
}

struct Measure {
  std::optional<double> ModuleError::*value;
  std::string_view id, heading, explanation, label, column;
};
constexpr Measure kMeasures[] = {
    {&ModuleError::weight_error, "weights", "Weights by layer",
     "What quantization changed of each weight matrix W, as a share of its size.",
     "|W − Ŵ|² / |W|²", "Weight error"},
    {&ModuleError::output_error, "outputs", "Outputs by layer",
     "What quantization changed of each module’s outputs on the calibration data X, as a share of "
     "their size.",
     "|XWᵀ − XŴᵀ|² / |XWᵀ|²", "Output error"},
};

bool HasMeasure(const QualityReport& report, const Measure& measure) {
  return std::ranges::any_of(report.modules, [&](const ModuleError& module) {
    return (module.*measure.value).has_value();
  });
}

// The modules of layers as a map: kinds by layers, experts of a layer by their mean.
HeatMapPlot ErrorMap(const QualityReport& report, const Measure& measure) {
  HeatMapPlot plot;
  struct Cell {
    double sum = 0;
    uint64_t count = 0;
  };
  std::map<std::pair<size_t, size_t>, Cell> cells;  // by row and layer
  for (const ModuleError& module : report.modules) {
    const std::optional<double>& error = module.*measure.value;
    if (!module.layer || !error || !std::isfinite(*error)) continue;
    const size_t row = std::ranges::find(plot.rows, module.kind) - plot.rows.begin();
    if (row == plot.rows.size()) plot.rows.push_back(module.kind);
    plot.cols = std::max<size_t>(plot.cols, *module.layer + size_t{1});
    Cell& cell = cells[{row, *module.layer}];
    cell.sum += *error;
    ++cell.count;
  }
  plot.values.resize(plot.rows.size() * plot.cols);
  bool has_means = false;
  for (const auto& [place, cell] : cells) {
    plot.values[place.first * plot.cols + place.second] =
        cell.sum / static_cast<double>(cell.count);
    has_means |= cell.count > 1;
  }
  plot.id = measure.id;
  plot.title = measure.heading;
  plot.description =
      StrCat("Map of ", plot.rows.size(), " kinds of modules by ", plot.cols, " layers, shaded by ",
             measure.label, " on a logarithmic scale. The table of modules has the values.");
  plot.x_label = "layer";
  plot.value_label =
      StrCat(measure.label, " (logarithmic", has_means ? "; of experts their mean" : "", ")");
  return plot;
}

std::string Layers(const QualityReport& report) {
  std::string sections;
  for (const Measure& measure : kMeasures) {
    const HeatMapPlot plot = ErrorMap(report, measure);
    if (plot.rows.empty()) continue;
    StrAppend(&sections, "<section>\n<h2>", measure.heading, "</h2>\n<p>", measure.explanation,
              "</p>\n<div class=\"wide\">\n", ToSvg(plot), "</div>\n</section>\n");
  }
  return sections;
}

// A name that may break behind its dots, escaped.
std::string Breakable(std::string_view name) {
  std::string markup;
  for (const char c : Escaped(name)) {
    markup += c;
    if (c == '.') markup += "<wbr/>";
  }
  return markup;
}

std::string Head(std::string_view name, bool numeric, std::string_view sort) {
  return StrCat("<th scope=\"col\"", numeric ? " class=\"number\"" : "",
                sort.empty() ? "" : StrCat(" aria-sort=\"", sort, "\""),
                "><button type=\"button\">", name, "</button></th>");
}

std::string Modules(const QualityReport& report) {
  std::string html = "<section>\n<h2>Modules</h2>\n";
  const std::vector<size_t> worst = WorstModules(report);
  if (worst.empty()) return html + "<p>No module was measured.</p>\n</section>\n";
  const size_t shown = std::min(worst.size(), kMostModules);
  if (shown < worst.size()) {
    StrAppend(&html, "<p>The ", shown, " worst of ", worst.size(),
              "; the report’s JSON has all.</p>\n");
  }
  StrAppend(&html, "<div class=\"wide\"><table class=\"modules\">\n<thead><tr>",
            Head("Module", false, ""), Head("Layer", true, ""), Head("Kind", false, ""),
            Head("Type", false, ""), Head("Weights", true, ""));
  bool first = true;
  for (const Measure& measure : kMeasures) {
    if (!HasMeasure(report, measure)) continue;
    html += Head(measure.column, true, std::exchange(first, false) ? "descending" : "");
  }
  html += "</tr></thead>\n<tbody>\n";
  for (size_t i = 0; i < shown; ++i) {
    const ModuleError& module = report.modules[worst[i]];
    StrAppend(&html, "<tr><td class=\"name\">", Breakable(module.module),
              "</td><td class=\"number\">", module.layer ? StrCat(*module.layer) : "", "</td><td>",
              Escaped(module.kind), "</td><td>", Escaped(module.type),
              "</td><td class=\"number\" data-value=\"", module.rows * module.cols, "\">",
              module.rows, " × ", module.cols, "</td>");
    for (const Measure& measure : kMeasures) {
      if (!HasMeasure(report, measure)) continue;
      const std::optional<double>& error = module.*measure.value;
      const bool known = error && std::isfinite(*error);
      StrAppend(&html, "<td class=\"number\" data-value=\"",
                known ? absl::StrFormat("%.9g", *error) : "", "\">",
                known ? ThreeDigits(*error) : "", "</td>");
    }
    html += "</tr>\n";
  }
  return html + "</tbody></table></div>\n</section>\n";
}

std::string Settings(const QualityReport& report) {
  const ModelComparison& comparison = report.comparison;
  std::vector<QualityReport::Setting> settings = {
      {"Model", report.model},
      {"Architecture", report.architecture},
      {"Format", report.format},
      {"Level", report.level},
      {"Calibration", report.calibration.empty() ? "none" : report.calibration}};
  settings.insert(settings.end(), report.settings.begin(), report.settings.end());
  settings.push_back({"Text", report.text});
  settings.push_back({"Windows", StrCat(comparison.windows.size(), " of ", report.window_length,
                                        " tokens, ", comparison.tokens, " predictions")});
  if (comparison.windows.size() > 1) {
    const auto [least, most] =
        std::ranges::minmax(comparison.windows, {}, &ModelComparison::Window::perplexity_ratio);
    settings.push_back(
        {"Perplexity ratio by window",
         StrCat(Decimal(least.perplexity_ratio, 4), " to ", Decimal(most.perplexity_ratio, 4))});
  }
  settings.push_back({"Version", StrCat("llm-quantize ", report.tool_version)});
  std::string rows;
  for (const QualityReport::Setting& setting : settings) {
    rows += Row(setting.name, Escaped(setting.value), "name");
  }
  return StrCat("<section>\n<h2>Settings</h2>\n<div class=\"wide\"><table>\n<tbody>\n", rows,
                "</tbody></table></div>\n</section>\n");
}

}  // namespace

std::string ToHtml(const QualityReport& report) {
  const std::string title =
      Escaped(StrCat("Quality of ", report.model, ", ", report.format, " ", report.level));
  return StrCat(
      "<!DOCTYPE html>\n<html lang=\"en\" xmlns=\"http://www.w3.org/1999/xhtml\">\n<head>\n"
      "<meta charset=\"utf-8\"/>\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n<title>",
      title, "</title>\n<style>", kPageStyle, PlotStyle(),
      "</style>\n</head>\n<body>\n<main>\n<h1>", Escaped(report.model),
      "</h1>\n<p class=\"quiet\">Quality of ", Escaped(report.format), " ", Escaped(report.level),
      " against the model it was made of</p>\n", Tiles(report), Predictions(report), Layers(report),
      Modules(report), Settings(report), "</main>\n<script>", kSortScript,
      "</script>\n</body>\n</html>\n");
}

}  // namespace quantized
