// A self-contained page: words, tables and figures in the order they are added, with every figure's numbers as CSV and
// JSON, and a block of data for machines at its end. No script, no fonts, nothing fetched.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "base/json.h"
#include "charts/figure.h"

namespace dsmoe::charts {

class Page {
 public:
  /// `provenance`: what the figures come from; goes with the numbers of each.
  Page(std::string title, base::Json provenance);

  /// HTML as it is.
  void add(const std::string& html);
  void section(const std::string& heading);
  /// Side by side where the page is wide enough.
  void add(const std::vector<Figure>& figures);
  void add(const Figure& figure) { add(std::vector<Figure>{figure}); }
  /// Behind a line to click on; `open` shows it from the beginning.
  void add_folded(const std::string& summary, const Figure& figure, bool open = false);

  /// The whole document. `data`, an object, is embedded as JSON under the id "data" with "title", "provenance" and
  /// "figures" (title, columns, rows) beside its own members.
  std::string html(base::Json data) const;

 private:
  std::string figure_html(const Figure& figure);

  std::string title_, body_;
  base::Json provenance_, figures_ = base::Json::array();
  std::set<std::string> names_;  // of figures, each its own
};

}  // namespace dsmoe::charts
