#include "core/report/svg_plot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <regex>
#include <string>

#include "core/report/markup.h"
#include "core/report/test_report.h"

namespace quantized {
namespace {

using testing::FaultOf;
using ::testing::HasSubstr;
using ::testing::Not;

HistogramPlot SomeHistogram() {
  return {.id = "plot",
          .title = "A title",
          .description = "What it shows",
          .x_label = "divergence",
          .y_label = "share",
          .histogram = {},
          .marks = {}};
}

size_t Count(const std::string& text, const std::string& pattern) {
  const std::regex regex(pattern);
  return static_cast<size_t>(
      std::distance(std::sregex_iterator(text.begin(), text.end(), regex), {}));
}

// x and width of each rectangle of a class.
std::vector<std::pair<double, double>> RectsOf(const std::string& svg, const std::string& css) {
  const std::regex regex(
      "<rect x=\"([0-9.]+)\" y=\"[-0-9.]+\" width=\"([0-9.]+)\" "
      "height=\"[0-9.]+\" class=\"" +
      css + "\"");
  std::vector<std::pair<double, double>> rects;
  for (std::sregex_iterator it(svg.begin(), svg.end(), regex), end; it != end; ++it) {
    rects.emplace_back(std::stod((*it)[1]), std::stod((*it)[2]));
  }
  return rects;
}

TEST(MarkupTest, EscapesWhatMarkupMeans) {
  EXPECT_EQ(Escaped("a<b>&\"c'"), "a&lt;b&gt;&amp;&#34;c&#39;");
  EXPECT_EQ(Escaped("Größe 模型"), "Größe 模型");
  EXPECT_EQ(Escaped("a\nb\tc"), "a b c");
  EXPECT_EQ(Escaped(std::string_view("\0\x1b\xff\x7f", 4)),
            "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
  EXPECT_EQ(Escaped("\xEF\xBF\xBE."), "\xEF\xBF\xBD.");
  EXPECT_EQ(Escaped(""), "");
}

TEST(MarkupTest, NumbersThatAreNoneAreADash) {
  EXPECT_EQ(Decimal(1.25, 1), "1.2");
  EXPECT_EQ(ThreeDigits(0.0012), "0.00120");
  EXPECT_EQ(ThreeDigits(789.4), "789");
  EXPECT_EQ(ThreeDigits(0), "0");
  EXPECT_EQ(ThreeDigits(4.56e-8), "4.56e-08");
  for (const double value :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    EXPECT_EQ(Decimal(value, 1), "–");
    EXPECT_EQ(ThreeDigits(-value), "–");
    EXPECT_EQ(WithError(value, value).value, "–");
    EXPECT_EQ(WithError(1, value).error, "–");
  }
}

TEST(MarkupTest, FiguresHaveTheDecimalsOfTheirErrors) {
  struct Case {
    double value, error;
    std::string want;
  };
  for (const Case& one : {Case{0.03125, 0.00048828125, "0.03125 ± 0.00049"},
                          {1.0625, 0.0078125, "1.0625 ± 0.0078"},
                          {1.5, 0.25, "1.500 ± 0.250"},
                          {2, 0, "2.0000 ± 0.0000"},
                          {1e-9, 1e-12, "0.0000000 ± 0.0000000"}}) {
    const Uncertain got = WithError(one.value, one.error);
    EXPECT_EQ(got.value + " ± " + got.error, one.want);
  }
}

TEST(SvgPlotTest, HistogramHasABarForEachBin) {
  HistogramPlot plot = SomeHistogram();
  for (const double value : {0.00123, 0.0123, 0.0124, 0.123}) plot.histogram.Add(value);
  plot.marks = {{0.0123, "median 0.0123"}, {0.123, "max 0.123"}};
  const std::string svg = ToSvg(plot);
  EXPECT_EQ(FaultOf(svg), "");
  EXPECT_THAT(svg, HasSubstr("<title id=\"plot-title\">A title</title>"));
  EXPECT_THAT(svg, HasSubstr("aria-labelledby=\"plot-title plot-text\""));
  EXPECT_EQ(RectsOf(svg, "bar").size(), 3u);
  EXPECT_THAT(svg, HasSubstr("0.0100 to 0.0158: 2 of 4 (50.00 %)"));
  EXPECT_EQ(Count(svg, "class=\"mark\""), 2u);
  // Decades from 10^-3 to 10^0.
  EXPECT_EQ(Count(svg, "class=\"power\">−[321]<"), 3u);
  EXPECT_EQ(Count(svg, "class=\"power\">0<"), 1u);
  for (const auto& [x, width] : RectsOf(svg, "bar")) {
    EXPECT_GT(x, 0);
    EXPECT_LE(x + width, 900);
  }
}

TEST(SvgPlotTest, HistogramShowsWhatIsBeyondItsAxis) {
  HistogramPlot plot = SomeHistogram();
  plot.histogram.Add(0);
  plot.histogram.Add(1e-3);
  plot.histogram.Add(1e5);
  plot.marks = {{0, "median 0"}, {1e5, "max 1e+05"}};
  const std::string svg = ToSvg(plot);
  EXPECT_EQ(FaultOf(svg), "");
  EXPECT_EQ(RectsOf(svg, "bar").size(), 3u);
  EXPECT_THAT(svg, HasSubstr("below 1.00e-07: 1 of 3"));
  EXPECT_THAT(svg, HasSubstr("from 100: 1 of 3"));
}

TEST(SvgPlotTest, HistogramOfNothingHasAxes) {
  const std::string svg = ToSvg(SomeHistogram());
  EXPECT_EQ(FaultOf(svg), "");
  EXPECT_EQ(RectsOf(svg, "bar").size(), 0u);
  EXPECT_EQ(Count(svg, "(nan|inf)"), 0u);
}

TEST(SvgPlotTest, LabelsOfMarksStandApart) {
  HistogramPlot plot = SomeHistogram();
  for (const double value : {0.01, 0.011, 0.012, 0.1}) {
    plot.histogram.Add(value);
    plot.marks.push_back({value, "mark"});
  }
  const std::string svg = ToSvg(plot);
  EXPECT_EQ(Count(svg, "class=\"strong\">mark<"), 4u);
  // The first crosses the second's line and so stands above it, and so on.
  EXPECT_EQ(Count(svg, "y=\"12.0\" class=\"strong\""), 1u);
  EXPECT_EQ(Count(svg, "y=\"28.0\" class=\"strong\""), 1u);
  EXPECT_EQ(Count(svg, "y=\"44.0\" class=\"strong\""), 2u);
}

HeatMapPlot SomeMap(std::vector<std::optional<double>> values, size_t rows) {
  HeatMapPlot plot;
  plot.id = "map";
  plot.title = "A map";
  plot.description = "What it shows";
  plot.x_label = "layer";
  plot.value_label = "error";
  for (size_t i = 0; i < rows; ++i) plot.rows.push_back("row" + std::to_string(i));
  plot.cols = rows == 0 ? 0 : values.size() / rows;
  plot.values = std::move(values);
  return plot;
}

TEST(SvgPlotTest, MapIsShadedByRatios) {
  const std::string svg = ToSvg(SomeMap({1e-4, 1e-3, 1e-2, 0.0, std::nullopt, 0.99e-2}, 2));
  EXPECT_EQ(FaultOf(svg), "");
  // Each shade once more in the legend.
  EXPECT_EQ(RectsOf(svg, "shade0").size(), 2u);
  EXPECT_EQ(RectsOf(svg, "shade4").size(), 2u);
  EXPECT_EQ(RectsOf(svg, "shade7").size(), 3u);
  EXPECT_EQ(RectsOf(svg, "shade1").size(), 1u);
  EXPECT_EQ(RectsOf(svg, "unchanged").size(), 2u);
  EXPECT_THAT(svg, HasSubstr("<title>row1, layer 2: 0.00990</title>"));
  EXPECT_THAT(svg, HasSubstr(">0.000100</text>"));
  EXPECT_THAT(svg, HasSubstr(">0.0100</text>"));
}

TEST(SvgPlotTest, MapOfManyColumnsStaysInside) {
  for (const size_t cols : {1, 30, 80, 1000}) {
    SCOPED_TRACE(cols);
    const std::string svg = ToSvg(SomeMap(std::vector<std::optional<double>>(2 * cols, 0.5), 2));
    EXPECT_EQ(FaultOf(svg), "");
    const auto cells = RectsOf(svg, "shade4");
    EXPECT_EQ(cells.size(), 2 * cols + 1) << "and the legend's";
    for (const auto& [x, width] : cells) EXPECT_LE(x + width, 900);
    EXPECT_LT(Count(svg, ">[0-9]+</text>"), 40u) << "labels have room";
  }
}

TEST(SvgPlotTest, MapOfNothingIsAnImage) {
  EXPECT_EQ(FaultOf(ToSvg(SomeMap({}, 0))), "");
  const std::string svg = ToSvg(SomeMap({std::nullopt, 0.0}, 1));
  EXPECT_EQ(FaultOf(svg), "");
  EXPECT_EQ(Count(svg, "shade"), 0u);
  EXPECT_EQ(Count(svg, "(nan|inf)"), 0u);
}

TEST(SvgPlotTest, NamesAreText) {
  HeatMapPlot plot = SomeMap({0.5}, 1);
  plot.rows[0] = plot.x_label = plot.title = plot.description = plot.value_label =
      "</title><script>x</script>";
  const std::string svg = ToSvg(plot);
  EXPECT_EQ(FaultOf(svg), "");
  EXPECT_THAT(svg, Not(HasSubstr("<script")));
}

}  // namespace
}  // namespace quantized
