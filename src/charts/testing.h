// For tests: what a page shows, read back from it.
#pragma once

#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "base/json.h"

namespace dsmoe::charts {

inline constexpr double kPlace = 0.011;  // shares are written with two digits

struct Point {
  double x, y;  ///< shares of the width from the left and of the height from above
};
using Points = std::vector<Point>;

/// Every match of a pattern in a page, as its groups.
inline std::vector<std::smatch> matches(const std::string& page, const std::string& pattern) {
  const std::regex expression(pattern);
  return {std::sregex_iterator(page.begin(), page.end(), expression), std::sregex_iterator()};
}

/// A curve's points by the name of its series, the stretches of a curve that leaves its axes one after another.
/// `kind`: "line", or "line pale" for curves behind marks.
inline std::map<std::string, Points> lines_of(const std::string& page, const std::string& kind = "line") {
  std::map<std::string, Points> lines;
  for (const auto& line :
       matches(page, "class=\"" + kind + "\" stroke=[^>]*points=\"([^\"]*)\"><title>([^<]*)</title></polyline>")) {
    std::istringstream text(line[1]);
    char comma = 0;
    for (Point p{}; text >> p.x >> comma >> p.y;) lines[line[2]].push_back(p);
  }
  return lines;
}

/// A mark's place by what it says.
inline std::map<std::string, Point> marks_of(const std::string& page) {
  std::map<std::string, Point> marks;
  for (const auto& mark :
       matches(page, "<circle class=\"mark\" cx=\"([0-9.]+)%\" cy=\"([0-9.]+)%?\"[^>]*><title>([^<]*)</title>")) {
    marks[mark[3]] = {std::stod(mark[1]), std::stod(mark[2])};
  }
  return marks;
}

/// What the marks at the upper edge say.
inline std::vector<std::string> clipped_of(const std::string& page) {
  std::vector<std::string> all;
  for (const auto& mark : matches(page, "<text class=\"clipped\"[^>]*>[^<]*<title>([^<]*)</title>"))
    all.push_back(mark[1]);
  return all;
}

/// A bar's length by what it says.
inline std::map<std::string, double> bars_of(const std::string& page) {
  std::map<std::string, double> bars;
  for (const auto& bar : matches(page, "<rect class=\"bar\"[^>]* width=\"([0-9.]+)%\"[^>]*><title>([^<]*)</title>")) {
    bars[bar[2]] = std::stod(bar[1]);
  }
  return bars;
}

/// What the hatched places say.
inline std::set<std::string> hatched_of(const std::string& page) {
  std::set<std::string> all;
  for (const auto& place : matches(page, "<rect class=\"hatched\"[^>]*><title>([^<]*)</title>")) all.insert(place[1]);
  return all;
}

struct Cell {
  std::string colour;
  double strength, x;
};

/// A heat map's cell by what it says.
inline std::map<std::string, Cell> cells_of(const std::string& page) {
  std::map<std::string, Cell> cells;
  for (const auto& cell : matches(page,
                                  "<rect class=\"cell\" x=\"([0-9.]+)%\"[^>]*fill=\"([^\"]*)\" "
                                  "fill-opacity=\"([0-9.]+)\"><title>([^<]*)</title>")) {
    cells[cell[4]] = {cell[2], std::stod(cell[3]), std::stod(cell[1])};
  }
  return cells;
}

/// Names of a figure's rows, from above.
inline std::vector<std::string> row_names_of(const std::string& page) {
  std::vector<std::string> names;
  for (const auto& name : matches(page, "<span>([^<]*)</span><svg")) names.push_back(name[1]);
  return names;
}

/// The colours of a figure's legend by name.
inline std::map<std::string, std::string> legend_of(const std::string& page) {
  std::map<std::string, std::string> colours;
  for (const auto& key : matches(page, "class=\"key\"><svg[^>]*><line[^>]*stroke=\"([^\"]*)\".*?</svg>([^<]+)<")) {
    std::string name = key[2];
    while (!name.empty() && name.back() == ' ') name.pop_back();
    colours[name] = key[1];
  }
  return colours;
}

/// The numbers that a page carries for machines.
inline base::Json data_of(const std::string& page) {
  const std::string opening = "id=\"data\">";
  const size_t begin = page.find(opening) + opening.size();
  return base::parse_json(page.substr(begin, page.find("</script>", begin) - begin), "the page's data");
}

/// What the link to a file of that name holds; empty where there is none.
inline std::string linked_file(const std::string& page, const std::string& file) {
  const auto links = matches(page, "download=\"" + file + "\" href=\"data:[^,\"]*,([^\"]*)\"");
  if (links.empty()) return {};
  const std::string code = links.front()[1];
  std::string text;
  for (size_t i = 0; i < code.size(); ++i) {
    if (code[i] == '%') {
      text += static_cast<char>(std::stoi(code.substr(i + 1, 2), nullptr, 16));
      i += 2;
    } else {
      text += code[i];
    }
  }
  return text;
}

}  // namespace dsmoe::charts
