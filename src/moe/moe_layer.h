// MoeLayer: gate + capacity + dispatcher + routed bank + optional shared bank (paper eq. 9-11 without the residual).
//
// It returns everything that happened: the output, its balance loss and its Routing. Nothing is kept between calls.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "moe/balance_term.h"
#include "moe/dispatcher.h"
#include "moe/expert_bank.h"
#include "moe/ffn.h"
#include "moe/gate.h"
#include "moe/sequences.h"

namespace dsmoe::moe {

/// What a layer needs to know of the micro-batch.
struct MoeContext {
  Tensor token_ids_T;
  Tensor mask_T;            ///< bool, true for real tokens; undefined: all
  Sequences sequences;      ///< of all T tokens
  bool training = false;    ///< capacity, random second experts and balance terms exist in training only
  double total_tokens = 1;  ///< real tokens of the whole optimiser step
  uint64_t random_key = 0;  ///< of this micro-batch
};

struct MoeOutput {
  Tensor y_TD;
  Tensor balance_loss;  ///< scalar in the router's type; zero outside training
  Routing routing;
};

struct MoeParts {
  std::unique_ptr<Gate> gate;
  std::vector<std::unique_ptr<BalanceTerm>> balance;
  std::unique_ptr<Dispatcher> dispatcher;
  ExpertBank routed;
  std::optional<SharedBank> shared;
  int64_t experts = 0;         ///< routed ones, wherever they are
  double capacity_factor = 0;  ///< 0: dropless
};

class MoeLayer {
 public:
  explicit MoeLayer(MoeParts parts) : parts_(std::move(parts)) {}
  MoeOutput forward(const Tensor& x_TD, const MoeContext& context, uint64_t layer) const;

 private:
  /// Routing and balance loss; no output yet.
  MoeOutput choose(const Tensor& x_TD, const MoeContext& context, uint64_t layer) const;

  MoeParts parts_;
};

}  // namespace dsmoe::moe
