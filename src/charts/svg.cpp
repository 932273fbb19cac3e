#include "charts/svg.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

#include "base/error.h"
#include "base/utf8.h"

namespace dsmoe::charts {

std::string escape_html(const std::string& text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    char32_t c = 0;
    const size_t length = base::utf8_decode(text, at, c);
    const bool printable = length > 0 && (c >= 0x20 || c == '\n' || c == '\t') && c != 0x7f;
    if (!printable) {
      out += "\xEF\xBF\xBD";
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else if (c == '&') {
      out += "&amp;";
    } else if (c == '"') {
      out += "&quot;";
    } else {
      out.append(text, at, length);
    }
    at += std::max<size_t>(length, 1);
  }
  return out;
}

std::string short_number(double value) {
  char text[40];
  const double size = std::abs(value);
  if (size < 1e6 && (size >= 1e3 || value == std::floor(value))) {
    std::snprintf(text, sizeof text, "%.0f", value);
  } else {
    std::snprintf(text, sizeof text, "%.4g", value);
  }
  return text;
}

std::vector<double> round_ticks(double low, double high, int about) {
  if (!(high > low)) high = low + std::max(1.0, std::abs(low));
  const double rough = (high - low) / about;
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  const double lead = rough / power;
  const double step = power * (lead <= 1 ? 1 : lead <= 2 ? 2 : lead <= 5 ? 5 : 10);
  std::vector<double> ticks;
  const auto first = static_cast<long>(std::floor(low / step + 1e-9));
  for (long i = first;; ++i) {
    ticks.push_back(static_cast<double>(i) * step);
    if (ticks.back() >= high - step * 1e-9) break;
  }
  return ticks;
}

namespace {

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", value);
  return text;
}

std::string text_at(double x, double y, const std::string& words, const std::string& attributes = {}) {
  return "<text x=\"" + number(x) + "\" y=\"" + number(y) + "\" " + attributes + ">" + escape_html(words) + "</text>";
}

std::string open_svg(double width, double height, const std::string& title) {
  return "<svg viewBox=\"0 0 " + number(width) + " " + number(height) + "\" role=\"img\" aria-label=\"" +
         escape_html(title) + "\" style=\"max-width:" + number(width) + "px\">";
}

// Six colours, then the same six with dashes, then with dots: 18 lines that a reader can tell apart.
std::string series_colour(size_t index) { return "var(--series-" + std::to_string(index % 6) + ")"; }
std::string series_dashes(size_t index) {
  constexpr const char* kDashes[] = {"", " stroke-dasharray=\"6 3\"", " stroke-dasharray=\"2 3\""};
  return kDashes[index / 6 % 3];
}

constexpr double kLegendLine = 16;

double legend_entry_width(const std::string& name) { return 40 + 7.0 * static_cast<double>(name.size()); }

// Lines that a legend takes between x and `right`.
int legend_lines(const std::vector<std::string>& names, double left, double right) {
  int lines = 1;
  double x = left;
  for (const std::string& name : names) {
    if (x > left && x + legend_entry_width(name) > right) {
      x = left;
      ++lines;
    }
    x += legend_entry_width(name);
  }
  return lines;
}

// Names with a piece of their line, from `left` on; a name that would pass `right` begins the next line.
std::string legend(const std::vector<std::string>& names, double left, double right, double y) {
  std::string out;
  double x = left;
  for (size_t i = 0; i < names.size(); ++i) {
    if (x > left && x + legend_entry_width(names[i]) > right) {
      x = left;
      y += kLegendLine;
    }
    out += "<line x1=\"" + number(x) + "\" x2=\"" + number(x + 18) + "\" y1=\"" + number(y - 4) + "\" y2=\"" +
           number(y - 4) + "\" stroke-width=\"3\" stroke=\"" + series_colour(i) + "\"" + series_dashes(i) + "/>" +
           text_at(x + 23, y, names[i]);
    x += legend_entry_width(names[i]);
  }
  return out;
}

// A range of values on the page.
struct Scale {
  double low, high, from, to;
  double operator()(double value) const { return from + (value - low) / (high - low) * (to - from); }
};

// Smallest and largest finite values; the loss of the first steps would flatten the rest, so y may be cut at a
// quantile.
std::pair<double, double> range_of(const std::vector<Series>& all, bool of_y) {
  std::vector<double> values;
  for (const Series& series : all) {
    for (const double value : of_y ? series.y : series.x) {
      if (std::isfinite(value)) values.push_back(value);
    }
  }
  if (values.empty()) return {0, 1};
  std::sort(values.begin(), values.end());
  return {values.front(), of_y ? values[(values.size() - 1) * 98 / 100] : values.back()};
}

}  // namespace

