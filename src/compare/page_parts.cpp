#include "compare/page_parts.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "compare/statistics.h"

namespace dsmoe::compare {
namespace {

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

}  // namespace

std::string fixed(double value, int digits) {
  char text[40];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

std::string millions(double value) { return fixed(value / 1e6, 2) + "M"; }

Cells arms_head(const Summary& summary) {
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

Cells arm_cells(const Summary& summary, const ArmRow& row) {
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

std::string arms_note(const Summary& summary) {
  std::string out =
      "Loss is of the whole validation split, by the finished model in float32. Parameters of the blocks count the "
      "router; FLOPs are of training, forward and backward, router included. Spikes: steps whose loss leaves its path "
      "by more than five standard deviations and 0.1 nats. MaxVio: how far the busiest expert of a layer lies above "
      "the mean load.";
  if (std::any_of(summary.rows.begin(), summary.rows.end(), [](const ArmRow& row) { return row.best; })) {
    out += " In bold: the lowest loss of each family.";
  }
  return out;
}

std::string spread_sentence(const Summary& summary) {
  if (summary.freedom < 1) return "One seed, or too few runs yet: no interval can be given.";
  return "A run's loss scatters by " + fixed(summary.residual, 4) +
         " nats around its arm and seed (pooled over all arms, " + std::to_string(summary.freedom) +
         " degrees of freedom). Intervals are of 95 %, corrected by Holm's procedure over the claims of this page. The "
         "smallest effect of interest was set to " +
         fixed(summary.plan->smallest_effect, 4) + " nats before anything ran.";
}

std::string seeds_sentence(const Summary& summary) {
  std::string out;
  for (const ArmRow& row : summary.rows) {
    std::vector<double> losses;
    for (const RunResult* run : row.runs) losses.push_back(run->score.nats_per_token);
    const std::optional<Spread> spread = spread_of(losses, 0.05);
    if (!spread) continue;
    out += (out.empty() ? "From seed to seed a run's loss has a standard deviation of " : "; ") +
           fixed(spread->deviation, 4) + " nats in " + std::to_string(losses.size()) + " runs of " + row.arm->label +
           " (95 % interval " + fixed(spread->low, 4) + " to " + fixed(spread->high, 4) + ")";
  }
  return out.empty() ? out : out + ".";
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
  std::vector<Build> builds;
  for (const ArmRow& row : summary.rows) {
    for (const RunResult* each : row.runs) {
      if (std::find(builds.begin(), builds.end(), each->build) == builds.end()) builds.push_back(each->build);
    }
  }
  std::string text;
  for (const Build& build : builds) {
    text += (text.empty() ? "Made by dsmoe " : " and by ") + build.program + ", instruction set " + build.isa;
  }
  if (builds.size() > 1) text += " (a probe run gave the same bits)";
  return text + "; data " + run->data_hash + ".";
}

}  // namespace dsmoe::compare
