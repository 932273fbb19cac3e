#include "study/routing_study.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/error.h"

namespace dsmoe::study {
namespace {

// Adds every routing it sees to one domain's integers.
class CountingProbe : public engine::RoutingProbe {
 public:
  explicit CountingProbe(RoutingCounts& counts) : counts_(counts) {}
  void set_domain(int domain) { domain_ = static_cast<size_t>(domain); }

  void on_routing(int64_t layer, const engine::RoutingView& routing) override {
    if (!std::ranges::all_of(routing.weights_TK, [](float weight) { return std::isfinite(weight); })) {
      base::fail(base::ErrorKind::kNonFinite, "study", "the router's weights are not finite",
                 "layer " + std::to_string(layer), "the model's weights are damaged or its training has diverged");
    }
    size_t row = 0;
    while (counts_.layers[row] != layer) ++row;
    std::vector<int64_t>& experts = counts_.counts[row][domain_];
    for (const int32_t expert : routing.ids_TK) {
      if (expert >= 0) ++experts[static_cast<size_t>(expert)];
    }
    if (row == 0) counts_.tokens[domain_] += static_cast<int64_t>(routing.tokens.size());
  }

 private:
  RoutingCounts& counts_;
  size_t domain_ = 0;
};

RoutingCounts empty_counts(const spec::ModelConfig& config, const corpus::TokenDataset& dataset) {
  if (config.moe_layers() == 0) {
    base::fail_invalid("study", "the model has no mixture layer", "n_routed_experts = 0", "study a mixture of experts");
  }
  dataset.require_vocabulary(config.vocab_size);
  RoutingCounts counts;
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    if (config.is_moe_layer(layer)) counts.layers.push_back(layer);
  }
  counts.n_routed_experts = config.n_routed_experts;
  counts.num_experts_per_tok = config.num_experts_per_tok;
  counts.domains = dataset.domain_names();
  counts.allocate();
  return counts;
}

}  // namespace

RoutingCounts study_routing(engine::Engine& engine, const corpus::TokenDataset& dataset,
                            const RoutingStudyOptions& options) {
  RoutingCounts counts = empty_counts(engine.config(), dataset);
  dataset.require_tokens();
  const int64_t length =
      options.sequence_length > 0 ? options.sequence_length : engine.config().max_position_embeddings;
  const corpus::ValidationWindows windows(dataset, length, options.token_limit);
  int64_t all = 0, done = 0;
  for (int64_t w = 0; w < windows.size(); ++w) all += windows.scored(w);

  CountingProbe probe(counts);
  engine::KvCache cache(engine.config(), engine.cache_type());
  std::vector<int32_t> inputs(static_cast<size_t>(length)), targets(inputs.size());
  for (int64_t w = 0; w < windows.size(); ++w) {
    windows.read(w, inputs, targets);
    cache.truncate(0);
    probe.set_domain(windows.domain(w));
    engine::BatchItem item;
    item.cache = &cache;
    item.tokens = std::span(inputs).first(static_cast<size_t>(windows.scored(w)));  // without the padding
    item.probe = &probe;
    engine.pass({&item, 1});
    done += windows.scored(w);
    if (options.progress) options.progress(done, all);
  }
  return counts;
}

}  // namespace dsmoe::study
