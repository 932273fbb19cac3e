#include "compare/page.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <set>

#include "charts/page.h"
#include "charts/svg.h"
#include "compare/page_studies.h"

namespace dsmoe::compare {
namespace {

using charts::escape_html;
using Cells = std::vector<std::string>;

std::string fixed(double value, int digits) {
  char text[40];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

std::string millions(double value) { return fixed(value / 1e6, 2) + "M"; }

// Every seed's loss, so that nobody has to believe a mean.
std::string by_seed(const ArmRow& row) {
  std::string out;
  for (const RunResult* run : row.runs) out += (out.empty() ? "" : " ") + fixed(run->score.nats_per_token, 4);
  return out;
}

bool has_paper(const Summary& summary) {
  return std::any_of(summary.rows.begin(), summary.rows.end(),
                     [](const ArmRow& row) { return row.arm->paper.has_value(); });
}

Cells head(const Summary& summary) {
  Cells cells = {"arm",
                 "blocks, total",
                 "blocks, activated",
                 "embedding and head",
                 "FLOPs a run",
                 "minutes",
                 "loss (nats/token)",
                 "bits/byte",
                 "by seed",
                 "spikes",
                 "MaxVio"};
  if (has_paper(summary)) cells.insert(cells.begin() + 8, "paper's loss");
  return cells;
}

Cells cells_of(const Summary& summary, const ArmRow& row) {
  char flops[32];
  std::snprintf(flops, sizeof flops, "%.3g", row.budget.flops);
  Cells cells = {row.arm->label,
                 millions(static_cast<double>(row.budget.total_of_blocks())),
                 millions(static_cast<double>(row.budget.activated_of_blocks())),
                 millions(static_cast<double>(row.budget.total.embedding + row.budget.total.head)),
                 flops,
                 row.runs.empty() ? "" : fixed(row.seconds / 60, 1),
                 row.nats ? fixed(*row.nats, 4) : "",
                 row.bits ? fixed(*row.bits, 4) : "",
                 by_seed(row),
                 row.runs.empty() ? "" : std::to_string(row.spikes),
                 row.runs.empty() || row.budget.total.router == 0 ? "" : fixed(row.max_vio, 2)};
  if (has_paper(summary)) cells.insert(cells.begin() + 8, row.arm->paper ? fixed(*row.arm->paper, 3) : "");
  return cells;
}

std::string markdown_row(const Cells& cells, bool strong = false) {
  std::string out = "|";
  for (const std::string& cell : cells) out += strong && !cell.empty() ? " **" + cell + "** |" : " " + cell + " |";
  return out + "\n";
}

std::string html_row(const Cells& cells, const char* tag, bool strong = false) {
  std::string out = "<tr>";
  for (const std::string& cell : cells) {
    out += std::string("<") + tag + (strong ? " class=\"best\">" : ">") + escape_html(cell) + "</" + tag + ">";
  }
  return out + "</tr>\n";
}

std::string spread_sentence(const Summary& summary) {
  if (summary.freedom < 1) return "One seed, or too few runs yet: no interval can be given.";
  return "A run's loss scatters by " + fixed(summary.residual, 4) +
         " nats around its arm and seed (pooled over all arms, " + std::to_string(summary.freedom) +
         " degrees of freedom). Intervals are of 95 %, corrected by Holm's procedure over the claims of this page. The "
         "smallest effect of interest was set to " +
         fixed(summary.plan->smallest_effect, 4) + " nats before anything ran.";
}

std::set<std::string> domains_of(const Summary& summary) {
  std::set<std::string> names;
  for (const ArmRow& row : summary.rows) {
    for (const RunResult* run : row.runs) {
      for (const auto& [name, score] : run->domains) names.insert(name);
    }
  }
  return names;
}

double mean_bits(const ArmRow& row, const std::string& domain) {
  double sum = 0;
  int count = 0;
  for (const RunResult* run : row.runs) {
    const auto found = run->domains.find(domain);
    if (found == run->domains.end()) continue;
    sum += found->second.bits_per_byte;
    ++count;
  }
  return count == 0 ? std::nan("") : sum / count;
}

const RunResult* first_run(const Summary& summary) {
  for (const ArmRow& row : summary.rows) {
    if (!row.runs.empty()) return row.runs.front();
  }
  return nullptr;
}

std::string origin(const Summary& summary) {
  const RunResult* run = first_run(summary);
  if (run == nullptr) return "No run is finished.";
  return "Made by dsmoe " + run->build.program + ", instruction set " + run->build.isa + "; data " + run->data_hash +
         ".";
}

std::string curves(const Summary& summary) {
  charts::LineChart training{"Training loss", "tokens seen (millions)", "nats per token", {}};
  charts::LineChart validation{"Validation loss", "tokens seen (millions)", "nats per token", {}};
  for (const ArmRow& row : summary.rows) {
    if (row.runs.empty()) continue;
    const RunResult& run = *row.runs.front();
    const auto in_millions = [](std::vector<double> tokens) {
      for (double& t : tokens) t /= 1e6;
      return tokens;
    };
    training.series.push_back({row.arm->label, in_millions(run.curve_tokens), run.curve_loss});
    validation.series.push_back({row.arm->label, in_millions(run.validation_tokens), run.validation_nats});
  }
  if (training.series.empty()) return {};
  return "<h2>Learning, first seed</h2>\n" + draw(validation) + draw(training);
}

std::string claims_html(const Summary& summary) {
  if (summary.claims.empty()) return {};
  std::string out = "<h2>Claims</h2>\n<table>" + html_row({"claim", "verdict"}, "th");
  for (const Judged& judged : summary.claims) out += html_row({judged.claim.text, sentence(judged)}, "td");
  return out + "</table>\n<p class=\"soft\">" + escape_html(spread_sentence(summary)) + "</p>\n";
}

// A row for each domain, a column for each arm: bits per byte, the lowest of a row strong.
std::string domains_html(const Summary& summary) {
  const std::set<std::string> domains = domains_of(summary);
  if (domains.empty()) return {};
  Cells names = {"bits per byte"};
  std::vector<const ArmRow*> rows;
  for (const ArmRow& row : summary.rows) {
    if (row.runs.empty()) continue;
    rows.push_back(&row);
    names.push_back(row.arm->label);
  }
  std::string out = "<h2>By domain</h2>\n<div class=\"wide\"><table>" + html_row(names, "th");
  for (const std::string& domain : domains) {
    double least = INFINITY;
    for (const ArmRow* row : rows) least = std::fmin(least, mean_bits(*row, domain));
    out += "<tr><td>" + escape_html(domain) + "</td>";
    for (const ArmRow* row : rows) {
      const double bits = mean_bits(*row, domain);
      out += std::string(bits == least ? "<td class=\"best\">" : "<td>") + (std::isfinite(bits) ? fixed(bits, 3) : "") +
             "</td>";
    }
    out += "</tr>\n";
  }
  return out + "</table></div>\n";
}

}  // namespace

std::string markdown_page(const Summary& summary) {
  const Plan& plan = *summary.plan;
  std::string out = "# " + plan.title + "\n\n" + basis(summary) + "\n\n";
  if (!plan.question.empty()) out += plan.question + "\n\n";
  if (!summary.claims.empty()) {
    out += "## Claims\n\n" + markdown_row({"claim", "verdict"}) + "| --- | --- |\n";
    for (const Judged& judged : summary.claims) out += markdown_row({judged.claim.text, sentence(judged)});
    out += "\n" + spread_sentence(summary) + "\n\n";
  }
  const Cells names = head(summary);
  out += "## Arms\n\n" + markdown_row(names) + "|" + std::string();
  for (size_t i = 0; i < names.size(); ++i) out += " --- |";
  out += "\n";
  for (const ArmRow& row : summary.rows) out += markdown_row(cells_of(summary, row), row.best);
  out +=
      "\nLoss is of the whole validation split, by the finished model in float32. Parameters of the blocks count the "
      "router; "
      "FLOPs are of training, forward and backward, router included. Spikes: steps whose loss leaves its path by more "
      "than "
      "five standard deviations and 0.1 nats. MaxVio: how far the busiest expert of a layer lies above the mean load.";
  if (std::any_of(summary.rows.begin(), summary.rows.end(), [](const ArmRow& row) { return row.best; })) {
    out += " In bold: the lowest loss of each family.";
  }
  return out + "\n\n" + studies_markdown(summary) + origin(summary) + "\n";
}

std::string html_page(const Summary& summary) {
  const Plan& plan = *summary.plan;
  std::string body = "<h1>" + escape_html(plan.title) + "</h1>\n<p>" + escape_html(basis(summary)) + "</p>\n";
  if (!plan.question.empty()) body += "<p>" + escape_html(plan.question) + "</p>\n";
  body += claims_html(summary) + "<h2>Arms</h2>\n<div class=\"wide\"><table>" + html_row(head(summary), "th");
  for (const ArmRow& row : summary.rows) body += html_row(cells_of(summary, row), "td", row.best);
  body += "</table></div>\n" + curves(summary);
  body += studies_html(summary);
  body += domains_html(summary);
  body += "<p class=\"soft\">" + escape_html(origin(summary)) + "</p>\n";
  base::Json runs = base::Json::array();
  for (const ArmRow& row : summary.rows) {
    for (const RunResult* run : row.runs) runs.push_back(to_json(*run));
  }
  return charts::html_page(plan.title, body, {{"runs", runs}});
}

std::string csv_table(const Summary& summary) {
  const std::set<std::string> domains = domains_of(summary);
  std::string out =
      "arm,seed,steps,tokens,parameters,activated,flops,seconds,nats_per_token,bits_per_byte,spikes,max_vio";
  for (const std::string& domain : domains) out += ",bits_per_byte_" + domain;
  out += "\n";
  for (const ArmRow& row : summary.rows) {
    for (const RunResult* run : row.runs) {
      char text[400];
      std::snprintf(text, sizeof text, "%s,%lld,%lld,%lld,%lld,%lld,%.6g,%.1f,%.6f,%.6f,%d,%.4f", row.arm->name.c_str(),
                    static_cast<long long>(run->seed), static_cast<long long>(run->steps),
                    static_cast<long long>(run->tokens), static_cast<long long>(row.budget.total.total()),
                    static_cast<long long>(row.budget.activated.total()), row.budget.flops, run->seconds,
                    run->score.nats_per_token, run->score.bits_per_byte, run->spikes, run->max_vio);
      out += text;
      for (const std::string& domain : domains) {
        const auto found = run->domains.find(domain);
        out += "," + (found == run->domains.end() ? std::string() : fixed(found->second.bits_per_byte, 6));
      }
      out += "\n";
    }
  }
  return out;
}

std::string text_table(const Summary& summary) {
  std::vector<Cells> rows = {{"arm", "total", "activated", "FLOPs", "minutes", "nats/token", "bits/byte"}};
  for (const ArmRow& row : summary.rows) {
    char flops[32];
    std::snprintf(flops, sizeof flops, "%.3g", row.budget.flops);
    rows.push_back({row.arm->name, millions(static_cast<double>(row.budget.total.total())),
                    millions(static_cast<double>(row.budget.activated.total())), flops,
                    row.runs.empty() ? "-" : fixed(row.seconds / 60, 1), row.nats ? fixed(*row.nats, 4) : "-",
                    row.bits ? fixed(*row.bits, 4) : "-"});
  }
  std::vector<size_t> widths(rows.front().size(), 0);
  for (const Cells& cells : rows) {
    for (size_t c = 0; c < cells.size(); ++c) widths[c] = std::max(widths[c], cells[c].size());
  }
  std::string out;
  for (const Cells& cells : rows) {
    for (size_t c = 0; c < cells.size(); ++c) {
      const std::string pad(widths[c] - cells[c].size(), ' ');
      out += c == 0 ? cells[c] + pad : "  " + pad + cells[c];
    }
    out += "\n";
  }
  return out;
}

}  // namespace dsmoe::compare
