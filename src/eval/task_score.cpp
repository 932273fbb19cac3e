#include "eval/task_score.h"

#include <algorithm>
#include <map>

namespace dsmoe::eval {
namespace {

Summary summary_of(const TaskScore& score, const std::string& pool, const std::vector<const ItemScore*>& items) {
  Summary summary;
  summary.pool = pool;
  summary.items = std::ssize(items);
  for (const ItemScore* item : items) {
    const auto choices = static_cast<double>(item->item->choices.size());
    if (choices > 0) summary.chance += 1 / choices / static_cast<double>(items.size());
  }
  for (size_t m = 0; m < score.metrics.size(); ++m) {
    std::vector<double> values;
    for (const ItemScore* item : items) values.push_back(item->values[m]);
    MetricEstimate metric{score.metrics[m], mean_of(values), {}};
    const Estimate& estimate = metric.estimate;
    metric.interval = metric.metric.share ? share_interval(estimate.mean, estimate.count) : normal_interval(estimate);
    metric.at_chance = metric.metric.share && summary.chance > 0 && metric.interval.holds(summary.chance);
    summary.metrics.push_back(std::move(metric));
  }
  return summary;
}

}  // namespace

void summarise(TaskScore& score) {
  std::map<std::string, std::vector<const ItemScore*>> pools;
  std::vector<const ItemScore*> all;
  for (const ItemScore& item : score.items) {
    all.push_back(&item);
    pools[item.item->pool].push_back(&item);
  }
  score.summaries.push_back(summary_of(score, "", all));
  if (pools.size() < 2) return;
  for (const auto& [pool, items] : pools) {
    if (!pool.empty()) score.summaries.push_back(summary_of(score, pool, items));
  }
}

}  // namespace dsmoe::eval
