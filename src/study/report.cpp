#include "study/report.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <map>

#include "charts/page.h"
#include "charts/svg.h"

namespace dsmoe::study {
namespace {

using namespace charts;

std::string millions(double value) { return short_number(std::round(value / 1e4) / 100) + " M"; }

// Neighbouring steps averaged, so that about `points` remain: a line a person can follow.
Series smoothed(const std::string& name, const std::vector<double>& x, const std::vector<double>& y,
                size_t points = 240) {
  Series out{name, {}, {}};
  const size_t stride = std::max<size_t>(1, y.size() / points);
  for (size_t begin = 0; begin < y.size(); begin += stride) {
    double sum_x = 0, sum_y = 0, count = 0;
    for (size_t i = begin; i < std::min(begin + stride, y.size()); ++i) {
      if (!std::isfinite(y[i]) || !std::isfinite(x[i])) continue;
      sum_x += x[i];
      sum_y += y[i];
      ++count;
    }
    if (count == 0) continue;
    out.x.push_back(sum_x / count);
    out.y.push_back(sum_y / count);
  }
  return out;
}

double last_finite(const std::vector<double>& values) {
  for (auto it = values.rbegin(); it != values.rend(); ++it) {
    if (std::isfinite(*it)) return *it;
  }
  return std::nan("");
}

double median(std::vector<double> values) {
  std::erase_if(values, [](double v) { return !std::isfinite(v); });
  if (values.empty()) return std::nan("");
  std::nth_element(values.begin(), values.begin() + static_cast<long>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

std::string row(const std::vector<std::string>& cells, const char* tag = "td") {
  std::string out = "<tr>";
  for (const std::string& cell : cells) out += std::string("<") + tag + ">" + cell + "</" + tag + ">";
  return out + "</tr>\n";
}

// A sentence where runs are of different numbers of tokens, which makes their figures no comparison of the models.
// Runs whose records do not count tokens are left out of it.
std::string unequal_tokens(const std::vector<RunReport>& runs) {
  double least = std::numeric_limits<double>::infinity(), most = 0;
  std::string seen;
  for (const RunReport& run : runs) {
    const double tokens = last_finite(run.tokens);
    if (!std::isfinite(tokens)) continue;
    least = std::min(least, tokens), most = std::max(most, tokens);
    seen += (seen.empty() ? "" : ", ") + run.name + " " + millions(tokens);
  }
  if (!(least < most)) return {};
  return "These runs saw different numbers of tokens (" + seen + "): part of any difference below is that one.";
}

std::string summary(const std::vector<RunReport>& runs) {
  std::string out =
      "<table>" +
      row({"run", "parameters", "activated", "steps", "tokens seen", "tokens/s", "last loss", "bits per byte"}, "th");
  for (const RunReport& run : runs) {
    const double total = run.plan.value("params_total", std::nan("")),
                 active = run.plan.value("params_activated", std::nan(""));
    out += row({escape_html(run.name), std::isfinite(total) ? millions(total) : "",
                std::isfinite(active) ? millions(active) : "", short_number(last_finite(run.step)),
                millions(last_finite(run.tokens)), short_number(std::round(median(run.tokens_per_s))),
                short_number(last_finite(run.loss)),
                run.evaluation.empty() ? "" : short_number(run.evaluation.front().bits_per_byte)});
  }
  return out + "</table>\n";
}

// The first run's domains; a run that lacks one gets a gap.
double bits_of(const RunReport& run, const std::string& domain) {
  for (const auto& evaluated : run.evaluation) {
    if (evaluated.name == domain) return evaluated.bits_per_byte;
  }
  return std::nan("");
}

const RunReport* first_evaluated(const std::vector<RunReport>& runs) {
  for (const RunReport& run : runs) {
    if (!run.evaluation.empty()) return &run;
  }
  return nullptr;
}

std::string evaluation(const std::vector<RunReport>& runs) {
  const RunReport* first = first_evaluated(runs);
  if (first == nullptr) return {};
  BarChart chart{"Bits per byte by domain", "bits per byte", {}, {}, std::vector<std::vector<double>>(runs.size())};
  for (const RunReport& run : runs) chart.series.push_back(run.name);
  for (const auto& domain : first->evaluation) {
    chart.labels.push_back(domain.name);
    for (size_t r = 0; r < runs.size(); ++r) chart.values[r].push_back(bits_of(runs[r], domain.name));
  }
  return "<h2>What they learnt</h2>\n<p>Bits per byte on text kept out of training; lower is better, and raw text "
         "would "
         "take 8. This measure does not depend on the tokenizer.</p>\n" +
         draw(chart);
}

std::string curves(const std::vector<RunReport>& runs) {
  LineChart loss{"Training loss", "tokens seen (millions)", "nats per token", {}};
  LineChart balance{"Imbalance of expert load", "tokens seen (millions)", "MaxVio", {}};
  for (const RunReport& run : runs) {
    std::vector<double> seen = run.tokens;
    for (double& tokens : seen) tokens /= 1e6;
    loss.series.push_back(smoothed(run.name, seen, run.loss));
    balance.series.push_back(smoothed(run.name, seen, run.max_vio));
  }
  return "<h2>Learning</h2>\n" + draw(loss) +
         "<p class=\"soft\">MaxVio: how far the busiest expert of a layer is above the mean load, averaged over "
         "layers; 0 "
         "is perfect balance.</p>\n" +
         draw(balance);
}

std::vector<std::string> expert_names(int64_t count) {
  std::vector<std::string> names;
  for (int64_t e = 0; e < count; ++e) names.push_back(std::to_string(e));
  return names;
}

std::string routing(const RunReport& run) {
  if (!run.routing || run.routing->layers.empty()) return {};
  const RoutingCounts& counts = *run.routing;
  HeatMap load{"Expert load by layer", "layer", "expert", {}, expert_names(counts.n_routed_experts), {}};
  std::string table = "<table>" + row({"layer", "MaxVio", "bits an expert tells of the domain"}, "th"), by_domain;
  size_t best = 0;
  for (size_t l = 0; l < counts.layers.size(); ++l) {
    const std::string layer = std::to_string(counts.layers[l]);
    load.rows.push_back("layer " + layer);
    load.values.push_back(counts.layer_share(l));
    table += row({layer, short_number(counts.max_violation(l)), short_number(counts.domain_information(l))});
    if (counts.domain_information(l) > counts.domain_information(best)) best = l;
  }
  for (size_t l = 0; l < counts.layers.size(); ++l) {
    const std::string layer = std::to_string(counts.layers[l]);
    const HeatMap map{"Experts by domain, layer " + layer,
                      "domain",
                      "expert",
                      counts.domains,
                      expert_names(counts.n_routed_experts),
                      counts.domain_share(l)};
    by_domain += std::string(l == best ? "<details open>" : "<details>") + "<summary>layer " + layer + "</summary>" +
                 draw(map) + "</details>\n";
  }
  return "<h3>" + escape_html(run.name) +
         "</h3>\n<p>Load by layer: no colour is the even share, <b>orange</b> more, "
         "<b>blue</b> less; full colour is four times, or a quarter. A pointer held over a cell shows its "
         "number.</p>\n" +
         draw(load) + table +
         "</table>\n<p class=\"soft\">The last column is the mutual information of expert and domain: 0 when every "
         "kind of text is spread alike, more the better one could guess the text from the expert.</p>\n<p>Which kind "
         "of text goes to which expert (top " +
         std::to_string(counts.num_experts_per_tok) + " of " + std::to_string(counts.n_routed_experts) + "):</p>\n" +
         by_domain;
}

// One prompt after another, the runs' answers to it side by side.
std::string samples(const std::vector<RunReport>& runs) {
  std::map<std::string, std::string> by_name;
  for (const RunReport& run : runs) {
    for (const auto& sample : run.samples) {
      by_name[sample.name] +=
          "<div><p class=\"soft\">" + escape_html(run.name) + "</p><pre>" + escape_html(sample.text) + "</pre></div>\n";
    }
  }
  std::string out;
  for (const auto& [name, boxes] : by_name) {
    out += "<h3>" + escape_html(name) + "</h3>\n<div class=\"pair\">" + boxes + "</div>\n";
  }
  return out.empty() ? out : "<h2>What they write</h2>\n" + out;
}

std::string origins(const std::vector<RunReport>& runs) {
  std::string out;
  for (const RunReport& run : runs) {
    if (run.provenance.empty() && run.config.empty()) continue;
    out += "<details><summary>" + escape_html(run.name) + "</summary><pre>" +
           escape_html(base::dump_json(run.provenance, 1) + "\n" + run.config) + "</pre></details>\n";
  }
  return out.empty() ? out : "<h2>How it was made</h2>\n" + out;
}

base::Json data_of(const RunReport& run) {
  base::Json json = {{"name", run.name},
                     {"plan", run.plan},
                     {"step", run.step},
                     {"tokens", run.tokens},
                     {"loss", run.loss},
                     {"max_vio", run.max_vio},
                     {"provenance", run.provenance},
                     {"evaluation", base::Json::object()}};
  for (const auto& domain : run.evaluation) {
    json["evaluation"][domain.name] = {{"bits_per_byte", domain.bits_per_byte},
                                       {"nats_per_token", domain.nats_per_token},
                                       {"tokens", domain.tokens},
                                       {"bytes", domain.bytes}};
  }
  if (run.routing) json["routing"] = to_json(*run.routing);
  return json;
}

}  // namespace

std::string render_report(const std::vector<RunReport>& runs, const std::string& title) {
  const std::string warning = unequal_tokens(runs);
  std::string body = "<h1>" + escape_html(title) + "</h1>\n";
  if (!warning.empty()) body += "<p><b>" + escape_html(warning) + "</b></p>\n";
  body += summary(runs) + evaluation(runs) + curves(runs);
  std::string experts;
  for (const RunReport& run : runs) experts += routing(run);
  if (!experts.empty()) body += "<h2>How the experts are used</h2>\n" + experts;
  body += samples(runs) + origins(runs);
  base::Json data = base::Json::array();
  for (const RunReport& run : runs) data.push_back(data_of(run));
  return html_page(title, body, {{"runs", data}});
}

std::string evaluation_table(const std::vector<RunReport>& runs) {
  const RunReport* first = first_evaluated(runs);
  std::string out = unequal_tokens(runs);
  if (!out.empty()) out += "\n";
  if (first == nullptr) return out;
  char cell[64];
  out += "bits per byte ";
  for (const RunReport& run : runs) {
    std::snprintf(cell, sizeof cell, " %18s", run.name.c_str());
    out += cell;
  }
  out += "\n";
  for (const auto& domain : first->evaluation) {
    std::snprintf(cell, sizeof cell, "%-14s", domain.name.c_str());
    out += cell;
    for (const RunReport& run : runs) {
      std::snprintf(cell, sizeof cell, " %18.3f", bits_of(run, domain.name));
      out += cell;
    }
    out += "\n";
  }
  return out;
}

}  // namespace dsmoe::study
