#include "charts/lines.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>
#include <optional>

#include "base/error.h"
#include "charts/palette.h"
#include "charts/scale.h"
#include "charts/text.h"

namespace dsmoe::charts {
namespace {

struct Axes {
  Scale x, y;  // y grows upwards; shares are of the height from below
};

struct Clipped {
  size_t places = 0;
  double highest = 0;
};

std::vector<double> all_values(const LineChart& chart, std::vector<double> Series::*axis) {
  std::vector<double> values;
  for (const auto* group : {&chart.lines, &chart.points}) {
    for (const Series& series : *group) {
      DSMOE_CHECK(series.x.size() == series.y.size(), "a series has one y for each x");
      for (size_t i = 0; i < series.x.size(); ++i) {
        if (std::isfinite(series.x[i]) && std::isfinite(series.y[i])) values.push_back((series.*axis)[i]);
      }
    }
  }
  return values;
}

// The loss of the first steps would flatten the rest: where the highest twentieth of the values takes more room than
// all others together, the axis ends a little above those others.
Scale y_scale(std::vector<double> values) {
  const Scale whole = scale_of(values);
  if (values.size() < 20) return whole;
  std::sort(values.begin(), values.end());
  const double low = values.front(), most = values[values.size() * 95 / 100];
  if (!(most > low) || values.back() - most <= most - low) return whole;
  return scale_of({low, low + 1.15 * (most - low)});
}

Axes axes_of(const LineChart& chart) {
  return {scale_of(all_values(chart, &Series::x), 0.01), y_scale(all_values(chart, &Series::y))};
}

// 1 where every value is a whole number, such as a layer: between two of them there is nothing to mark. 0 otherwise.
double least_step_of(const std::vector<double>& values) {
  return std::ranges::all_of(values, [](double value) { return value == std::floor(value); }) ? 1 : 0;
}

std::string down(double share) { return percent(100 - share); }

std::string grid(const LineChart& chart, const Axes& axes) {
  std::string out;
  for (const double tick : round_ticks(axes.y.low, axes.y.high)) {
    const std::string y = down(axes.y(tick));
    out += "<line class=\"grid\" x1=\"0\" x2=\"100%\" y1=\"" + y + "\" y2=\"" + y + "\"/><text x=\"-6\" y=\"" + y +
           "\" dy=\"4\" text-anchor=\"end\">" + short_number(tick) + "</text>";
  }
  for (const double tick : round_ticks(axes.x.low, axes.x.high, 5, least_step_of(all_values(chart, &Series::x)))) {
    const std::string x = percent(axes.x(tick));
    out += "<line class=\"grid\" x1=\"" + x + "\" x2=\"" + x +
           "\" y1=\"100%\" y2=\"100%\" transform=\"translate(0 4)\"/>" + "<text x=\"" + x +
           "\" y=\"100%\" dy=\"17\" text-anchor=\"middle\">" + short_number(tick) + "</text>";
  }
  out += "<line class=\"grid\" x1=\"0\" x2=\"100%\" y1=\"100%\" y2=\"100%\"/>";
  return out + "<text class=\"axis\" x=\"100%\" y=\"100%\" dy=\"34\" text-anchor=\"end\">" +
         escape_html(chart.x_label) + "</text>";
}

struct Place {
  double x, y;  // shares
};

std::string polyline(const std::vector<Place>& places, const Series& series, size_t colour, const char* kind) {
  if (places.size() < 2) return {};
  std::string points;
  for (const Place& place : places) {
    char text[48];
    std::snprintf(text, sizeof text, "%.2f,%.2f ", place.x, 100 - place.y);
    points += text;
  }
  points.pop_back();
  return std::string("<polyline class=\"") + kind + "\" stroke=\"" + series_colour(colour) + "\"" +
         series_dashes(colour) + " points=\"" + points + "\"><title>" + escape_html(series.name) +
         "</title></polyline>";
}

// Where the way from a to b meets the upper edge.
Place at_edge(const Place& a, const Place& b) { return {a.x + (b.x - a.x) * (100 - a.y) / (b.y - a.y), 100}; }

// One polyline for each stretch below the upper edge; a stretch ends where the curve leaves the axes.
std::string curve(const Series& series, const Axes& axes, size_t colour, const char* kind) {
  std::string out;
  std::vector<Place> stretch;
  std::optional<Place> before;
  const auto end_stretch = [&] {
    out += polyline(stretch, series, colour, kind);
    stretch.clear();
  };
  for (size_t i = 0; i < series.x.size(); ++i) {
    if (!std::isfinite(series.x[i]) || !std::isfinite(series.y[i])) continue;
    const Place place{axes.x(series.x[i]), axes.y(series.y[i])};
    const bool inside = place.y <= 100;
    if (before && inside != (before->y <= 100)) stretch.push_back(at_edge(*before, place));
    if (inside) stretch.push_back(place);
    if (!inside) end_stretch();
    before = place;
  }
  end_stretch();
  return out;
}

std::string words(const LineChart& chart, const Series& series, size_t i) {
  return series.name + ": " + short_number(series.y[i]) + " " + chart.y_label + " at " + short_number(series.x[i]) +
         " " + chart.x_label;
}

std::string clip_mark(const LineChart& chart, const Series& series, size_t i, const Axes& axes, size_t colour) {
  return "<text class=\"clipped\" x=\"" + percent(axes.x(series.x[i])) +
         "\" y=\"0\" dy=\"-1\" text-anchor=\"middle\" style=\"fill:" + series_colour(colour) + "\">\u25B2<title>" +
         escape_html(words(chart, series, i) + ", above this axis") + "</title></text>";
}

// A mark at the edge for the highest value of each stretch above it.
std::string clip_marks(const LineChart& chart, const Series& series, const Axes& axes, size_t colour,
                       Clipped& clipped) {
  std::string out;
  const size_t count = series.x.size();
  size_t highest = count;  // of the stretch at hand; `count`: below the edge
  for (size_t i = 0; i <= count; ++i) {
    const bool above = i < count && std::isfinite(series.x[i]) && axes.y(series.y[i]) > 100;
    if (above && (highest == count || series.y[i] > series.y[highest])) highest = i;
    if (above || highest == count) continue;
    out += clip_mark(chart, series, highest, axes, colour);
    ++clipped.places;
    clipped.highest = std::max(clipped.highest, series.y[highest]);
    highest = count;
  }
  return out;
}

// Places to hold a pointer on: every mark, some dozens along a line.
std::string hover_places(const LineChart& chart, const Series& series, const Axes& axes, size_t colour) {
  std::string out;
  const size_t stride = std::max<size_t>(1, series.x.size() / 40);
  for (size_t i = 0; i < series.x.size(); i += stride) {
    if (!std::isfinite(series.x[i]) || !(axes.y(series.y[i]) <= 100)) continue;
    out += "<circle class=\"hover\" cx=\"" + percent(axes.x(series.x[i])) + "\" cy=\"" + down(axes.y(series.y[i])) +
           "\" r=\"7\" fill=\"" + series_colour(colour) + "\"><title>" + escape_html(words(chart, series, i)) +
           "</title></circle>";
  }
  return out;
}

std::string marks(const LineChart& chart, const Series& series, const Axes& axes, size_t colour) {
  std::string out;
  for (size_t i = 0; i < series.x.size(); ++i) {
    if (!std::isfinite(series.x[i]) || !(axes.y(series.y[i]) <= 100)) continue;
    out += series_mark(colour, percent(axes.x(series.x[i])), down(axes.y(series.y[i])), words(chart, series, i));
  }
  return out;
}

std::vector<std::string> names_of(const LineChart& chart) {
  std::vector<std::string> names = chart.names;
  for (const auto* group : {&chart.points, &chart.lines}) {
    for (const Series& series : *group) {
      if (std::find(names.begin(), names.end(), series.name) == names.end()) names.push_back(series.name);
    }
  }
  return names;
}

// Of its marks, or of its line where it has none; NaN where it has neither.
double last_value(const LineChart& chart, const std::string& name) {
  for (const auto* group : {&chart.points, &chart.lines}) {
    for (const Series& series : *group) {
      for (size_t i = series.y.size(); series.name == name && i-- > 0;) {
        if (std::isfinite(series.y[i])) return series.y[i];
      }
    }
  }
  return std::nan("");
}

std::string legend_of(const LineChart& chart, const std::vector<std::string>& names) {
  std::vector<std::pair<double, size_t>> entries;
  for (size_t i = 0; i < names.size(); ++i) {
    const double last = last_value(chart, names[i]);
    if (std::isfinite(last)) entries.emplace_back(last, i);
  }
  std::sort(entries.begin(), entries.end());
  std::string out;
  for (const auto& [last, i] : entries) out += legend_entry(i, names[i], short_number(last));
  return "<p class=\"legend\">" + out + "</p>\n";
}

Table numbers_of(const LineChart& chart) {
  Table table{{"series", "kind", chart.x_label, chart.y_label}, {}};
  const auto add = [&](const std::vector<Series>& group, const std::string& kind) {
    for (const Series& series : group) {
      for (size_t i = 0; i < series.x.size(); ++i) {
        table.rows.push_back({series.name, kind, cell(series.x[i]), cell(series.y[i])});
      }
    }
  };
  add(chart.points, chart.point_name);
  add(chart.lines, chart.line_name);
  return table;
}

std::string note_of(const LineChart& chart, const Clipped& clipped) {
  std::string out = chart.note;
  if (clipped.places > 0) {
    out += (out.empty() ? "" : " ") + std::string("\u25B2 marks what lies above the axis, up to ") +
           short_number(clipped.highest) + ".";
  }
  return out;
}

}  // namespace

std::vector<double> thinned(const std::vector<double>& values, size_t most) {
  const size_t stride = (values.size() + most - 1) / most;
  std::vector<double> out;
  for (size_t begin = 0; begin < values.size(); begin += stride) {
    const size_t end = std::min(begin + stride, values.size());
    out.push_back(
        std::accumulate(values.begin() + static_cast<long>(begin), values.begin() + static_cast<long>(end), 0.0) /
        static_cast<double>(end - begin));
  }
  return out;
}

Series smoothed(const Series& series, size_t points) {
  Series out{series.name, {}, {}};
  const size_t count = series.y.size(), stride = std::max<size_t>(1, (count + points - 1) / points);
  const size_t half = std::max(stride, count / 20) / 2;
  for (size_t middle = stride / 2; middle < count; middle += stride) {
    double sum_x = 0, sum_y = 0, finite = 0;
    for (size_t i = middle - std::min(middle, half); i < std::min(middle + half + 1, count); ++i) {
      if (!std::isfinite(series.y[i]) || !std::isfinite(series.x[i])) continue;
      sum_x += series.x[i], sum_y += series.y[i], ++finite;
    }
    if (finite == 0) continue;
    out.x.push_back(sum_x / finite);
    out.y.push_back(sum_y / finite);
  }
  return out;
}

Figure draw(const LineChart& chart) {
  const Axes axes = axes_of(chart);
  const std::vector<std::string> names = names_of(chart);
  const auto colour_of = [&](const Series& series) {
    return static_cast<size_t>(std::find(names.begin(), names.end(), series.name) - names.begin());
  };
  std::string curves, over;  // in one coordinate system of shares; marks of one size over them
  Clipped clipped;
  for (const Series& series : chart.lines) {
    curves += curve(series, axes, colour_of(series), chart.points.empty() ? "line" : "line pale");
    over += clip_marks(chart, series, axes, colour_of(series), clipped);
    over += hover_places(chart, series, axes, colour_of(series));
  }
  for (const Series& series : chart.points) {
    curves += curve(series, axes, colour_of(series), "line");
    over += clip_marks(chart, series, axes, colour_of(series), clipped);
    over += marks(chart, series, axes, colour_of(series));
  }
  std::string drawing = legend_of(chart, names) + "<p class=\"axis\">" + escape_html(chart.y_label) +
                        "</p>\n<div class=\"plot\"><svg class=\"lines\" role=\"img\" aria-label=\"" +
                        escape_html(chart.title) + "\">" + grid(chart, axes) +
                        "<svg viewBox=\"0 0 100 100\" preserveAspectRatio=\"none\">" + curves + "</svg>" + over +
                        "</svg></div>\n";
  return {chart.title, std::move(drawing), note_of(chart, clipped), numbers_of(chart)};
}

}  // namespace dsmoe::charts
