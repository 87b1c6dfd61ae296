// Plots as inline SVG, for a page that has PlotStyle() in its style sheet. Each is an image with a
// title and a description for those who do not see it, as wide as there is room but never so narrow
// that its letters cannot be read. Texts are escaped here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/forward/model_comparison.h"

namespace quantized {

struct HistogramPlot {
  std::string id;  // unique in the page; letters
  std::string title, description;
  std::string x_label, y_label;
  LogHistogram histogram;  // drawn as shares of all values, in percent
  struct Mark {
    double x;  // not negative
    std::string label;
  };
  std::vector<Mark> marks;  // vertical lines
};
std::string ToSvg(const HistogramPlot& plot);

// Values by row and column, shaded on a logarithmic scale from the least to the largest.
struct HeatMapPlot {
  std::string id;
  std::string title, description;
  std::string x_label, value_label;
  std::vector<std::string> rows;  // their labels
  size_t cols = 0;                // numbered from 0
  // [rows, cols], not negative and finite where there is one.
  std::vector<std::optional<double>> values;
};
std::string ToSvg(const HeatMapPlot& plot);

// CSS of both, in light and dark.
std::string PlotStyle();

}  // namespace quantized
