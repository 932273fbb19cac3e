#include "study/routing_trace.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/memory.h"
#include "corpus/validation.h"

namespace dsmoe::study {
namespace {

// Appends every routing it sees to the trace.
class TracingProbe : public engine::RoutingProbe {
 public:
  TracingProbe(RoutingTrace& trace, engine::RoutingProbe* beside) : trace_(trace), beside_(beside) {}
  void set_domain(size_t domain) { domain_ = domain; }

  void on_routing(int64_t layer, const engine::RoutingView& routing) override {
    require_finite(layer, routing);
    const size_t row = row_of(layer);
    if (row == 0) trace_.tokens.insert(trace_.tokens.end(), routing.tokens.begin(), routing.tokens.end());
    for (const int32_t expert : routing.ids_TK) {
      trace_.experts[row].push_back(expert < 0 ? kNoExpert : static_cast<uint16_t>(expert));
    }
    const size_t E = routing.affinities_TE.size() / routing.tokens.size();  // 0 for a hash table
    for (size_t t = 0; E > 0 && t < routing.tokens.size(); ++t) {
      trace_.router_entropy[row][domain_] += entropy_bits(routing.affinities_TE.subspan(t * E, E));
    }
    if (beside_ != nullptr) beside_->on_routing(layer, routing);
  }
  void on_expert_outputs(int64_t layer, const engine::RoutingView& routing,
                         const engine::ExpertOutputsView& outputs) override {
    if (beside_ != nullptr) beside_->on_expert_outputs(layer, routing, outputs);
  }

 private:
  size_t row_of(int64_t layer) const {
    return static_cast<size_t>(std::lower_bound(trace_.layers.begin(), trace_.layers.end(), layer) -
                               trace_.layers.begin());
  }
  RoutingTrace& trace_;
  engine::RoutingProbe* beside_;
  size_t domain_ = 0;
};

// Room for all of it before the model reads the first token.
void reserve(RoutingTrace& trace, int64_t tokens) {
  const double bytes =
      static_cast<double>(tokens) * (sizeof(int32_t) + sizeof(uint16_t) * static_cast<double>(trace.layers.size()) *
                                                           static_cast<double>(trace.num_experts_per_tok));
  const auto free = static_cast<double>(base::available_memory());
  if (bytes > free) {
    base::fail_invalid("study", "the choices of all tokens must fit into memory",
                       "needs " + std::to_string(static_cast<int64_t>(bytes / 1e6)) + " MB, free are " +
                           std::to_string(static_cast<int64_t>(free / 1e6)) + " MB",
                       "look at fewer tokens: --tokens");
  }
  trace.tokens.reserve(static_cast<size_t>(tokens));
  for (auto& layer : trace.experts) layer.reserve(static_cast<size_t>(tokens * trace.num_experts_per_tok));
}

}  // namespace

void require_finite(int64_t layer, const engine::RoutingView& routing) {
  if (std::ranges::all_of(routing.weights_TK, [](float weight) { return std::isfinite(weight); })) return;
  base::fail(base::ErrorKind::kNonFinite, "study", "the router's weights are not finite",
             "layer " + std::to_string(layer), "the model's weights are damaged or its training has diverged");
}

double entropy_bits(std::span<const float> weights) {
  double sum = 0, weighted = 0;
  for (const double w : weights) {
    if (w <= 0) continue;
    sum += w;
    weighted += w * std::log2(w);
  }
  return sum > 0 ? std::log2(sum) - weighted / sum : 0;
}

RoutingTrace empty_trace(const spec::ModelConfig& config, const std::vector<std::string>& domains) {
  if (config.moe_layers() == 0) {
    base::fail_invalid("study", "the model has no mixture layer", "n_routed_experts = 0", "study a mixture of experts");
  }
  if (config.n_routed_experts >= kNoExpert) {
    base::fail_invalid("study", "a layer may have at most " + std::to_string(kNoExpert - 1) + " routed experts",
                       std::to_string(config.n_routed_experts));
  }
  RoutingTrace trace;
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    if (config.is_moe_layer(layer)) trace.layers.push_back(layer);
  }
  trace.n_routed_experts = config.n_routed_experts;
  trace.num_experts_per_tok = config.num_experts_per_tok;
  trace.domains = domains;
  trace.experts.resize(trace.layers.size());
  if (config.has_router_weight()) {
    trace.router_entropy.assign(trace.layers.size(), std::vector<double>(domains.size(), 0.0));
  }
  return trace;
}

RoutingCounts counts_of(const RoutingTrace& trace) {
  RoutingCounts counts;
  counts.layers = trace.layers;
  counts.n_routed_experts = trace.n_routed_experts;
  counts.num_experts_per_tok = trace.num_experts_per_tok;
  counts.domains = trace.domains;
  counts.allocate();
  counts.tokens = tokens_by_domain(trace);
  for (const RoutingTrace::Window& window : trace.windows) {
    for (size_t layer = 0; layer < trace.layers.size(); ++layer) {
      std::vector<int64_t>& experts = counts.counts[layer][window.domain];
      for (int64_t t = window.begin; t < window.end; ++t) {
        for (const uint16_t expert : trace.picks(layer, t)) {
          if (expert != kNoExpert) ++experts[expert];
        }
      }
    }
  }
  return counts;
}

std::vector<int64_t> tokens_by_domain(const RoutingTrace& trace) {
  std::vector<int64_t> tokens(trace.domains.size(), 0);
  for (const RoutingTrace::Window& window : trace.windows) tokens[window.domain] += window.end - window.begin;
  return tokens;
}

RoutingTrace trace_routing(engine::Engine& engine, const corpus::TokenDataset& dataset,
                           const RoutingStudyOptions& options) {
  RoutingTrace trace = empty_trace(engine.config(), dataset.domain_names());
  dataset.require_vocabulary(engine.config().vocab_size);
  dataset.require_tokens();
  const int64_t length =
      options.sequence_length > 0 ? options.sequence_length : engine.config().max_position_embeddings;
  const corpus::ValidationWindows windows(dataset, length, options.token_limit);
  int64_t all = 0;
  for (int64_t w = 0; w < windows.size(); ++w) all += windows.scored(w);
  reserve(trace, all);

  TracingProbe probe(trace, options.beside);
  engine::KvCache cache(engine.config(), engine.cache_type());
  std::vector<int32_t> inputs(static_cast<size_t>(length)), targets(inputs.size());
  for (int64_t w = 0; w < windows.size(); ++w) {
    windows.read(w, inputs, targets);
    cache.truncate(0);
    const auto domain = static_cast<size_t>(windows.domain(w));
    trace.windows.push_back({domain, trace.size(), trace.size() + windows.scored(w)});
    probe.set_domain(domain);
    engine::BatchItem item;
    item.cache = &cache;
    item.tokens = std::span(inputs).first(static_cast<size_t>(windows.scored(w)));  // without the padding
    item.probe = &probe;
    engine.pass({&item, 1});
    if (options.progress) options.progress(trace.size(), all);
  }
  return trace;
}

}  // namespace dsmoe::study
