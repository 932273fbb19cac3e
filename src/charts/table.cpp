#include "charts/table.h"

#include <cmath>
#include <cstdlib>
#include <sstream>

#include "base/error.h"
#include "charts/text.h"

namespace dsmoe::charts {
namespace {

// RFC 4180: a field with a comma, a quote or a line's end stands in quotes, its own quotes doubled.
std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\n\r") == text.npos) return text;
  std::string out = "\"";
  for (const char c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + "\"";
}

std::string csv_field(const base::Json& value) {
  if (value.is_null()) return {};
  return value.is_string() ? csv_field(value.get<std::string>()) : base::dump_json(value);
}

template <class Fields>
std::string csv_line(const Fields& fields) {
  std::string out;
  for (const auto& field : fields) out += csv_field(field) + ",";
  if (!out.empty()) out.pop_back();
  return out + "\n";
}

std::string html_row(const HtmlRow& row, const char* tag) {
  std::string out = row.strong ? "<tr class=\"strong\">" : "<tr>";
  for (const std::string& text : row.cells) out += std::string("<") + tag + ">" + text + "</" + tag + ">";
  return out + "</tr>\n";
}

}  // namespace

std::string Table::csv(const std::string& head) const {
  std::string out;
  std::istringstream lines(head);
  for (std::string line; std::getline(lines, line);) out += "# " + line + "\n";
  out += csv_line(columns);
  for (const auto& row : rows) {
    DSMOE_CHECK(row.size() == columns.size(), "a cell for each column");
    out += csv_line(row);
  }
  return out;
}

base::Json Table::json() const { return {{"columns", columns}, {"rows", rows}}; }

base::Json cell(double value) {
  if (!std::isfinite(value)) return nullptr;
  return std::strtod(plain_number(value).c_str(), nullptr);
}

std::string html_table(const std::vector<std::string>& head, const std::vector<HtmlRow>& rows) {
  std::string out = "<div class=\"wide\"><table>" + html_row({head}, "th");
  for (const HtmlRow& row : rows) out += html_row(row, "td");
  return out + "</table></div>\n";
}

}  // namespace dsmoe::charts
