#include "core/report/svg_plot.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <string_view>

#include "absl/strings/str_format.h"
#include "core/base/check.h"
#include "core/base/str_cat.h"
#include "core/report/markup.h"

namespace quantized {
namespace {

constexpr double kWidth = 900;
constexpr double kLetter = 6.3;  // of labels, on average
constexpr int kShades = 8;

std::string Open(const std::string& id, const std::string& title, const std::string& description,
                 double height) {
  return StrCat(
      absl::StrFormat("<svg class=\"plot\" viewBox=\"0 0 %g %g\" role=\"img\" ", kWidth, height),
      "xmlns=\"http://www.w3.org/2000/svg\" aria-labelledby=\"", id, "-title ", id,
      "-text\">\n<title id=\"", id, "-title\">", Escaped(title), "</title>\n<desc id=\"", id,
      "-text\">", Escaped(description), "</desc>\n");
}

// `inner` is markup.
std::string Text(double x, double y, std::string_view css, const std::string& inner) {
  return StrCat(absl::StrFormat("<text x=\"%.1f\" y=\"%.1f\" class=\"", x, y), css, "\">", inner,
                "</text>\n");
}

std::string Line(double x1, double y1, double x2, double y2, std::string_view css) {
  return StrCat(absl::StrFormat("<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" class=\"",
                                x1, y1, x2, y2),
                css, "\"/>\n");
}

// `tip` is text that shows over the rectangle.
std::string Rect(double x, double y, double width, double height, std::string_view css,
                 const std::string& tip) {
  return StrCat(
      absl::StrFormat("<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" class=\"", x, y,
                      width, height),
      css, "\"><title>", Escaped(tip), "</title></rect>\n");
}

std::string PowerOfTen(int exponent) {
  return StrCat("10<tspan dy=\"-5\" class=\"power\">", exponent < 0 ? "−" : "", std::abs(exponent),
                "</tspan>");
}

// 1, 2 or 5 times a power of ten, such that `range` has at most `most` of them.
double NiceStep(double range, double most) {
  const double least = range / most;
  const double power = std::pow(10.0, std::floor(std::log10(least)));
  for (const double factor : {1, 2, 5}) {
    if (factor * power >= least * (1 - 1e-9)) return factor * power;
  }
  return 10 * power;
}

class HistogramDrawing {
 public:
  explicit HistogramDrawing(const HistogramPlot& plot) : plot_(plot), histogram_(plot.histogram) {
    total_ = histogram_.below + histogram_.above;
    size_t first = LogHistogram::kBins, last = 0;
    for (size_t bin = 0; bin < LogHistogram::kBins; ++bin) {
      total_ += histogram_.bins[bin];
      if (histogram_.bins[bin] == 0) continue;
      first = std::min(first, bin);
      last = bin + 1;
    }
    // Whole decades, two at least; values below the axis stand next to its very start.
    constexpr size_t kDecade = LogHistogram::kBinsPerDecade;
    if (first > last) first = last = 0;
    if (histogram_.below > 0) first = 0;
    if (histogram_.above > 0) last = LogHistogram::kBins;
    first_ = first / kDecade * kDecade;
    last_ = std::min((last + kDecade - 1) / kDecade * kDecade, LogHistogram::kBins);
    if (last_ < first_ + 2 * kDecade) last_ = std::min(first_ + 2 * kDecade, LogHistogram::kBins);
    if (last_ < first_ + 2 * kDecade) first_ = last_ - 2 * kDecade;
    axis_left_ = kLeft + (histogram_.below > 0 ? kBeyond : 0);
    axis_right_ = kWidth - kRight - (histogram_.above > 0 ? kBeyond : 0);
    PlaceMarks();
    uint64_t most = std::max<uint64_t>({1, histogram_.below, histogram_.above});
    for (const uint64_t count : histogram_.bins) most = std::max(most, count);
    y_step_ = NiceStep(Share(most), 5);
    y_top_ = std::ceil(Share(most) / y_step_ * (1 - 1e-9)) * y_step_;
  }