std::string draw(const LineChart& chart) {
  constexpr double kWidth = 720, kLeft = 56, kRight = 700, kPlot = 235;
  const auto [x_low, x_high] = range_of(chart.series, false);
  const auto [y_low, y_high] = range_of(chart.series, true);
  const std::vector<double> x_ticks = round_ticks(x_low, x_high), y_ticks = round_ticks(y_low, y_high);
  std::vector<std::string> names;
  for (const Series& series : chart.series) names.push_back(series.name);
  const double top = 40 + kLegendLine * legend_lines(names, kLeft, kRight), bottom = top + kPlot, height = bottom + 45;
  const Scale x{x_ticks.front(), x_ticks.back(), kLeft, kRight}, y{y_ticks.front(), y_ticks.back(), bottom, top};

  std::string out = open_svg(kWidth, height, chart.title);
  out += text_at(kLeft, 16, chart.title, "font-weight=\"600\"") + legend(names, kLeft, kRight, 36);
  for (const double tick : y_ticks) {
    out += "<line class=\"grid\" x1=\"56\" x2=\"700\" y1=\"" + number(y(tick)) + "\" y2=\"" + number(y(tick)) + "\"/>";
    out += text_at(kLeft - 6, y(tick) + 4, short_number(tick), "text-anchor=\"end\"");
  }
  for (const double tick : x_ticks) {
    out += text_at(x(tick), bottom + 18, short_number(tick), "text-anchor=\"middle\"");
  }
  out += text_at((kLeft + kRight) / 2, height - 6, chart.x_label, "text-anchor=\"middle\"");
  out += text_at(2, top - 10, chart.y_label);
  for (size_t s = 0; s < chart.series.size(); ++s) {
    const Series& series = chart.series[s];
    DSMOE_CHECK(series.x.size() == series.y.size(), "a series has one y for each x");
    std::string points, clipped;
    for (size_t i = 0; i < series.x.size(); ++i) {
      if (!std::isfinite(series.x[i]) || !std::isfinite(series.y[i])) continue;
      const double height_of = y(series.y[i]);
      points += number(x(series.x[i])) + "," + number(std::max(top, height_of)) + " ";
      // What lies above the axes is drawn at their edge and marked.
      if (height_of < top - 0.5) clipped += text_at(x(series.x[i]) - 4, top - 1, "\u25B4", "class=\"small\"");
    }
    out += "<polyline fill=\"none\" stroke-width=\"1.6\" stroke=\"" + series_colour(s) + "\"" + series_dashes(s) +
           " points=\"" + points + "\"><title>" + escape_html(series.name) + "</title></polyline>" + clipped;
  }
  return out + "</svg>\n";
}

std::string draw(const BarChart& chart) {
  const double bar = 12, gap = 10, left = 110;
  const double group = bar * static_cast<double>(chart.series.size()) + gap;
  double largest = 0;
  for (const auto& row : chart.values) {
    DSMOE_CHECK(row.size() == chart.labels.size(), "a bar for each label");
    for (const double value : row) largest = std::isfinite(value) ? std::max(largest, value) : largest;
  }
  const Scale x{0, std::max(largest, 1e-12), left, 640};
  const double first = 10 + kLegendLine * legend_lines(chart.series, left, 700);
  std::string out = open_svg(720, first + 4 + group * static_cast<double>(chart.labels.size()), chart.title);
  out += legend(chart.series, left, 700, 14);
  for (size_t label = 0; label < chart.labels.size(); ++label) {
    const double top = first + group * static_cast<double>(label);
    out += text_at(left - 8, top + (group - gap) / 2 + 4, chart.labels[label], "text-anchor=\"end\"");
    for (size_t s = 0; s < chart.series.size(); ++s) {
      const double value = chart.values[s][label];
      if (!std::isfinite(value)) continue;
      const double y = top + bar * static_cast<double>(s);
      out += "<rect x=\"110\" y=\"" + number(y) + "\" width=\"" + number(x(value) - left) + "\" height=\"11\" fill=\"" +
             series_colour(s) + "\"><title>" + escape_html(chart.series[s] + ", " + chart.labels[label] + ": ") +
             short_number(value) + " " + escape_html(chart.unit) + "</title></rect>";
      out += text_at(x(value) + 5, y + 10, short_number(value), "class=\"small\"");
    }
  }
  return out + "</svg>\n";
}

std::string draw(const HeatMap& map) {
  const double left = 110, top = 34;
  const double cell = std::clamp(600 / std::max(1.0, static_cast<double>(map.columns.size())), 8.0, 22.0);
  const double width = left + cell * static_cast<double>(map.columns.size()) + 20;
  const double height = top + cell * static_cast<double>(map.rows.size()) + 8;
  std::string out = open_svg(std::max(width, 360.0), height, map.title);
  out += text_at(left, 12, map.column_title, "class=\"small\"");
  const size_t every = map.columns.size() > 16 ? 8 : 1;
  for (size_t c = 0; c < map.columns.size(); c += every) {
    out += text_at(left + cell * (static_cast<double>(c) + 0.5), top - 6, map.columns[c],
                   "class=\"small\" text-anchor=\"middle\"");
  }
  for (size_t r = 0; r < map.rows.size(); ++r) {
    const double y = top + cell * static_cast<double>(r);
    out += text_at(left - 6, y + cell / 2 + 4, map.rows[r], "class=\"small\" text-anchor=\"end\"");
    DSMOE_CHECK(map.values[r].size() == map.columns.size(), "a cell for each column");
    for (size_t c = 0; c < map.columns.size(); ++c) {
      const double even = 1.0 / static_cast<double>(map.columns.size());
      const double ratio = map.values[r][c] / even;
      // full colour at four times, and at a quarter of, the even share
      const double strength = std::clamp(std::log2(std::max(ratio, 1e-3)) / 2, -1.0, 1.0);
      char opacity[16];
      std::snprintf(opacity, sizeof opacity, "%.2f", std::abs(strength));
      out += "<rect class=\"cell\" x=\"" + number(left + cell * static_cast<double>(c)) + "\" y=\"" + number(y) +
             "\" width=\"" + number(cell - 1) + "\" height=\"" + number(cell - 1) + "\" fill=\"var(--" +
             (strength >= 0 ? "above" : "below") + ")\" fill-opacity=\"" + opacity + "\"><title>" +
             escape_html(map.rows[r] + ", " + map.column_title + " " + map.columns[c]) + ": " +
             short_number(100 * map.values[r][c]) + " % (" + short_number(ratio) +
             " times the even share)</title></rect>";
    }
  }
  return out + "</svg>\n";
}

}  // namespace dsmoe::charts
