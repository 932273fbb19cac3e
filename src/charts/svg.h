// Static figures as SVG text: lines, grouped bars, a heat map. No script, no fonts, nothing fetched.
//
// Colours are CSS variables that page.h defines for light and dark, so a figure follows the reader's theme. Every mark
// that carries a number has a <title>, which browsers show on hover and screen readers read.
#pragma once

#include <string>
#include <vector>

namespace dsmoe::charts {

/// Text made safe between tags and in double-quoted attributes; bytes that are not UTF-8 become U+FFFD.
std::string escape_html(const std::string& text);
/// A number the short way: 4 significant digits, no exponent between 0.001 and 10^6.
std::string short_number(double value);
/// At most `about` + 2 round values (1, 2 or 5 times a power of ten) that cover [low, high].
std::vector<double> round_ticks(double low, double high, int about = 5);

struct Series {
  std::string name;
  std::vector<double> x, y;  ///< equally long; points that are not finite are left out
};

struct LineChart {
  std::string title, x_label, y_label;
  std::vector<Series> series;
};
std::string draw(const LineChart& chart);

/// Groups of horizontal bars: one group per label, one bar per series.
struct BarChart {
  std::string title, unit;
  std::vector<std::string> labels, series;
  std::vector<std::vector<double>> values;  ///< [series][label]
};
std::string draw(const BarChart& chart);

/// Cells coloured by log2 of value / even: white at the even share, one hue above, another below.
struct HeatMap {
  std::string title, row_title, column_title;
  std::vector<std::string> rows, columns;
  std::vector<std::vector<double>> values;  ///< [row][column], shares that sum to 1 over a row
};
std::string draw(const HeatMap& map);

}  // namespace dsmoe::charts
