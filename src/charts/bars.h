// Grouped bars from zero, and dots on a common range: amounts, and differences.
#pragma once

#include <string>
#include <vector>

#include "charts/figure.h"

namespace dsmoe::charts {

/// Groups of horizontal bars: one group per label, one bar per series. Groups are drawn in the order given, bars of
/// a group from the series that is shortest at the first label; a value that is not finite is hatched: not measured.
struct BarChart {
  std::string title, unit;
  std::vector<std::string> labels, series;
  std::vector<std::vector<double>> values;  ///< [series][label]
  std::string note = {};
};
Figure draw(const BarChart& chart);

/// A row for each label with a dot for each of its values and a line at their mean, rows from the lowest mean to the
/// highest; the axis begins where the values do, so that differences show. A row without a value is hatched.
/// `coloured`: rows in the order given, without means, each dot in the colour of its name, which a legend tells.
struct DotChart {
  std::string title, unit;
  struct Row {
    std::string label;
    std::vector<std::string> names;  ///< of the values, such as seeds
    std::vector<double> values;
  };
  std::vector<Row> rows;
  bool coloured = false;
  std::string note = {};
};
Figure draw(const DotChart& chart);

}  // namespace dsmoe::charts
