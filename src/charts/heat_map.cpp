#include "charts/heat_map.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/error.h"
#include "charts/rows.h"
#include "charts/text.h"

namespace dsmoe::charts {
namespace {

constexpr int kCell = 18;

using Scale = HeatMap::Scale;

// From -1, a quarter of the even share or less, to 1, four times or more; a cosine as it is.
double strength(Scale scale, double value) {
  return std::clamp(scale == Scale::kCosine ? value : std::log2(std::max(value, 1e-3)) / 2, -1.0, 1.0);
}

std::string fill(double strength) {
  char opacity[16];
  std::snprintf(opacity, sizeof opacity, "%.2f", std::abs(strength));
  return std::string("fill=\"var(--") + (strength >= 0 ? "above" : "below") + ")\" fill-opacity=\"" + opacity + "\"";
}

std::string value_text(Scale scale, double value, double columns) {
  if (scale == Scale::kCosine) return "cosine " + short_number(value);
  if (scale == Scale::kRatio) return short_number(value) + " times chance";
  return short_number(100 * value) + " % (" + short_number(value * columns) + " times the even share)";
}

std::string cell_rect(const HeatMap& map, size_t row, size_t column, size_t place) {
  const auto count = static_cast<double>(map.columns.size());
  const std::string at = "x=\"" + percent(100 * static_cast<double>(place) / count) + "\" width=\"" +
                         percent(100 / count) + "\" height=\"" + std::to_string(kCell - 1) + "\"";
  const std::string name = map.rows[row] + ", " + map.column_title + " " + map.columns[column];
  const double value = map.values[row][column];
  if (map.of_pairs && row == column) return "";
  if (!std::isfinite(value)) return hatched(at, name);
  const double scaled = map.scale == Scale::kShare ? value * count : value;
  return "<rect class=\"cell\" " + at + " " + fill(strength(map.scale, scaled)) + "><title>" +
         escape_html(name + ": " + value_text(map.scale, value, count)) + "</title></rect>";
}

size_t column_at(const HeatMap& map, size_t row, size_t place) {
  if (map.order.empty()) return place;
  return map.order[map.order.size() == 1 ? 0 : row][place];
}

Row head_row(const HeatMap& map) {
  Row row{map.row_title, "", 18};
  const auto count = static_cast<double>(map.columns.size());
  size_t place = 0;
  for (const auto& [name, length] : map.groups) {
    const std::string from = percent(100 * static_cast<double>(place) / count);
    // A name that its stretch cannot hold is told by the hover title of the line under it.
    const double room = static_cast<double>(length) / count;
    row.marks += "<line class=\"group\" x1=\"" + from + "\" x2=\"" +
                 percent(100 * static_cast<double>(place + length) / count) + "\" y1=\"15\" y2=\"15\"><title>" +
                 escape_html(name) + "</title></line>";
    if (room > 0.016 * static_cast<double>(name.size()) + 0.02) {
      row.marks += "<text x=\"" + from + "\" dx=\"2\" y=\"11\">" + escape_html(name) + "</text>";
    }
    place += length;
  }
  if (map.groups.empty()) {
    row.marks = "<text x=\"0\" y=\"11\">" + escape_html(map.column_title) + "</text>";
  }
  return row;
}

Row colour_bar(Scale scale) {
  constexpr const char* kTimes[] = {"\u00bc", "\u00bd", "1", "2", "4"};
  constexpr const char* kCosines[] = {"\u22121", "\u2212\u00bd", "0", "\u00bd", "1"};
  Row row{scale == Scale::kCosine  ? "cosine"
          : scale == Scale::kRatio ? "times chance"
                                   : "times the even share",
          "", 34};
  constexpr int kSteps = 16;
  constexpr double kWidth = 60;  // share of the track
  for (int i = 0; i < kSteps; ++i) {
    row.marks += "<rect x=\"" + percent(kWidth * i / kSteps) + "\" y=\"4\" width=\"" + percent(kWidth / kSteps + 0.05) +
                 "\" height=\"12\" " + fill(2 * (i + 0.5) / kSteps - 1) + "/>";
  }
  for (int i = 0; i < 5; ++i) {
    row.marks += "<text x=\"" + percent(kWidth * i / 4) + "\" y=\"29\" text-anchor=\"" + (i == 0 ? "start" : "middle") +
                 "\">" + (scale == Scale::kCosine ? kCosines : kTimes)[i] + "</text>";
  }
  return row;
}

Table numbers_of(const HeatMap& map) {
  Table table{{map.row_title}, {}};
  for (const std::string& name : map.columns) table.columns.push_back(map.column_title + " " + name);
  for (size_t r = 0; r < map.rows.size(); ++r) {
    table.rows.push_back({map.rows[r]});
    for (const double value : map.values[r]) table.rows.back().push_back(cell(value));
  }
  return table;
}

}  // namespace

Figure draw(const HeatMap& map) {
  std::vector<Row> rows = {head_row(map)};
  for (size_t r = 0; r < map.rows.size(); ++r) {
    DSMOE_CHECK(map.values[r].size() == map.columns.size(), "a cell for each column");
    Row row{map.rows[r], "", kCell};
    for (size_t place = 0; place < map.columns.size(); ++place) {
      row.marks += cell_rect(map, r, column_at(map, r, place), place);
    }
    rows.push_back(std::move(row));
  }
  rows.push_back(colour_bar(map.scale));
  return {map.title, draw_rows(rows, map.title), map.note, numbers_of(map)};
}

}  // namespace dsmoe::charts
