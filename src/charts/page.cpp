#include "charts/page.h"

#include "charts/palette.h"
#include "charts/style.h"
#include "charts/text.h"

namespace dsmoe::charts {
namespace {

constexpr const char* kHatch =
    "<svg width=\"0\" height=\"0\" style=\"position:absolute\" aria-hidden=\"true\"><defs><pattern id=\"hatch\" "
    "width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\"><line y2=\"6\" "
    "stroke=\"var(--soft)\" stroke-width=\"2\"/></pattern></defs></svg>\n";

std::string download(const std::string& address, const std::string& file, const char* words) {
  return "<a download=\"" + escape_html(file) + "\" href=\"" + escape_html(address) + "\">" + words + "</a>";
}

}  // namespace

Page::Page(std::string title, base::Json provenance) : title_(std::move(title)), provenance_(std::move(provenance)) {
  add("<h1>" + escape_html(title_) + "</h1>\n");
}

void Page::add(const std::string& html) { body_ += html; }

void Page::section(const std::string& heading) { add("<h2>" + escape_html(heading) + "</h2>\n"); }

void Page::add(const std::vector<Figure>& figures) {
  if (figures.empty()) return;
  std::string all;
  for (const Figure& figure : figures) all += figure_html(figure);
  add("<div class=\"figures\">\n" + all + "</div>\n");
}

void Page::add_folded(const std::string& summary, const Figure& figure, bool open) {
  add(std::string(open ? "<details open>" : "<details>") + "<summary>" + escape_html(summary) + "</summary>\n" +
      figure_html(figure) + "</details>\n");
}

std::string Page::figure_html(const Figure& figure) {
  const std::string plain = slug(figure.title);
  std::string name = plain;
  for (int n = 2; !names_.insert(name).second; ++n) name = plain + "-" + std::to_string(n);
  base::Json json = {{"title", figure.title}};
  json.update(figure.numbers.json());
  figures_.push_back(json);
  json["provenance"] = provenance_;
  const std::string head = title_ + ": " + figure.title + "\n" + base::dump_json(provenance_);
  return "<figure id=\"" + name + "\"><figcaption>" + escape_html(figure.title) + "</figcaption>\n" + figure.drawing +
         (figure.note.empty() ? "" : "<p class=\"note\">" + escape_html(figure.note) + "</p>\n") +
         "<p class=\"numbers\">numbers: " +
         download(data_uri("text/csv;charset=utf-8", figure.numbers.csv(head)), name + ".csv", "CSV") + " " +
         download(data_uri("application/json", base::dump_json(json)), name + ".json", "JSON") + "</p></figure>\n";
}

std::string Page::html(base::Json data) const {
  base::Json all = {{"title", title_}, {"provenance", provenance_}};
  all.update(data);
  all["figures"] = figures_;
  // "</" and "<!" inside a script block could end it or swallow its end.
  std::string json = base::dump_json(all);
  for (size_t at = 0; (at = json.find('<', at)) != std::string::npos; at += 6) json.replace(at, 1, "\\u003c");
  return "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
         "content=\"width=device-width, initial-scale=1\">\n<meta http-equiv=\"Content-Security-Policy\" "
         "content=\"default-src 'none'; style-src 'unsafe-inline'\">\n<title>" +
         escape_html(title_) + "</title>\n<style>\n" + palette_css() + kStyle + "</style></head>\n<body>\n" + kHatch +
         body_ + "<script type=\"application/json\" id=\"data\">" + json + "</script>\n</body></html>\n";
}

}  // namespace dsmoe::charts
