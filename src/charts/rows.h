// The frame of figures that are made of rows: a name on the left, which wraps, and a track on the right.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "charts/scale.h"

namespace dsmoe::charts {

struct Row {
  std::string name;   ///< plain text
  std::string marks;  ///< what an <svg> of the track's width holds
  int height = 18;    ///< of the track, in pixels
};
/// HTML of the rows, one below the other.
std::string draw_rows(const std::vector<Row>& rows, const std::string& title);

/// Lines down a row of this height at round values; and the row below that names the values.
std::string row_grid(const Scale& scale, int height);
Row axis_row(const Scale& scale, const std::string& unit);

/// Hatching over part of a row's track: what was not measured, which the title says.
std::string hatched(const std::string& place, const std::string& title);

}  // namespace dsmoe::charts
