#include "eval/sample.h"

#include <cmath>

#include "base/hash.h"

namespace dsmoe::eval {
namespace {

using base::Json;

std::string number_text(double value) { return base::dump_json(Json(value)); }

// The keys before the answers, in the order of lm-evaluation-harness.
Json sample_of(const Item& item, std::string target, Json arguments, Json responses, Json filtered) {
  return {{"id", item.id},
          {"pool", item.pool.empty() ? Json() : Json(item.pool)},
          {"doc", item.document},
          {"target", std::move(target)},
          {"arguments", std::move(arguments)},
          {"resps", std::move(responses)},
          {"filtered_resps", std::move(filtered)},
          {"filter", "none"}};
}

std::string name_of(const TaskScore& score, const Summary& summary) {
  return summary.pool.empty() ? score.task->name : score.task->name + "/" + summary.pool;
}

Json figures_of(const TaskScore& score, const Summary& summary) {
  Json json = {{"alias", name_of(score, summary)}};
  for (const MetricEstimate& metric : summary.metrics) {
    const std::string& name = metric.metric.name;
    const bool known = !std::isnan(metric.estimate.standard_error);
    json[name + ",none"] = metric.estimate.mean;
    json[name + "_stderr,none"] = known ? Json(metric.estimate.standard_error) : Json("N/A");
  }
  json["items"] = summary.items;
  if (summary.chance > 0) json["chance"] = summary.chance;
  for (const MetricEstimate& metric : summary.metrics) {
    if (metric.metric.share || !std::isnan(metric.estimate.standard_error)) {
      json["interval"][metric.metric.name] = {metric.interval.low, metric.interval.high};
    }
    if (metric.metric.share && summary.chance > 0) json["at_chance"][metric.metric.name] = metric.at_chance;
  }
  return json;
}

}  // namespace

Json choice_sample(const Item& item, const std::string& context, std::span<const ContinuationScore> scores) {
  Json arguments, responses = Json::array(), filtered = Json::array();
  for (size_t c = 0; c < scores.size(); ++c) {
    arguments["gen_args_" + std::to_string(c)] = {{"arg_0", context}, {"arg_1", item.choices[c]}};
    const Json response = {number_text(scores[c].log_likelihood), scores[c].greedy ? "True" : "False"};
    responses.push_back(Json::array({response}));
    filtered.push_back(response);
  }
  return sample_of(item, std::to_string(item.right), std::move(arguments), std::move(responses), std::move(filtered));
}

Json answer_sample(const Task& task, const Item& item, const std::string& prompt, const engine::Generation& written) {
  const Json options = {{"until", task.stop}, {"max_gen_toks", task.max_tokens}, {"do_sample", false}};
  Json sample =
      sample_of(item, base::dump_json(Json(item.answers)), {{"gen_args_0", {{"arg_0", prompt}, {"arg_1", options}}}},
                Json::array({Json::array({written.text})}), Json::array({written.text}));
  sample["finish_reason"] = engine::finish_name(written.finish);
  return sample;
}

std::string samples_jsonl(const TaskScore& score) {
  std::string out;
  for (size_t i = 0; i < score.items.size(); ++i) {
    const ItemScore& item = score.items[i];
    Json line = {{"task", score.task->name}, {"doc_id", i}};
    line.update(item.sample);
    for (const Metric& metric : score.metrics) line["metrics"].push_back(metric.name);
    line["doc_hash"] = base::xxh3_128_hex(base::dump_json(item.item->document));
    for (size_t m = 0; m < score.metrics.size(); ++m) line[score.metrics[m].name] = item.values[m];
    out += base::dump_json(line) + "\n";
  }
  return out;
}

Json results_json(std::span<const TaskScore> scores, const Json& provenance) {
  Json json = {{"results", Json::object()},   {"group_subtasks", Json::object()}, {"configs", Json::object()},
               {"versions", Json::object()},  {"n-shot", Json::object()},         {"higher_is_better", Json::object()},
               {"n-samples", Json::object()}, {"task_hashes", Json::object()}};
  for (const TaskScore& score : scores) {
    const Task& task = *score.task;
    Json subtasks = Json::array();
    for (const Summary& summary : score.summaries) {
      const std::string name = name_of(score, summary);
      json["results"][name] = figures_of(score, summary);
      if (!summary.pool.empty()) subtasks.push_back(name);
      json["n-shot"][name] = score.options.shots;
      for (const Metric& metric : score.metrics) json["higher_is_better"][name][metric.name] = metric.higher_is_better;
    }
    json["group_subtasks"][task.name] = subtasks;
    json["configs"][task.name] = task.settings;
    json["configs"][task.name]["metric"] = task.metric;
    json["versions"][task.name] = task.hash.substr(0, 8);
    json["n-samples"][task.name] = {{"original", task.items.size()}, {"effective", score.items.size()}};
    json["task_hashes"][task.name] = task.hash;
  }
  json["provenance"] = provenance;
  return json;
}

}  // namespace dsmoe::eval
