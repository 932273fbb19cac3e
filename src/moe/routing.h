// Routing: the data that the parts of an MoE layer share, namely which experts each token visits and with what weight.
//
// Gates make it, capacity edits it, balance terms read it, dispatchers obey it, probes record it. It is a value for one
// layer and one micro-batch; nothing is global and nothing needs clearing.
//
// Shape letters, here and in all rooms that hold tensors: B batch, S position, T tokens = B*S, D model, H heads,
// A head size, F expert width, E routed experts, K chosen, V vocabulary, N token slots = T*K.
#pragma once

#include <torch/types.h>

#include <cstdint>

#include "moe/sequences.h"

namespace dsmoe::moe {

using torch::Tensor;

struct Routing {
  Tensor experts_TK;              ///< int64 expert ids, first choice first
  Tensor weights_TK;              ///< gate values, float32 (float64 in gradient tests), differentiable
  Tensor logits_TE;               ///< router logits; undefined for gates without a router (Hash)
  Tensor scores_TE;               ///< affinities of every expert, before selection and without bias; undefined likewise
  Tensor kept_TK;                 ///< bool, false where a slot was dropped; undefined: none was (dropless)
  Tensor mask_T;                  ///< bool, true for real tokens; undefined: all are. Padding visits no routed expert
  Sequences sequences;            ///< of all T tokens
  bool scores_sum_to_one = true;  ///< false for sigmoid affinities
  bool selection_biased = false;  ///< true where a balance bias took part in the selection

  int64_t tokens() const { return experts_TK.size(0); }
  int64_t chosen() const { return experts_TK.size(1); }
  int64_t real_tokens() const;

  /// int64 [E]: how often real tokens chose each expert, before anything was dropped. Sums to K times the real tokens.
  Tensor counts_E(int64_t experts) const;
  /// Slots of real tokens that were dropped.
  int64_t dropped() const;
  /// Affinities divided by their sum over experts (the P of the balance losses is their mean).
  Tensor probabilities_TE() const;
  /// The same without its autograd graph, for records.
  Routing detach() const;
};

/// (max load - mean load) / mean load (loss-free balancing's MaxVio); 0 where there is no load.
double max_violation(const Tensor& counts_E);

}  // namespace dsmoe::moe