  std::string Draw() const {
    std::string svg = Open(plot_.id, plot_.title, plot_.description, bottom() + 48);
    for (double y = 0; y <= y_top_ * (1 + 1e-9); y += y_step_) {
      svg += Line(kLeft, YOf(y), kWidth - kRight, YOf(y), y == 0 ? "axis" : "grid");
      svg += Text(kLeft - 8, YOf(y) + 4, "end", absl::StrFormat("%g", y));
    }
    for (size_t bin = first_; bin < last_; ++bin) {
      const double left = XOf(LogHistogram::Edge(bin)), right = XOf(LogHistogram::Edge(bin + 1));
      svg += Bar(left, right, histogram_.bins[bin],
                 StrCat(ThreeDigits(LogHistogram::Edge(bin)), " to ",
                        ThreeDigits(LogHistogram::Edge(bin + 1))));
    }
    svg += Beyond(kLeft, axis_left_, histogram_.below, "&lt; ", "below ", 0);
    svg +=
        Beyond(axis_right_, kWidth - kRight, histogram_.above, "≥ ", "from ", LogHistogram::kBins);
    for (size_t bin = first_; bin <= last_; bin += LogHistogram::kBinsPerDecade) {
      const double x = XOf(LogHistogram::Edge(bin));
      svg += Line(x, bottom(), x, bottom() + 5, "axis");
      const bool beside = (bin == 0 && histogram_.below > 0) ||
                          (bin == LogHistogram::kBins && histogram_.above > 0);
      if (!beside) svg += Text(x, bottom() + 20, "middle", PowerOfTen(ExponentOf(bin)));
    }
    svg +=
        Text((axis_left_ + axis_right_) / 2, bottom() + 41, "middle label", Escaped(plot_.x_label));
    svg += StrCat(absl::StrFormat(
                      "<text transform=\"translate(14 %.1f) rotate(-90)\" class=\"middle label\">",
                      (top_ + bottom()) / 2),
                  Escaped(plot_.y_label), "</text>\n");
    for (const PlacedMark& mark : marks_) {
      svg += Line(mark.x, mark.label_y + 4, mark.x, bottom(), "mark");
      svg += Text(mark.x + 4, mark.label_y + 8, "strong", Escaped(mark.label));
    }
    return svg + "</svg>\n";
  }

 private:
  // Right of the axis there is room for the label of the last mark.
  static constexpr double kLeft = 62, kRight = 100, kBeyond = 64, kHeight = 230, kLabelRow = 16;

  struct PlacedMark {
    double x, label_y;
    std::string label;
  };

  static int ExponentOf(size_t bin) {
    return LogHistogram::kFirstExponent + static_cast<int>(bin / LogHistogram::kBinsPerDecade);
  }
  double bottom() const { return top_ + kHeight; }
  double Share(uint64_t count) const {
    return 100 * static_cast<double>(count) / static_cast<double>(std::max<uint64_t>(1, total_));
  }
  double YOf(double share) const { return bottom() - share / y_top_ * kHeight; }
  double XOf(double value) const {
    const double first = LogHistogram::Edge(first_), last = LogHistogram::Edge(last_);
    if (value < first) return histogram_.below > 0 ? (kLeft + axis_left_) / 2 : axis_left_;
    if (value > last)
      return histogram_.above > 0 ? (axis_right_ + kWidth - kRight) / 2 : axis_right_;
    return axis_left_ +
           std::log(value / first) / std::log(last / first) * (axis_right_ - axis_left_);
  }

  std::string Bar(double left, double right, uint64_t count, const std::string& range) const {
    if (count == 0) return "";
    const double y = YOf(Share(count));
    return Rect(left + 0.75, y, right - left - 1.5, bottom() - y, "bar",
                StrCat(range, ": ", count, " of ", total_, " (", Decimal(Share(count), 2), " %)"));
  }

