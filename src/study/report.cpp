#include "study/report.h"

#include <cmath>
#include <cstdio>

#include "charts/lines.h"
#include "charts/text.h"
#include "study/page_sections.h"

namespace dsmoe::study {
namespace {

using base::Json;

// In the order of the page.
constexpr void (*kSections[])(const Runs&, charts::Page&) = {
    add_summary, add_curves,     add_evaluation, add_routing,   add_experts, add_pairs,
    add_text,    add_saturation, add_diff,       add_ablations, add_samples, add_settings,
};

Json numbers(const std::vector<double>& values) {
  Json out = Json::array();
  for (const double value : values) out.push_back(charts::cell(value));
  return out;
}

Json scores_json(const RunReport::Scores& scores) {
  Json json = Json::object();
  for (const auto& domain : scores) {
    json[domain.name] = {{"bits_per_byte", domain.bits_per_byte},
                         {"nats_per_token", domain.nats_per_token},
                         {"tokens", domain.tokens},
                         {"bytes", domain.bytes}};
  }
  return json;
}

// Records of steps are averaged down to this many, so that a long run's page opens at once; metrics.jsonl has them all.
constexpr size_t kMostSteps = 1000;

Json data_of(const RunReport& run) {
  Json json = {{"name", run.name}, {"parameters", run.parameters}, {"plan", run.plan}};
  const auto add = [&](const char* key, const std::vector<double>& values) {
    json[key] = numbers(charts::thinned(values, kMostSteps));
  };
  add("step", run.step), add("tokens", run.tokens), add("loss", run.loss), add("max_vio", run.max_vio);
  json["validations"] = Json::array();
  for (const auto& validation : run.validations) {
    json["validations"].push_back({{"step", charts::cell(validation.step)},
                                   {"tokens", charts::cell(validation.tokens)},
                                   {"scores", scores_json(validation.scores)}});
  }
  json["evaluation"] = scores_json(run.evaluation);
  if (run.routing) json["routing"] = to_json(*run.routing);
  for (const auto& [kind, ablation] : run.ablations) json[std::string(ablation_name(kind))] = to_json(ablation);
  json["settings"] = run.settings;
  json["provenance"] = run.provenance;
  return json;
}

// What every figure's numbers come from.
Json provenance_of(const Runs& runs, const std::string& program) {
  Json json = {{"page", program}, {"runs", Json::object()}};
  for (const RunReport& run : runs) {
    Json& made = json["runs"][run.name] = run.provenance;
    for (const char* key : {"train.seed", "data.path"}) {
      const auto found = run.settings.find(key);
      if (found != run.settings.end()) made[key] = found->second;
    }
    made["steps"] = charts::cell(last_finite(run.step));
    made["tokens"] = charts::cell(last_finite(run.tokens));
  }
  return json;
}

}  // namespace

std::string render_report(const Runs& runs, const std::string& title, const std::string& program) {
  charts::Page page(title, provenance_of(runs, program));
  page.add("<p class=\"result\">" + charts::escape_html(result_sentence(runs)) + "</p>\n");
  for (const auto& add_section : kSections) add_section(runs, page);
  Json data = Json::array();
  for (const RunReport& run : runs) data.push_back(data_of(run));
  return page.html({{"result", result_sentence(runs)}, {"runs", data}});
}

std::string run_page(const std::filesystem::path& folder, const std::string& program) {
  const RunReport run = read_run(folder);
  return render_report({run}, run.name, program);
}

std::string evaluation_table(const Runs& runs) {
  std::vector<const RunReport::Scores*> all;
  for (const RunReport& run : runs) all.push_back(&scores_of(run, held_out_measure(runs).kind));
  const std::vector<std::string> domains = domains_of(all);
  std::string out = result_sentence(runs) + "\n";
  if (domains.empty()) return out;
  char text[80];
  const auto add = [&](const char* form, const auto& value) {
    std::snprintf(text, sizeof text, form, value);
    out += text;
  };
  out += "bits per byte ";
  for (const RunReport& run : runs) add(" %18.40s", run.name.c_str());
  for (const std::string& domain : domains) {
    add("\n%-14.40s", domain.c_str());
    for (const auto* scores : all) {
      const double bits = bits_of(*scores, domain);
      if (std::isfinite(bits)) {
        add(" %18.3f", bits);
      } else {
        add(" %18s", "-");
      }
    }
  }
  return out + "\n";
}

}  // namespace dsmoe::study
