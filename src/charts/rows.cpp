#include "charts/rows.h"

#include "charts/text.h"

namespace dsmoe::charts {

std::string draw_rows(const std::vector<Row>& rows, const std::string& title) {
  std::string out = "<div class=\"rows\" role=\"img\" aria-label=\"" + escape_html(title) + "\">\n";
  for (const Row& row : rows) {
    out += "<span>" + escape_html(row.name) + "</span><svg style=\"height:" + std::to_string(row.height) + "px\">" +
           row.marks + "</svg>\n";
  }
  return out + "</div>\n";
}

std::string row_grid(const Scale& scale, int height) {
  std::string out;
  for (const double tick : round_ticks(scale.low, scale.high, 4)) {
    const std::string x = percent(scale(tick));
    out += "<line class=\"grid\" x1=\"" + x + "\" x2=\"" + x + "\" y1=\"0\" y2=\"" + std::to_string(height) + "\"/>";
  }
  return out;
}

Row axis_row(const Scale& scale, const std::string& unit) {
  Row row{"", "", 32};
  for (const double tick : round_ticks(scale.low, scale.high, 4)) {
    row.marks +=
        "<text x=\"" + percent(scale(tick)) + "\" y=\"13\" text-anchor=\"middle\">" + short_number(tick) + "</text>";
  }
  row.marks += "<text class=\"axis\" x=\"100%\" y=\"29\" text-anchor=\"end\">" + escape_html(unit) + "</text>";
  return row;
}

std::string hatched(const std::string& place, const std::string& title) {
  return "<rect class=\"hatched\" " + place + " fill=\"url(#hatch)\"><title>" + escape_html(title) +
         ": not measured</title></rect>";
}

}  // namespace dsmoe::charts
