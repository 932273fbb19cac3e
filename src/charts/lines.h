// Curves over a common x: thin lines for what is known everywhere, marks for what was measured now and then.
//
// Everything is placed by shares of the figure's size, so the same figure fits any width with text of one size. Curves
// end where the axes end: what lies above them is marked at the edge with its value, and the note says so.
#pragma once

#include <string>
#include <vector>

#include "charts/figure.h"

namespace dsmoe::charts {

struct Series {
  std::string name;
  std::vector<double> x, y;  ///< equally long; points that are not finite are left out
};

/// At most `points` points, each the mean of a window of neighbours, a twentieth of all: a line that a person can
/// follow. Ends lie half a window inside those of the series.
Series smoothed(const Series& series, size_t points = 120);

/// At most `most` means of neighbours, all of as many values but the last, so that a long record stays short.
std::vector<double> thinned(const std::vector<double>& values, size_t most);

struct LineChart {
  std::string title, x_label, y_label;
  std::vector<Series> lines = {};   ///< drawn as they are; pale where there are marks too
  std::vector<Series> points = {};  ///< drawn as marks, joined. A series of a name has one colour in both
  std::string line_name = "value", point_name = "measured";  ///< what the two are, in the data
  std::string note = {};
  std::vector<std::string> names = {};  ///< gives each series its colour by its place; empty: as they come
};

/// The legend names each series with its last value, the lowest first.
Figure draw(const LineChart& chart);

}  // namespace dsmoe::charts
