// Shares as a grid of cells: which expert takes how much of what.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "charts/figure.h"

namespace dsmoe::charts {

/// Cells coloured by log2 of value / even share: none at the even share, one hue above, another below, full at four
/// times and at a quarter, which the colour bar says. A value that is not finite is hatched.
struct HeatMap {
  std::string title, row_title, column_title;
  std::vector<std::string> rows, columns;
  std::vector<std::vector<double>> values;  ///< [row][column], shares that sum to 1 over a row
  /// Columns in the order they are drawn, for each row its own where there is more than one; empty: as they are.
  std::vector<std::vector<size_t>> order = {};
  /// Names of stretches of columns as they are drawn, with their lengths; empty: columns are numbered.
  std::vector<std::pair<std::string, size_t>> groups = {};
  std::string note = {};
};
Figure draw(const HeatMap& map);

}  // namespace dsmoe::charts
