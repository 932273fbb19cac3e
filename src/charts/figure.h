// One figure of a page: what is drawn, and the numbers behind it.
#pragma once

#include <string>

#include "charts/table.h"

namespace dsmoe::charts {

struct Figure {
  std::string title;
  std::string drawing;  ///< HTML
  std::string note;     ///< how to read it, plain text below the drawing
  Table numbers;        ///< what the page offers as CSV and JSON
};

}  // namespace dsmoe::charts
