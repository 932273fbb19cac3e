#include "charts/bars.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "charts/palette.h"
#include "charts/rows.h"
#include "charts/text.h"

namespace dsmoe::charts {
namespace {

constexpr int kBar = 14;
constexpr double kLongest = 84;  // share of the track; the number stands behind the bar

// Means leave out what was not measured; nothing measured comes last.
double mean(const std::vector<double>& values) {
  double sum = 0, count = 0;
  for (const double value : values) {
    if (std::isfinite(value)) sum += value, ++count;
  }
  return count == 0 ? INFINITY : sum / count;
}

std::vector<size_t> by_mean(const std::vector<std::vector<double>>& values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return mean(values[a]) < mean(values[b]); });
  return order;
}

std::vector<size_t> series_order(const BarChart& chart) {
  std::vector<std::vector<double>> first;
  for (const auto& row : chart.values) first.push_back({row.begin(), row.begin() + (row.empty() ? 0 : 1)});
  return by_mean(first);
}

std::string bar(double value, double largest, int top, size_t colour, const std::string& title) {
  const std::string y = std::to_string(top), width = percent(std::max(0.0, kLongest * value / largest));
  return "<rect class=\"bar\" y=\"" + y + "\" width=\"" + width + "\" height=\"" + std::to_string(kBar - 2) +
         "\" fill=\"" + series_colour(colour) + "\"><title>" + escape_html(title) + "</title></rect><text x=\"" +
         width + "\" dx=\"5\" y=\"" + std::to_string(top + 10) + "\">" + short_number(value) + "</text>";
}

Table numbers_of(const BarChart& chart) {
  Table table{{"series", "label", chart.unit}, {}};
  for (const size_t s : series_order(chart)) {
    for (size_t l = 0; l < chart.labels.size(); ++l) {
      table.rows.push_back({chart.series[s], chart.labels[l], cell(chart.values[s][l])});
    }
  }
  return table;
}

// Names of values that have colours; none where all dots have one.
std::vector<std::string> names_of(const DotChart& chart) {
  std::vector<std::string> names;
  for (const DotChart::Row& row : chart.rows) {
    for (const std::string& name : row.names) {
      if (chart.coloured && std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
    }
  }
  return names;
}

Row dot_row(const DotChart& chart, const DotChart::Row& from, const Scale& scale,
            const std::vector<std::string>& names) {
  Row row{from.label, row_grid(scale, 24), 24};
  const double middle = mean(from.values);
  const auto words = [&](const std::string& name, double value) {
    return from.label + ", " + name + ": " + short_number(value) + " " + chart.unit;
  };
  if (!std::isfinite(middle)) {
    row.marks += hatched("y=\"4\" width=\"100%\" height=\"16\"", from.label);
    return row;
  }
  if (!chart.coloured) {
    const std::string x = percent(scale(middle));
    row.marks += "<line class=\"mean\" x1=\"" + x + "\" x2=\"" + x + "\" y1=\"3\" y2=\"21\"><title>" +
                 escape_html(words("mean", middle)) + "</title></line>";
  }
  for (size_t i = 0; i < from.values.size(); ++i) {
    if (!std::isfinite(from.values[i])) continue;
    const auto colour = static_cast<size_t>(std::find(names.begin(), names.end(), from.names[i]) - names.begin());
    row.marks += series_mark(chart.coloured ? colour : 0, percent(scale(from.values[i])), "12",
                             words(from.names[i], from.values[i]));
  }
  return row;
}

Table numbers_of(const DotChart& chart, const std::vector<size_t>& order) {
  Table table{{"row", "value of", chart.unit}, {}};
  for (const size_t r : order) {
    const DotChart::Row& row = chart.rows[r];
    for (size_t i = 0; i < row.values.size(); ++i) table.rows.push_back({row.label, row.names[i], cell(row.values[i])});
    if (row.values.empty()) table.rows.push_back({row.label, nullptr, nullptr});
  }
  return table;
}

}  // namespace

Figure draw(const BarChart& chart) {
  DSMOE_CHECK(chart.values.size() == chart.series.size(), "values for each series");
  double largest = 0;
  for (const auto& row : chart.values) {
    DSMOE_CHECK(row.size() == chart.labels.size(), "a bar for each label");
    for (const double value : row) largest = std::isfinite(value) ? std::max(largest, value) : largest;
  }
  const std::vector<size_t> order = series_order(chart);
  std::vector<Row> rows;
  for (size_t l = 0; l < chart.labels.size(); ++l) {
    Row row{chart.labels[l], "", kBar * static_cast<int>(order.size()) + 8};
    for (size_t place = 0; place < order.size(); ++place) {
      const size_t s = order[place];
      const std::string title = chart.series[s] + ", " + chart.labels[l];
      const int top = kBar * static_cast<int>(place);
      const double value = chart.values[s][l];
      if (std::isfinite(value)) {
        row.marks +=
            bar(value, std::max(largest, 1e-12), top, s, title + ": " + short_number(value) + " " + chart.unit);
      } else {
        const std::string at = "y=\"" + std::to_string(top) + "\" width=\"84%\" height=\"12\"";
        row.marks += hatched(at, title);
      }
    }
    rows.push_back(std::move(row));
  }
  std::string legend;
  for (const size_t s : order) legend += legend_entry(s, chart.series[s]);
  return {chart.title, "<p class=\"legend\">" + legend + "</p>\n" + draw_rows(rows, chart.title), chart.note,
          numbers_of(chart)};
}

Figure draw(const DotChart& chart) {
  std::vector<double> all;
  std::vector<std::vector<double>> values;
  for (const DotChart::Row& row : chart.rows) {
    DSMOE_CHECK(row.names.size() == row.values.size(), "a name for each value");
    all.insert(all.end(), row.values.begin(), row.values.end());
    values.push_back(row.values);
  }
  const Scale scale = scale_of(all, 0.06);
  const std::vector<std::string> names = names_of(chart);
  std::vector<size_t> order(chart.rows.size());
  std::iota(order.begin(), order.end(), size_t{0});
  if (!chart.coloured) order = by_mean(values);
  std::vector<Row> rows;
  for (const size_t r : order) rows.push_back(dot_row(chart, chart.rows[r], scale, names));
  rows.push_back(axis_row(scale, chart.unit));
  std::string legend;
  for (size_t i = 0; i < names.size(); ++i) legend += legend_entry(i, names[i]);
  if (!legend.empty()) legend = "<p class=\"legend\">" + legend + "</p>\n";
  return {chart.title, legend + draw_rows(rows, chart.title), chart.note, numbers_of(chart, order)};
}

}  // namespace dsmoe::charts
