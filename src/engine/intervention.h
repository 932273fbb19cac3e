// What a study changes in a pass, as data: which experts a token may not visit, how many it visits, whether the shared
// bank works, which experts it must visit. And what is recorded: a probe sees every routing and what the
// experts made of it, and costs nothing when there is none.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <vector>

#include "spec/model_config.h"

namespace dsmoe::engine {

struct Intervention {
  /// Experts that no token visits: by layer, or in every mixture layer under kEveryLayer.
  std::map<int64_t, std::set<int32_t>> masked;
  /// Each token loses this share of the routed experts, those of highest affinity for it (paper section 4.5); the
  /// number is rounded to nearest. Affinities are not renormalised: gates keep their value.
  double masked_top_fraction = 0;
  /// Experts a token visits, in place of num_experts_per_tok; 0 keeps that. Hash tables can only be cut short.
  int64_t experts_per_tok = 0;
  /// The shared bank adds nothing.
  bool drop_shared = false;
  /// The experts every token visits, by layer or under kEveryLayer, with the gates that the router gives them.
  std::map<int64_t, std::vector<int32_t>> forced;

  static constexpr int64_t kEveryLayer = -1;
  bool operator==(const Intervention&) const = default;

  /// Throws Error(kInvalid) where the model cannot do it: unknown layers or experts, fewer experts left than a token
  /// visits, affinities asked of a hash table.
  void validate(const spec::ModelConfig& config) const;
  bool masks(int64_t layer, int32_t expert) const;
  /// The forced experts of a layer, or null.
  const std::vector<int32_t>* forced_in(int64_t layer) const;
  int64_t top_experts_masked(const spec::ModelConfig& config) const;
  /// Slots that a token of this layer fills at most.
  int64_t slots(const spec::ModelConfig& config, int64_t layer) const;
};

/// What one mixture layer did with some tokens of one sequence. T tokens, K slots, E experts.
struct RoutingView {
  std::span<const int32_t> tokens;       ///< [T] input ids
  int64_t first_position = 0;            ///< of tokens[0]
  int64_t slots = 0;                     ///< K; with an intervention it may differ from the model's
  int64_t experts = 0;                   ///< E
  std::span<const int32_t> ids_TK;       ///< experts, best first; -1 in a slot left empty
  std::span<const float> weights_TK;     ///< what each expert's output is multiplied by
  std::span<const float> affinities_TE;  ///< before bias, masks and normalisation; empty for a hash table
};

/// What the experts of that layer made of the same tokens, before it is weighted and added up. D model.
struct ExpertOutputsView {
  int64_t width = 0;                  ///< D
  std::span<const int32_t> place_TK;  ///< row of a slot's output in rows_RD, or -1 in a slot left empty
  std::span<const float> rows_RD;     ///< outputs of routed experts, of other tokens too
  /// [D] of a slot that is not empty: t * K + k.
  std::span<const float> output(size_t slot) const {
    const auto D = static_cast<size_t>(width);
    return rows_RD.subspan(static_cast<size_t>(place_TK[slot]) * D, D);
  }
};

class RoutingProbe {
 public:
  virtual ~RoutingProbe() = default;
  /// Once for each mixture layer and piece of a pass, layers ascending; the view lives until it returns.
  virtual void on_routing(int64_t layer, const RoutingView& routing) = 0;
  /// Likewise, after on_routing, when the layer's routed experts have worked; `routing` is the view that it had.
  virtual void on_expert_outputs(int64_t /*layer*/, const RoutingView& /*routing*/,
                                 const ExpertOutputsView& /*outputs*/) {}
};

}  // namespace dsmoe::engine
