// Scores as records, in lm-evaluation-harness's shape and names, so that what reads its files reads these.
#pragma once

#include <span>
#include <string>

#include "eval/prompt_session.h"
#include "eval/task_score.h"

namespace dsmoe::eval {

/// A line of samples.jsonl but for its number and its scores: what was asked and what the model gave.
base::Json choice_sample(const Item& item, const std::string& context, std::span<const ContinuationScore> scores);
base::Json answer_sample(const Task& task, const Item& item, const std::string& prompt,
                         const engine::Generation& written);

/// Of a task, a line for each item scored.
std::string samples_jsonl(const TaskScore& score);

/// results.json: `results` by task, and by TASK/POOL where a task has several pools, with figures named like acc,none
/// and acc_stderr,none; beside lm-evaluation-harness's keys there are `interval` and `at_chance`. `provenance` says
/// what was measured with what, and is the caller's.
base::Json results_json(std::span<const TaskScore> scores, const base::Json& provenance);

}  // namespace dsmoe::eval
