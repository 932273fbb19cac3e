#include "study/routing_saturation.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/error.h"
#include "formats/model_folder.h"

namespace dsmoe::study {
namespace {

using base::Json;

// [E] the share of tokens that pick an expert.
std::vector<double> pick_rates(const RoutingTrace& trace, size_t layer) {
  std::vector<double> rates(static_cast<size_t>(trace.n_routed_experts), 0.0);
  for (const uint16_t expert : trace.experts[layer]) {
    if (expert != kNoExpert) rates[expert] += 1 / static_cast<double>(trace.size());
  }
  return rates;
}

std::string routers_text(const spec::ModelConfig& c) {
  return std::to_string(c.moe_layers()) + " mixture layers of " + std::to_string(c.num_hidden_layers) + ", " +
         std::to_string(c.num_experts_per_tok) + " of " + std::to_string(c.n_routed_experts) + " experts, " +
         std::to_string(c.vocab_size) + " tokens, context " + std::to_string(c.max_position_embeddings);
}

bool same_routers(const spec::ModelConfig& a, const spec::ModelConfig& b) {
  return routers_text(a) == routers_text(b) && empty_trace(a, {}).layers == empty_trace(b, {}).layers;
}

}  // namespace

std::vector<CheckpointFolder> checkpoint_folders(const base::fs::path& run) {
  std::vector<CheckpointFolder> folders = formats::checkpoint_folders(run);
  if (folders.size() < 2) {
    base::fail(base::ErrorKind::kNoCheckpoint, "study", "a comparison along training takes two checkpoints or more",
               std::to_string(folders.size()) + " in " + run.string(),
               "train with train.checkpoint_every and train.keep_checkpoints");
  }
  return folders;
}

void require_same_routers(const std::vector<CheckpointFolder>& folders) {
  const auto config_of = [](const CheckpointFolder& folder) {
    return formats::ModelFolder::open(folder.path).config();
  };
  const spec::ModelConfig last = config_of(folders.back());
  empty_trace(last, {});  // refuses a model without mixture layers
  if (!last.has_router_weight()) {
    base::fail_invalid("study", "the model has a hash table in place of a router, which is the same at every step",
                       folders.back().path.string(), "study the checkpoints of a router that learns");
  }
  for (const CheckpointFolder& folder : folders) {
    const spec::ModelConfig config = config_of(folder);
    if (config.is_moe() && same_routers(config, last)) continue;
    base::fail_invalid("study", "the checkpoints of a run must be of one shape",
                       folder.path.string() + " has " + routers_text(config) + "; " + folders.back().path.string() +
                           " has " + routers_text(last));
  }
}

double agreement(const RoutingTrace& trace, const RoutingTrace& last, size_t layer) {
  int64_t same = 0, all = 0;
  for (int64_t t = 0; t < last.size(); ++t) {
    const auto then = trace.picks(layer, t);
    for (const uint16_t expert : last.picks(layer, t)) {
      if (expert == kNoExpert) continue;
      ++all;
      same += std::ranges::find(then, expert) != then.end() ? 1 : 0;
    }
  }
  return all > 0 ? static_cast<double>(same) / static_cast<double>(all) : 0;
}

double agreement_by_chance(const RoutingTrace& trace, const RoutingTrace& last, size_t layer) {
  const std::vector<double> q = pick_rates(trace, layer), r = pick_rates(last, layer);
  double both = 0, picks = 0;
  for (size_t e = 0; e < q.size(); ++e) {
    both += q[e] * r[e];
    picks += r[e];
  }
  return picks > 0 ? both / picks : 0;
}

RouterSaturation router_saturation(const std::vector<CheckpointFolder>& folders,
                                   const std::function<RoutingTrace(size_t folder)>& trace) {
  const RoutingTrace last = trace(folders.size() - 1);
  RouterSaturation saturation{last.layers, last.n_routed_experts, last.num_experts_per_tok, last.size(), {}};
  const auto compare = [&](size_t i, const RoutingTrace& one) {
    DSMOE_CHECK(one.tokens == last.tokens, "checkpoints read the same tokens");
    RouterSaturation::Point point{folders[i].step, {}, {}};
    for (size_t layer = 0; layer < last.layers.size(); ++layer) {
      point.agreement.push_back(agreement(one, last, layer));
      point.chance.push_back(agreement_by_chance(one, last, layer));
    }
    saturation.points.push_back(std::move(point));
  };
  for (size_t i = 0; i + 1 < folders.size(); ++i) compare(i, trace(i));
  compare(folders.size() - 1, last);
  return saturation;
}

Json to_json(const RouterSaturation& saturation) {
  Json json = {{"n_routed_experts", saturation.n_routed_experts},
               {"num_experts_per_tok", saturation.num_experts_per_tok},
               {"tokens", saturation.tokens},
               {"layers", saturation.layers},
               {"checkpoints", Json::array()}};
  const auto rounded = [](std::vector<double> values) {
    for (double& value : values) value = std::round(value * 1e4) / 1e4;
    return values;
  };
  for (const RouterSaturation::Point& point : saturation.points) {
    json["checkpoints"].push_back(
        {{"step", point.step}, {"agreement", rounded(point.agreement)}, {"chance", rounded(point.chance)}});
  }
  return json;
}

RouterSaturation router_saturation_from_json(const Json& json, std::string_view where) {
  RouterSaturation saturation;
  saturation.n_routed_experts = base::require_int(json, "n_routed_experts", 1, 1 << 16, where);
  saturation.num_experts_per_tok =
      base::require_int(json, "num_experts_per_tok", 1, saturation.n_routed_experts, where);
  saturation.tokens = base::require_int(json, "tokens", 0, INT64_MAX, where);
  try {
    base::require_member(json, "layers", where).get_to(saturation.layers);
    for (const Json& point : base::require_member(json, "checkpoints", where)) {
      saturation.points.push_back({base::require_int(point, "step", 0, INT64_MAX, where),
                                   base::require_member(point, "agreement", where).get<std::vector<double>>(),
                                   base::require_member(point, "chance", where).get<std::vector<double>>()});
    }
  } catch (const Json::exception&) {
    base::fail_invalid(where, "not the checkpoints' routing that `dsmoe study routing --checkpoints` writes");
  }
  const size_t layers = saturation.layers.size();
  for (const RouterSaturation::Point& point : saturation.points) {
    if (point.agreement.size() != layers || point.chance.size() != layers) {
      base::fail_invalid(where, "each checkpoint must have a number for each layer");
    }
  }
  return saturation;
}

std::string saturation_table(const RouterSaturation& saturation, size_t columns) {
  const size_t L = saturation.layers.size(), shown = std::min(L, std::max<size_t>(1, (columns - 28) / 8));
  char cell[48];
  std::string out = "share of picks that the last checkpoint makes too, by layer\n\n    step     mean  by chance";
  const auto mean = [&](const std::vector<double>& values) {
    double sum = 0;
    for (const double value : values) sum += value;
    return 100 * sum / static_cast<double>(L);
  };
  for (size_t l = 0; l < shown; ++l) {
    std::snprintf(cell, sizeof cell, "%8lld", static_cast<long long>(saturation.layers[l]));
    out += cell;
  }
  out += "\n";
  for (const RouterSaturation::Point& point : saturation.points) {
    std::snprintf(cell, sizeof cell, "%8lld %6.1f %% %8.1f %%", static_cast<long long>(point.step),
                  mean(point.agreement), mean(point.chance));
    out += cell;
    for (size_t l = 0; l < shown; ++l) {
      std::snprintf(cell, sizeof cell, "%6.1f %%", 100 * point.agreement[l]);
      out += cell;
    }
    out += "\n";
  }
  return out;
}

}  // namespace dsmoe::study