  // The bar of what lies beyond the axis; `sign` is markup.
  std::string Beyond(double left, double right, uint64_t count, std::string_view sign,
                     std::string_view word, size_t edge) const {
    if (count == 0) return "";
    return Bar(left + 8, right - 8, count, StrCat(word, ThreeDigits(LogHistogram::Edge(edge)))) +
           Text((left + right) / 2, bottom() + 20, "middle",
                StrCat(sign, PowerOfTen(ExponentOf(edge))));
  }

  // Labels stand right of their lines above the bars, each above those lines that it crosses.
  void PlaceMarks() {
    size_t rows = 0;
    std::vector<size_t> row_of(plot_.marks.size());  // from below
    std::vector<size_t> order;                       // from right to left
    for (size_t i = 0; i < plot_.marks.size(); ++i) {
      if (std::isfinite(plot_.marks[i].x)) order.push_back(i);
    }
    std::ranges::stable_sort(order, std::greater(), [&](size_t i) { return plot_.marks[i].x; });
    for (size_t at = 0; at < order.size(); ++at) {
      const HistogramPlot::Mark& mark = plot_.marks[order[at]];
      const double end = XOf(mark.x) + kLetter * static_cast<double>(mark.label.size()) + 12;
      size_t& row = row_of[order[at]];
      for (size_t other = 0; other < at; ++other) {
        if (XOf(plot_.marks[order[other]].x) < end) row = std::max(row, row_of[order[other]] + 1);
      }
      rows = std::max(rows, row + 1);
    }
    for (const size_t i : order) {
      const HistogramPlot::Mark& mark = plot_.marks[i];
      marks_.push_back(
          {XOf(mark.x), 4 + kLabelRow * static_cast<double>(rows - 1 - row_of[i]), mark.label});
    }
    top_ = 16 + kLabelRow * static_cast<double>(rows);
  }

  const HistogramPlot& plot_;
  const LogHistogram& histogram_;
  uint64_t total_ = 0;
  size_t first_ = 0, last_ = 0;  // bins on the axis
  double axis_left_ = 0, axis_right_ = 0, top_ = 0;
  double y_step_ = 1, y_top_ = 1;  // percent
  std::vector<PlacedMark> marks_;
};

// Shades of equal ratio between the least and the largest value above 0.
class Shades {
 public:
  explicit Shades(const std::vector<std::optional<double>>& values) {
    for (const std::optional<double>& value : values) {
      if (!value) continue;
      if (*value <= 0) {
        has_zero_ = true;
        continue;
      }
      least_ = has_values_ ? std::min(least_, *value) : *value;
      largest_ = std::max(largest_, *value);
      has_values_ = true;
    }
  }

  bool has_values() const { return has_values_; }
  bool has_zero() const { return has_zero_; }
  double Edge(int shade) const {
    return least_ * std::pow(largest_ / least_, static_cast<double>(shade) / kShades);
  }
  std::string ClassOf(double value) const {
    if (value <= 0) return "unchanged";
    const double range = std::log(largest_ / least_);
    const double place = range > 0 ? std::log(value / least_) / range : 0.5;
    return StrCat("shade", std::clamp(static_cast<int>(place * kShades), 0, kShades - 1));
  }

