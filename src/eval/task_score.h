// Scores of a task: what each item got, and the means over all and over each pool.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "eval/prompt.h"
#include "eval/statistics.h"
#include "eval/task.h"

namespace dsmoe::eval {

/// A figure that items have: one of acc, acc_norm, acc_bytes (1 or 0), nats, exact_match (1 or 0).
struct Metric {
  std::string name;
  bool share = true;  ///< of successes
  bool higher_is_better = true;
};

struct ItemScore {
  const Item* item = nullptr;
  std::vector<double> values;  ///< by metric
  base::Json sample;           ///< what was asked and what came, in lm-evaluation-harness's shape
};

struct MetricEstimate {
  Metric metric;
  Estimate estimate;
  Interval interval;  ///< 95 %
  /// Of acc and its kin, whether the interval includes what guessing gives.
  bool at_chance = false;
};

struct Summary {
  std::string pool;  ///< empty: of all items
  int64_t items = 0;
  double chance = 0;  ///< what guessing gets of the choices; 0 where there are none
  std::vector<MetricEstimate> metrics;
};

/// The task must outlive it.
struct TaskScore {
  const Task* task = nullptr;
  TaskOptions options;  ///< shots resolved
  std::vector<Metric> metrics;
  std::vector<ItemScore> items;
  std::vector<Summary> summaries;  ///< all, then by pool where there are several
};

/// Called with items scored and items in all, after each. May throw to stop.
using OnItem = std::function<void(int64_t done, int64_t all)>;

/// Multiple choice by log-likelihood: acc takes the likeliest choice, acc_norm the likeliest by its characters (without
/// white space before it), as lm-evaluation-harness does, acc_bytes by its bytes; nats is minus the right choice's
/// log-likelihood. Bits do not depend on threads. The task must be of this kind. Throws Error(kInvalid), before
/// anything is computed, where an item does not fit into the model's context or there are too few shots;
/// Error(kNonFinite).
TaskScore score_choices(engine::Engine& engine, const tokenizer::Tokenizer& tokenizer, const Task& task,
                        const TaskOptions& options, const OnItem& on_item = {});

/// Greedy answers, cut at the task's stop strings: exact_match is whether one is right after normalisation. An answer
/// ends where the context does. Errors as above.
TaskScore score_answers(engine::Engine& engine, const tokenizer::Tokenizer& tokenizer, const Task& task,
                        const TaskOptions& options, const OnItem& on_item = {});

/// Fills summaries from items.
void summarise(TaskScore& score);

}  // namespace dsmoe::eval
