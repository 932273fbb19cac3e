// Router saturation: how early in training tokens find the experts that read them at its end (OLMoE, arXiv 2409.02060,
// section 5.1).
//
// On the same tokens, the share of the picks of a checkpoint that the last one makes too. Two routers that know
// nothing of each other agree in sum_e q_e r_e / K of the picks, with q_e and r_e the shares of tokens that pick e:
// K / E where loads are even. That is the value to compare with, and it depends on granularity.
#pragma once

#include "base/file.h"
#include "base/json.h"
#include "formats/checkpoint_folders.h"
#include "study/routing_trace.h"

namespace dsmoe::study {

struct RouterSaturation {
  std::vector<int64_t> layers;  ///< [L] of the model
  int64_t n_routed_experts = 0, num_experts_per_tok = 0, tokens = 0;
  struct Point {
    int64_t step = 0;
    std::vector<double> agreement, chance;  ///< [L] with the last checkpoint
  };
  std::vector<Point> points;  ///< steps ascending; the last one agrees with itself
};

using formats::CheckpointFolder;

/// The folders named step-N of a run, steps ascending. Throws Error: kIo where there is no such run, kNoCheckpoint for
/// fewer than two.
std::vector<CheckpointFolder> checkpoint_folders(const base::fs::path& run);
/// Throws Error(kInvalid) unless routers of these models choose among the same experts for the same tokens: layers,
/// experts, picks, vocabulary and context are equal. Also for models whose router is a hash table, which never learns.
void require_same_routers(const std::vector<CheckpointFolder>& folders);

/// Of two traces of the same tokens, in one layer.
double agreement(const RoutingTrace& trace, const RoutingTrace& last, size_t layer);
double agreement_by_chance(const RoutingTrace& trace, const RoutingTrace& last, size_t layer);

/// `trace(i)` is of folder i; it is asked once for each, the last one first.
RouterSaturation router_saturation(const std::vector<CheckpointFolder>& folders,
                                   const std::function<RoutingTrace(size_t folder)>& trace);

base::Json to_json(const RouterSaturation& saturation);
/// From what to_json wrote. Throws Error(kInvalid) naming `where` when the numbers do not fit together.
RouterSaturation router_saturation_from_json(const base::Json& json, std::string_view where);
/// A line for each checkpoint, a column for each layer that `columns` characters hold.
std::string saturation_table(const RouterSaturation& saturation, size_t columns = 110);

}  // namespace dsmoe::study
