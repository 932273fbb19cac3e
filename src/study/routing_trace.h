// What a model's routers did with labelled text, token by token: the one thing that a study of routing reads a model
// for. Everything else (loads, domains, tokens, pairs of experts) is computed from it afterwards.
//
// N tokens, L mixture layers, K slots, E experts. A trace holds 2 N L K bytes.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "corpus/dataset.h"
#include "engine/engine.h"
#include "study/routing_counts.h"

namespace dsmoe::study {

/// In a slot left empty.
inline constexpr uint16_t kNoExpert = 0xffff;

struct RoutingTrace {
  std::vector<int64_t> layers;       ///< [L] model layer of each mixture layer
  int64_t n_routed_experts = 0;      ///< E
  int64_t num_experts_per_tok = 0;   ///< K
  std::vector<std::string> domains;  ///< labels of the text
  /// Text that the model read with an empty past: tokens begin .. end of the trace.
  struct Window {
    size_t domain = 0;
    int64_t begin = 0, end = 0;
  };
  std::vector<Window> windows;                      ///< by domain, ascending, and in order within one
  std::vector<int32_t> tokens;                      ///< [N]
  std::vector<std::vector<uint16_t>> experts;       ///< [L][N K] best first
  std::vector<std::vector<double>> router_entropy;  ///< [L][domain] bits, summed over its tokens; empty: hash tables

  int64_t size() const { return static_cast<int64_t>(tokens.size()); }
  /// [K] what one token picked.
  std::span<const uint16_t> picks(size_t layer, int64_t token) const {
    const auto K = static_cast<size_t>(num_experts_per_tok);
    return std::span(experts[layer]).subspan(static_cast<size_t>(token) * K, K);
  }
};

/// Without text: layers, experts and domains. Throws Error(kInvalid) for a model that has no mixture layer.
RoutingTrace empty_trace(const spec::ModelConfig& config, const std::vector<std::string>& domains);
/// What happened, as integers by domain.
RoutingCounts counts_of(const RoutingTrace& trace);
/// [domain]
std::vector<int64_t> tokens_by_domain(const RoutingTrace& trace);

struct RoutingStudyOptions {
  /// Windows of this length, as in training; 0: the model's max_position_embeddings.
  int64_t sequence_length = 0;
  /// Tokens looked at over all domains; 0: all of the split.
  int64_t token_limit = 0;
  /// Called now and then with the tokens done and all tokens. May throw to stop.
  std::function<void(int64_t done, int64_t all)> progress;
  /// Sees what the trace sees, and what experts made of it; null: nobody does.
  engine::RoutingProbe* beside = nullptr;
};

/// Runs a model over a corpus. Throws Error(kInvalid) when the model has no mixture layer, the dataset's vocabulary is
/// larger than the model's (whose rows may be padded), the split has no tokens, or the trace does not fit into memory;
/// what require_finite() throws.
RoutingTrace trace_routing(engine::Engine& engine, const corpus::TokenDataset& dataset,
                           const RoutingStudyOptions& options = {});

/// Throws Error(kNonFinite) where the weights of chosen experts are not finite.
void require_finite(int64_t layer, const engine::RoutingView& routing);

/// Bits of a choice of one among these weights, which need not sum to one; 0 where all are zero.
double entropy_bits(std::span<const float> weights);

}  // namespace dsmoe::study
