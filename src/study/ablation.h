// How the loss of a trained model changes when its experts are taken away, without training it again (paper
// section 4.5): which points a study looks at, and what it found, as data. Whoever has an engine scores the points.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "corpus/validation.h"
#include "engine/intervention.h"
#include "spec/model_config.h"

namespace dsmoe::study {

enum class AblationKind {
  kDisable,  ///< each token's routed experts of highest affinity masked, by growing shares (Figure 4)
  kShared,   ///< shared experts dropped; as many routed experts more in their place; as many routed experts fewer
  kFewer,    ///< fewer routed experts a token than in training (Figure 5)
};
/// "disable", "shared", "fewer": the command's and the file's name.
std::string_view ablation_name(AblationKind kind);
std::optional<AblationKind> ablation_named(std::string_view name);
/// Whether a model of this shape can be studied so with the default points.
bool can_study(AblationKind kind, const spec::ModelConfig& config);

/// What some text scored in one state of the model.
struct AblationScore {
  corpus::TextScore total;
  std::vector<std::pair<std::string, corpus::TextScore>> domains;
  /// Standard error of (nats per token here - nats per token of the untouched model), paired by document; nothing for
  /// the untouched model itself, or where the text has fewer than two documents.
  std::optional<double> rise_error;
};

struct AblationPoint {
  std::string label;                  ///< for tables: "4 of 63 masked"
  double x = 0;                       ///< on the figure's axis: share masked, or routed experts a token
  engine::Intervention intervention;  ///< the default one: the untouched model
  AblationScore score;

  bool untouched() const { return intervention == engine::Intervention{}; }
};

struct Ablation {
  AblationKind kind = AblationKind::kDisable;
  int64_t n_routed_experts = 0, n_shared_experts = 0, num_experts_per_tok = 0;
  std::vector<AblationPoint> points;  ///< the untouched model among them, once

  const AblationPoint& untouched() const;
  /// Nats per token above the untouched model's.
  double rise(const AblationPoint& point) const;
};

/// The points of each study, not scored yet. All throw Error(kInvalid) for a dense model.
///
/// Shares of the routed experts, each from 0 to below 1; rounded to whole experts, to nearest, 0 always among them,
/// points of equal numbers kept once. Throws Error(kInvalid) for a hash table, which ranks no experts, and for a share
/// that leaves fewer experts than a token visits.
Ablation disable_study(const spec::ModelConfig& config, const std::vector<double>& shares);
/// Throws Error(kInvalid) for a model without shared experts. Points that the model cannot do are left out.
Ablation shared_study(const spec::ModelConfig& config);
/// Routed experts a token; empty: 1 to num_experts_per_tok. That number is always among them. Throws Error(kInvalid)
/// for numbers below 1 or above n_routed_experts (of a hash table: above num_experts_per_tok).
Ablation fewer_study(const spec::ModelConfig& config, std::vector<int64_t> experts);

/// The points that a study looks at where nobody names others: a sixteenth to a quarter masked, one expert to all.
Ablation default_study(AblationKind kind, const spec::ModelConfig& config);

/// Scores every point, the untouched model first.
void score_points(Ablation& study, const std::function<AblationScore(const engine::Intervention&)>& score);

base::Json to_json(const Ablation& study);
/// Throws Error(kInvalid) naming `where` for a file of another format or numbers that do not fit together.
Ablation ablation_from_json(const base::Json& json, const std::string& where);
/// A table for a terminal.
std::string ablation_table(const Ablation& study);

}  // namespace dsmoe::study
