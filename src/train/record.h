// What a run says about itself, as values: one record per step, and what happened between steps. records.h writes them;
// an app shows them.
//
// metrics.jsonl holds one JSON object a line, told apart by "type" (docs/training.md lists the keys):
//   step        every step; the only ones with "loss"
//   validation, checkpoint, alarm, sample, start
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"

namespace dsmoe::train {

struct RunStart {
  std::string output;
  int64_t step = 0;   ///< where it begins; above 0: resumed
  int64_t steps = 0;  ///< where it ends
  std::string resumed_from;
  int64_t parameters = 0;
  int64_t tokens_per_step = 0;
  base::Json to_json() const;
};

/// What the router of one MoE layer did in one step, over the whole global batch.
struct LayerLoad {
  int64_t layer = 0;  ///< the block's number
  std::vector<int64_t> counts_E;
  int64_t dropped = 0;  ///< slots that found no room (capacity_factor)

  /// (max - mean) / mean of the counts; 0 for no load.
  double max_vio() const;
  /// min / mean.
  double least_load() const;
};

struct StepRecord {
  int64_t step = 0;    ///< steps done, this one included
  int64_t tokens = 0;  ///< tokens trained on since the run began
  double loss = 0;     ///< nats per token, cross entropy alone
  double balance_loss = 0;
  double lr = 0;
  double grad_norm = 0;  ///< before clipping
  double tokens_per_s = 0;
  std::vector<LayerLoad> layers;

  double max_vio() const;  ///< mean over the MoE layers; 0 without any
  int64_t dropped() const;
  base::Json to_json() const;
};

struct DomainScore {
  std::string domain;  ///< empty: all together
  double nats_per_token = 0, bits_per_byte = 0;
  int64_t tokens = 0, bytes = 0;
};

struct ValidationRecord {
  int64_t step = 0;
  DomainScore all;
  std::vector<DomainScore> domains;
  double max_vio = 0;  ///< of the whole validation set, mean over layers ("MaxVio global")
  double seconds = 0;
  base::Json to_json() const;
};

struct AlarmRecord {
  int64_t step = 0;
  std::string alarm;  ///< starved_experts, routing_collapse, records_waiting
  std::string text;   ///< one sentence
  base::Json details = base::Json::object();
  base::Json to_json() const;
};

struct CheckpointRecord {
  int64_t step = 0;
  std::string path;
  uint64_t bytes = 0;
  double seconds = 0;
  base::Json to_json() const;
};

struct SampleRecord {
  int64_t step = 0;
  std::string text;
  base::Json to_json() const;
};

}  // namespace dsmoe::train
