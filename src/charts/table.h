// The numbers of a figure, for machines: as CSV, as JSON. And a table for people.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"

namespace dsmoe::charts {

struct Table {
  std::vector<std::string> columns;
  std::vector<std::vector<base::Json>> rows;  ///< strings, numbers, null for what was not measured

  /// `head` goes before it, each of its lines behind "# ".
  std::string csv(const std::string& head = {}) const;
  /// {"columns": [...], "rows": [[...]]}
  base::Json json() const;
};

/// A number as a table takes it: null where it is not finite, else rounded to 7 significant digits.
base::Json cell(double value);

/// Cells of an HTML table, which are HTML already. A row whose `strong` is set is set in bold.
struct HtmlRow {
  std::vector<std::string> cells;
  bool strong = false;
};
/// A table that scrolls by itself where the page is narrow; `head` and first column name, the rest are figures.
std::string html_table(const std::vector<std::string>& head, const std::vector<HtmlRow>& rows);

}  // namespace dsmoe::charts