 private:
  double least_ = 0, largest_ = 0;
  bool has_values_ = false, has_zero_ = false;
};

}  // namespace

std::string ToSvg(const HistogramPlot& plot) { return HistogramDrawing(plot).Draw(); }

std::string ToSvg(const HeatMapPlot& plot) {
  CHECK(plot.values.size() == plot.rows.size() * plot.cols);
  constexpr double kCellHeight = 24, kTop = 8, kRight = 16, kLegendWidth = 72;
  size_t longest = 0;
  for (const std::string& row : plot.rows) longest = std::max(longest, row.size());
  const double left = 16 + kLetter * static_cast<double>(std::min<size_t>(longest, 24));
  const double cell = std::min(
      28.0, (kWidth - left - kRight) / static_cast<double>(std::max<size_t>(1, plot.cols)));
  const double bottom = kTop + kCellHeight * static_cast<double>(plot.rows.size());
  const double gap = cell > 5 ? 1 : 0;
  const Shades shades(plot.values);

  std::string svg = Open(plot.id, plot.title, plot.description, bottom + 112);
  for (size_t row = 0; row < plot.rows.size(); ++row) {
    const double y = kTop + kCellHeight * static_cast<double>(row);
    svg += Text(left - 8, y + kCellHeight / 2 + 4, "end", Escaped(plot.rows[row]));
    for (size_t col = 0; col < plot.cols; ++col) {
      const std::optional<double>& value = plot.values[row * plot.cols + col];
      if (!value) continue;
      svg += Rect(left + cell * static_cast<double>(col), y, cell - gap, kCellHeight - 1,
                  shades.ClassOf(*value),
                  StrCat(plot.rows[row], ", ", plot.x_label, " ", col, ": ", ThreeDigits(*value)));
    }
  }
  const auto step = static_cast<size_t>(std::max(1.0, NiceStep(24 / cell, 1)));
  for (size_t col = 0; col < plot.cols; col += step) {
    svg += Text(left + cell * (static_cast<double>(col) + 0.5), bottom + 16, "middle", StrCat(col));
  }
  svg += Text(left + cell * static_cast<double>(plot.cols) / 2, bottom + 36, "middle label",
              Escaped(plot.x_label));

  const double legend = bottom + 62;
  svg += Text(left, legend, "label", Escaped(plot.value_label));
  double x = left;
  for (int shade = 0; shades.has_values() && shade < kShades; ++shade, x += kLegendWidth) {
    svg +=
        Rect(x, legend + 10, kLegendWidth, 14, StrCat("shade", shade),
             StrCat(ThreeDigits(shades.Edge(shade)), " to ", ThreeDigits(shades.Edge(shade + 1))));
    svg += Text(x, legend + 40, "middle", ThreeDigits(shades.Edge(shade)));
  }
  if (shades.has_values()) {
    svg += Text(x, legend + 40, "middle", ThreeDigits(shades.Edge(kShades)));
    x += 40;
  }
  if (shades.has_zero()) {
    svg += Rect(x, legend + 10, 24, 14, "unchanged", "0");
    svg += Text(x + 12, legend + 40, "middle", "0");
  }
  return svg + "</svg>\n";
}

// Shades are one hue, from the ground's lightness to its opposite.
std::string PlotStyle() {
  return R"(.plot { width: 100%; min-width: 640px; height: auto; display: block; }
.plot text { font-size: 12px; fill: var(--quiet); }
.plot .label { font-size: 13px; fill: var(--text); }
.plot .strong { fill: var(--text); }
.plot .power { font-size: 9px; }
.plot .end { text-anchor: end; }
.plot .middle { text-anchor: middle; }
.plot .axis { stroke: var(--quiet); }
.plot .grid { stroke: var(--line); }
.plot .mark { stroke: var(--mark); stroke-width: 1.5; stroke-dasharray: 4 3; }
.plot .bar { fill: var(--bar); }
.plot .unchanged { fill: var(--ground); stroke: var(--line); }
.shade0 { fill: #e3eef9; } .shade1 { fill: #c9ddf0; } .shade2 { fill: #a3cbe6; }
.shade3 { fill: #74b1d8; } .shade4 { fill: #4a94c6; } .shade5 { fill: #2a75b3; }
.shade6 { fill: #0f5597; } .shade7 { fill: #08306b; }
@media (prefers-color-scheme: dark) {
  .shade0 { fill: #1c2a3d; } .shade1 { fill: #1f3d60; } .shade2 { fill: #235384; }
  .shade3 { fill: #2e6da8; } .shade4 { fill: #4a8ac6; } .shade5 { fill: #76a9dc; }
  .shade6 { fill: #a8caee; } .shade7 { fill: #e2eefb; }
}
)";
}

}  // namespace quantized
