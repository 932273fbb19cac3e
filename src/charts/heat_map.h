// Numbers as a grid of cells: which expert takes how much of what, which two go together.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "charts/figure.h"

namespace dsmoe::charts {

/// Cells are coloured by how far their value is from one at which there is no colour, one hue above it, another below,
/// which the colour bar says. A value that is not finite is hatched.
struct HeatMap {
  enum class Scale {
    kShare,   ///< shares that sum to 1 over a row, against the even one; full at four times and at a quarter
    kRatio,   ///< times what chance gives; full at four times and at a quarter
    kCosine,  ///< from -1 to 1
  };
  std::string title, row_title, column_title;
  std::vector<std::string> rows, columns;
  std::vector<std::vector<double>> values;  ///< [row][column]
  /// Columns in the order they are drawn, for each row its own where there is more than one; empty: as they are.
  std::vector<std::vector<size_t>> order = {};
  /// Names of stretches of columns as they are drawn, with their lengths; empty: columns are numbered.
  std::vector<std::pair<std::string, size_t>> groups = {};
  std::string note = {};
  Scale scale = Scale::kShare;
  bool of_pairs = false;  ///< rows and columns are the same things: one is not set against itself
};
Figure draw(const HeatMap& map);

}  // namespace dsmoe::charts
