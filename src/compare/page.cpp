#include "compare/page.h"

#include <algorithm>
#include <cstdio>

#include "compare/page_parts.h"
#include "compare/page_studies.h"

namespace dsmoe::compare {
namespace {

std::string markdown_row(const Cells& cells, bool strong = false) {
  std::string out = "|";
  for (const std::string& cell : cells) out += strong && !cell.empty() ? " **" + cell + "** |" : " " + cell + " |";
  return out + "\n";
}

}  // namespace

std::string markdown_page(const Summary& summary) {
  const Plan& plan = *summary.plan;
  std::string out = "# " + plan.title + "\n\n" + basis(summary) + "\n\n";
  if (!plan.question.empty()) out += plan.question + "\n\n";
  if (!summary.claims.empty()) {
    out += "## Claims\n\n" + markdown_row({"claim", "verdict"}) + "| --- | --- |\n";
    for (const ClaimResult& tested : summary.claims) out += markdown_row({tested.claim.text, sentence(tested)});
    out += "\n" + spread_sentence(summary) + "\n\n";
  } else if (const std::string seeds = seeds_sentence(summary); !seeds.empty()) {
    out += seeds + "\n\n";
  }
  const Cells names = arms_head(summary);
  out += "## Arms\n\n" + markdown_row(names) + "|" + std::string();
  for (size_t i = 0; i < names.size(); ++i) out += " --- |";
  out += "\n";
  for (const ArmRow& row : summary.rows) out += markdown_row(arm_cells(summary, row), row.best);
  out += "\n" + arms_note(summary);
  return out + "\n\n" + studies_markdown(summary) + origin(summary) + "\n";
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
