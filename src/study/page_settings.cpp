// How the runs were made: the settings in which they differ, then everything.
#include <algorithm>
#include <set>

#include "charts/text.h"
#include "study/page_sections.h"

namespace dsmoe::study {
namespace {

using charts::escape_html;

std::string value_of(const RunReport& run, const std::string& key) {
  const auto found = run.settings.find(key);
  return found == run.settings.end() ? "" : found->second;
}

// A row for each setting that is not the same in all runs that have settings; where a run lies tells nothing.
std::string differences(const Runs& runs) {
  std::set<std::string> keys;
  std::vector<const RunReport*> known;
  std::vector<std::string> head = {"setting"};
  for (const RunReport& run : runs) {
    if (run.settings.empty()) continue;
    known.push_back(&run);
    head.push_back(escape_html(run.name));
    for (const auto& [key, value] : run.settings) keys.insert(key);
  }
  std::vector<charts::HtmlRow> rows;
  for (const std::string& key : keys) {
    std::set<std::string> values;
    charts::HtmlRow row{{escape_html(key)}};
    for (const RunReport* run : known) {
      values.insert(value_of(*run, key));
      row.cells.push_back(escape_html(value_of(*run, key)));
    }
    if (values.size() > 1 && key != "output.dir") rows.push_back(std::move(row));
  }
  if (rows.empty()) return {};
  return "<p>Settings in which they differ:</p>\n" + charts::html_table(head, rows);
}

}  // namespace

void add_settings(const Runs& runs, charts::Page& page) {
  std::string all;
  for (const RunReport& run : runs) {
    if (run.provenance.empty() && run.config.empty()) continue;
    all += "<details><summary>" + escape_html(run.name) + "</summary><pre>" +
           escape_html(base::dump_json(run.provenance, 1) + "\n" + run.config) + "</pre></details>\n";
  }
  if (all.empty()) return;
  page.section("How it was made");
  page.add(differences(runs) + all);
}

}  // namespace dsmoe::study
