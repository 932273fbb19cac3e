#include "study/ablation.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <set>

#include "base/error.h"

namespace dsmoe::study {
namespace {

using base::fail_invalid;

constexpr const char* kPart = "study";
constexpr std::array kKinds = {AblationKind::kDisable, AblationKind::kShared, AblationKind::kFewer};

Ablation empty_study(AblationKind kind, const spec::ModelConfig& config) {
  if (!config.is_moe()) {
    fail_invalid(kPart, "the model has no mixture layer", "n_routed_experts = 0", "study a mixture of experts");
  }
  return {kind, config.n_routed_experts, config.n_shared_experts, config.num_experts_per_tok, {}};
}

std::string routed(int64_t count) { return std::to_string(count) + " routed"; }

bool possible(const engine::Intervention& intervention, const spec::ModelConfig& config) {
  try {
    intervention.validate(config);
    return true;
  } catch (const base::Error&) {
    return false;
  }
}

}  // namespace

std::string_view ablation_name(AblationKind kind) {
  switch (kind) {
    case AblationKind::kDisable:
      return "disable";
    case AblationKind::kShared:
      return "shared";
    case AblationKind::kFewer:
      return "fewer";
  }
  return "unknown";
}

std::optional<AblationKind> ablation_named(std::string_view name) {
  const auto kind =
      std::find_if(kKinds.begin(), kKinds.end(), [&](AblationKind k) { return ablation_name(k) == name; });
  return kind == kKinds.end() ? std::nullopt : std::optional(*kind);
}

bool can_study(AblationKind kind, const spec::ModelConfig& config) {
  if (!config.is_moe()) return false;
  if (kind == AblationKind::kDisable) return config.has_router_weight();
  return kind == AblationKind::kFewer || config.n_shared_experts > 0;
}

const AblationPoint& Ablation::untouched() const {
  return *std::find_if(points.begin(), points.end(), [](const AblationPoint& point) { return point.untouched(); });
}

double Ablation::rise(const AblationPoint& point) const {
  return point.score.total.nats_per_token() - untouched().score.total.nats_per_token();
}

Ablation disable_study(const spec::ModelConfig& config, const std::vector<double>& shares) {
  Ablation study = empty_study(AblationKind::kDisable, config);
  std::set<int64_t> seen;
  std::vector<double> all = shares;
  all.push_back(0);
  std::sort(all.begin(), all.end());
  for (const double share : all) {
    AblationPoint point;
    point.intervention.masked_top_fraction = share;
    point.intervention.validate(config);
    const int64_t masked = point.intervention.top_experts_masked(config);
    if (!seen.insert(masked).second) continue;
    if (masked == 0) point.intervention = {};  // a share too small for one expert touches nothing
    point.x = static_cast<double>(masked) / static_cast<double>(config.n_routed_experts);
    point.label = std::to_string(masked) + " of " + std::to_string(config.n_routed_experts) + " masked";
    study.points.push_back(std::move(point));
  }
  return study;
}

Ablation shared_study(const spec::ModelConfig& config) {
  Ablation study = empty_study(AblationKind::kShared, config);
  const int64_t K = config.num_experts_per_tok, shared = config.n_shared_experts;
  if (shared == 0) {
    fail_invalid(kPart, "the model has no shared expert", "n_shared_experts = 0",
                 "dsmoe study fewer takes routed ones");
  }
  const std::string whole = std::to_string(shared) + " shared + ";
  const auto add = [&](const std::string& label, int64_t experts, bool drop) {
    engine::Intervention change;
    change.drop_shared = drop;
    change.experts_per_tok = experts == K ? 0 : experts;
    if (experts < 1 || !possible(change, config)) return;
    study.points.push_back({label, static_cast<double>(experts), change, {}});
  };
  add(whole + routed(K), K, false);
  add("0 shared + " + routed(K), K, true);
  add("0 shared + " + routed(K + shared), K + shared, true);
  add(whole + routed(K - shared), K - shared, false);
  return study;
}

Ablation fewer_study(const spec::ModelConfig& config, std::vector<int64_t> experts) {
  Ablation study = empty_study(AblationKind::kFewer, config);
  const int64_t K = config.num_experts_per_tok;
  if (experts.empty()) {
    for (int64_t k = 1; k < K; ++k) experts.push_back(k);
  }
  experts.push_back(K);
  const std::set<int64_t> all(experts.begin(), experts.end());
  for (const int64_t k : all) {
    if (k < 1) fail_invalid(kPart, "a token visits at least one routed expert", std::to_string(k));
    AblationPoint point;
    if (k != K) point.intervention.experts_per_tok = k;
    point.intervention.validate(config);
    point.x = static_cast<double>(k);
    point.label = routed(k) + (k == K ? " (as trained)" : "");
    study.points.push_back(std::move(point));
  }
  return study;
}

Ablation default_study(AblationKind kind, const spec::ModelConfig& config) {
  switch (kind) {
    case AblationKind::kDisable:
      return disable_study(config, {1 / 16.0, 2 / 16.0, 3 / 16.0, 4 / 16.0});
    case AblationKind::kShared:
      return shared_study(config);
    case AblationKind::kFewer:
      break;
  }
  return fewer_study(config, {});
}

void score_points(Ablation& study, const std::function<AblationScore(const engine::Intervention&)>& score) {
  for (const bool untouched : {true, false}) {
    for (AblationPoint& point : study.points) {
      if (point.untouched() == untouched) point.score = score(point.intervention);
    }
  }
}

namespace {

constexpr const char* kFormat = "dsmoe-ablation 1";
constexpr size_t kMostPoints = 1000;

base::Json score_json(const corpus::TextScore& score) {
  return {{"nats_per_token", score.nats_per_token()},
          {"bits_per_byte", score.bits_per_byte()},
          {"tokens", score.tokens},
          {"bytes", score.bytes}};
}

corpus::TextScore score_of(const base::Json& json, const std::string& where) {
  corpus::TextScore score;
  score.tokens = base::require_int(json, "tokens", 1, INT64_MAX, where);
  score.bytes = base::require_int(json, "bytes", 0, INT64_MAX, where);
  score.nats = base::require_number(json, "nats_per_token", where) * static_cast<double>(score.tokens);
  return score;
}

AblationPoint point_of(const base::Json& json, const std::string& where) {
  AblationPoint point;
  point.label = base::require_string(json, "label", where);
  point.x = base::require_number(json, "x", where);
  point.intervention.masked_top_fraction = base::require_number(json, "masked_top_fraction", where);
  point.intervention.experts_per_tok = base::require_int(json, "experts_per_tok", 0, INT32_MAX, where);
  const base::Json& drop = base::require_member(json, "drop_shared", where);
  if (!drop.is_boolean()) fail_invalid(where, "drop_shared is true or false", base::dump_json(drop));
  point.intervention.drop_shared = drop.get<bool>();
  point.score.total = score_of(json, where);
  if (json.contains("rise_stderr")) point.score.rise_error = base::require_number(json, "rise_stderr", where);
  const base::Json& domains = base::require_member(json, "domains", where);
  if (!domains.is_object()) fail_invalid(where, "domains must be an object", base::dump_json(domains));
  for (const auto& [name, score] : domains.items()) point.score.domains.emplace_back(name, score_of(score, where));
  return point;
}

}  // namespace

base::Json to_json(const Ablation& study) {
  base::Json points = base::Json::array();
  for (const AblationPoint& point : study.points) {
    base::Json json = score_json(point.score.total);
    json["label"] = point.label;
    json["x"] = point.x;
    json["masked_top_fraction"] = point.intervention.masked_top_fraction;
    json["experts_per_tok"] = point.intervention.experts_per_tok;
    json["drop_shared"] = point.intervention.drop_shared;
    json["rise"] = study.rise(point);
    if (point.score.rise_error) json["rise_stderr"] = *point.score.rise_error;
    json["domains"] = base::Json::object();
    for (const auto& [name, score] : point.score.domains) json["domains"][name] = score_json(score);
    points.push_back(std::move(json));
  }
  return {{"format", kFormat},
          {"study", ablation_name(study.kind)},
          {"n_routed_experts", study.n_routed_experts},
          {"n_shared_experts", study.n_shared_experts},
          {"num_experts_per_tok", study.num_experts_per_tok},
          {"points", std::move(points)}};
}

Ablation ablation_from_json(const base::Json& json, const std::string& where) {
  if (!json.is_object() || json.value("format", base::Json()) != kFormat) {
    fail_invalid(where, "not what dsmoe study disable, shared or fewer leaves",
                 json.is_object() && json.contains("format") ? base::dump_json(json["format"]) : "no format");
  }
  Ablation study;
  const std::string name = base::require_string(json, "study", where);
  const auto kind = ablation_named(name);
  if (!kind) fail_invalid(where, "the study must be disable, shared or fewer", base::in_quotes(name));
  study.kind = *kind;
  study.n_routed_experts = base::require_int(json, "n_routed_experts", 1, INT32_MAX, where);
  study.n_shared_experts = base::require_int(json, "n_shared_experts", 0, INT32_MAX, where);
  study.num_experts_per_tok = base::require_int(json, "num_experts_per_tok", 1, INT32_MAX, where);
  const base::Json& points = base::require_member(json, "points", where);
  if (!points.is_array() || points.size() > kMostPoints)
    fail_invalid(where, "points must be a list of at most 1000", {});
  for (const base::Json& point : points) study.points.push_back(point_of(point, where));
  const auto untouched = std::count_if(study.points.begin(), study.points.end(),
                                       [](const AblationPoint& point) { return point.untouched(); });
  if (untouched != 1) fail_invalid(where, "one point is of the untouched model", std::to_string(untouched) + " are");
  return study;
}

std::string ablation_table(const Ablation& study) {
  char line[160];
  std::snprintf(line, sizeof line, "%-26s %10s %10s %10s %10s\n", "experts", "nats/token", "bits/byte", "rise", "+-");
  std::string out = line;
  for (const AblationPoint& point : study.points) {
    char error[24] = "";
    if (point.score.rise_error) std::snprintf(error, sizeof error, "%.4f", *point.score.rise_error);
    std::snprintf(line, sizeof line, "%-26s %10.4f %10.4f %+10.4f %10s\n", point.label.c_str(),
                  point.score.total.nats_per_token(), point.score.total.bits_per_byte(), study.rise(point), error);
    out += line;
  }
  return out;
}

}  // namespace dsmoe::study
