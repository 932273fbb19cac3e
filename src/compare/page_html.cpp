// A comparison as a page for people.
#include <algorithm>
#include <cmath>
#include <map>

#include "charts/bars.h"
#include "charts/lines.h"
#include "charts/page.h"
#include "charts/text.h"
#include "compare/page.h"
#include "compare/page_parts.h"
#include "compare/page_studies.h"

namespace dsmoe::compare {
namespace {

using charts::escape_html;

std::vector<std::string> escaped(Cells cells) {
  for (std::string& cell : cells) cell = escape_html(cell);
  return cells;
}

std::string loss_of(const ArmRow& row) { return row.arm->label + " with " + fixed(*row.nats, 4); }

// What came of it: the ends of the table, and how many claims stand.
std::string outcome(const Summary& summary) {
  std::vector<const ArmRow*> measured;
  for (const ArmRow& row : summary.rows) {
    if (row.nats) measured.push_back(&row);
  }
  if (measured.empty()) return "no run is finished yet";
  std::stable_sort(measured.begin(), measured.end(), [](const auto* a, const auto* b) { return *a->nats < *b->nats; });
  const bool one = measured.size() == 1;
  std::string out = (one ? "the mean loss is that of " : "the lowest loss is that of ") + loss_of(*measured.front()) +
                    " nats per token";
  if (!one) out += ", the highest that of " + loss_of(*measured.back());
  if (summary.claims.empty()) return out;
  std::map<std::string, int> verdicts;
  for (const ClaimResult& tested : summary.claims) {
    ++verdicts[tested.advantage ? std::string(verdict_text(tested.verdict)) : "not measured yet"];
  }
  out += "; of " + std::to_string(summary.claims.size()) + (summary.claims.size() == 1 ? " claim" : " claims");
  const char* between = " ";
  for (const auto& [verdict, count] : verdicts) {
    out += between + std::to_string(count) + " " + verdict;
    between = ", ";
  }
  return out;
}

std::string result(const Summary& summary) {
  std::string compared = basis(summary);
  if (compared.ends_with('.')) compared.pop_back();
  return compared + "; " + outcome(summary) + ".";
}

void add_claims(const Summary& summary, charts::Page& page) {
  if (summary.claims.empty()) return;
  page.section("Claims");
  std::string rows;
  for (const ClaimResult& tested : summary.claims) {
    rows += "<tr><td>" + escape_html(tested.claim.text) + "</td><td>" + escape_html(sentence(tested)) + "</td></tr>\n";
  }
  page.add("<table class=\"words\"><tr><th>claim</th><th>verdict</th></tr>\n" + rows + "</table>\n<p class=\"note\">" +
           escape_html(spread_sentence(summary)) + "</p>\n");
}

charts::Figure losses(const Summary& summary) {
  charts::DotChart chart{
      "Loss by arm", "nats per token", {}, false, "Dots: runs, one for each seed; lines: their means."};
  for (const ArmRow& row : summary.rows) {
    chart.rows.push_back({row.arm->label, {}, {}});
    for (const RunResult* run : row.runs) {
      chart.rows.back().names.push_back("seed " + std::to_string(run->seed));
      chart.rows.back().values.push_back(run->score.nats_per_token);
    }
  }
  return draw(chart);
}

void add_arms(const Summary& summary, charts::Page& page) {
  page.section("Arms");
  page.add(losses(summary));
  std::vector<charts::HtmlRow> rows;
  for (const ArmRow& row : summary.rows) rows.push_back({escaped(arm_cells(summary, row)), row.best});
  page.add(html_table(escaped(arms_head(summary)), rows) + "<p class=\"note\">" + escape_html(arms_note(summary)) +
           "</p>\n");
}

std::vector<double> in_millions(std::vector<double> tokens) {
  for (double& t : tokens) t /= 1e6;
  return tokens;
}

// A figure for each family where a grid made many arms of few families, else one for all.
void add_curves(const Summary& summary, charts::Page& page) {
  std::vector<std::string> families;
  size_t finished = 0;
  for (const ArmRow& row : summary.rows) {
    if (row.runs.empty()) continue;
    ++finished;
    if (std::find(families.begin(), families.end(), row.arm->family) == families.end()) {
      families.push_back(row.arm->family);
    }
  }
  if (finished == 0) return;
  const bool apart = families.size() > 1 && finished > families.size() && finished > 8;
  if (!apart) families = {""};
  std::vector<charts::Figure> figures;
  for (const std::string& family : families) {
    charts::LineChart chart{"Loss, first seed" + (apart ? ", " + family : ""), "million tokens seen", "nats per token"};
    chart.line_name = "training", chart.point_name = "validation";
    chart.note = "Marks: on text kept out of training. Pale lines: in training, neighbouring steps averaged.";
    for (const ArmRow& row : summary.rows) {
      if (row.runs.empty() || (apart && row.arm->family != family)) continue;
      const RunResult& run = *row.runs.front();
      chart.lines.push_back(charts::smoothed({row.arm->label, in_millions(run.curve_tokens), run.curve_loss}, 80));
      chart.points.push_back({row.arm->label, in_millions(run.validation_tokens), run.validation_nats});
    }
    figures.push_back(draw(chart));
  }
  page.section("Learning");
  page.add(figures);
}

// A row for each domain, a column for each arm: bits per byte, the lowest of a row strong.
void add_domains(const Summary& summary, charts::Page& page) {
  const std::set<std::string> domains = domains_of(summary);
  if (domains.empty()) return;
  std::vector<std::string> head = {"bits per byte"};
  std::vector<const ArmRow*> arms;
  for (const ArmRow& row : summary.rows) {
    if (row.runs.empty()) continue;
    arms.push_back(&row);
    head.push_back(escape_html(row.arm->label));
  }
  std::vector<charts::HtmlRow> rows;
  for (const std::string& domain : domains) {
    double least = INFINITY;
    for (const ArmRow* row : arms) least = std::fmin(least, mean_bits(*row, domain));
    charts::HtmlRow cells{{escape_html(domain)}};
    for (const ArmRow* row : arms) {
      const double bits = mean_bits(*row, domain);
      const std::string text = std::isfinite(bits) ? fixed(bits, 3) : "";
      cells.cells.push_back(bits == least ? "<b>" + text + "</b>" : text);
    }
    rows.push_back(std::move(cells));
  }
  page.section("By domain");
  page.add(html_table(head, rows));
}

base::Json provenance_of(const Summary& summary) {
  const RunResult* run = first_run(summary);
  if (run == nullptr) return base::Json::object();
  return {{"build", run->build.program}, {"isa", run->build.isa}, {"data_hash", run->data_hash}};
}

}  // namespace

std::string html_page(const Summary& summary) {
  const Plan& plan = *summary.plan;
  charts::Page page(plan.title, provenance_of(summary));
  page.add("<p class=\"result\">" + escape_html(result(summary)) + "</p>\n");
  if (!plan.question.empty()) page.add("<p>" + escape_html(plan.question) + "</p>\n");
  const std::string seeds = summary.claims.empty() ? seeds_sentence(summary) : "";
  if (!seeds.empty()) page.add("<p>" + escape_html(seeds) + "</p>\n");
  add_claims(summary, page);
  add_arms(summary, page);
  add_curves(summary, page);
  add_studies(summary, page);
  add_domains(summary, page);
  page.add("<p class=\"soft\">" + escape_html(origin(summary)) + "</p>\n");
  base::Json runs = base::Json::array();
  for (const ArmRow& row : summary.rows) {
    for (const RunResult* run : row.runs) runs.push_back(to_json(*run));
  }
  return page.html({{"result", result(summary)}, {"runs", runs}});
}

}  // namespace dsmoe::compare
