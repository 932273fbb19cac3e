#include "study/routing_study.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/error.h"
#include "study/token_text.h"

namespace dsmoe::study {
namespace {

constexpr size_t kTokensOfAnExpert = 8;

// [L] mean over the domains that have tokens.
std::vector<double> mean_router_entropy(const RoutingTrace& trace) {
  const std::vector<int64_t> tokens = tokens_by_domain(trace);
  std::vector<double> means;
  for (const std::vector<double>& by_domain : trace.router_entropy) {
    double sum = 0, used = 0;
    for (size_t d = 0; d < tokens.size(); ++d) {
      if (tokens[d] == 0) continue;
      sum += by_domain[d] / static_cast<double>(tokens[d]);
      used += 1;
    }
    means.push_back(used > 0 ? sum / used : 0);
  }
  return means;
}

std::string formatted(const char* format, auto... values) {
  char text[160];
  std::snprintf(text, sizeof text, format, values...);
  return text;
}

}  // namespace

RoutingStudy examine(RoutingTrace trace, const base::ParallelFor& parallel) {
  RoutingStudy study;
  study.counts = counts_of(trace);
  study.router_entropy = mean_router_entropy(trace);
  study.domains = specialisation_by_domain(trace, parallel);
  study.tokens = tokens_by_expert(trace, kTokensOfAnExpert, parallel);
  study.pairs = pairs_of_experts(trace, parallel);
  study.trace = std::move(trace);
  return study;
}

RoutingStudy study_routing(engine::Engine& engine, const corpus::TokenDataset& dataset, RoutingStudyOptions options) {
  SimilarityProbe similarity(engine.config());
  options.beside = &similarity;
  RoutingStudy study = examine(trace_routing(engine, dataset, options), engine.parallel_for());
  study.similarity = similarity.layers();
  return study;
}

std::string routing_table(const RoutingStudy& study) {
  const RoutingCounts& counts = study.counts;
  const bool affinities = !study.router_entropy.empty(), pairs = !study.pairs.empty(),
             similarity = !study.similarity.empty();
  std::string out = formatted(
      "%lld experts, %lld a token; the even load has %.2f bits\n\n"
      "layer   MaxVio  load bits  router bits  domain of a pick  domain of a token  pairs bits  likeness\n",
      static_cast<long long>(counts.n_routed_experts), static_cast<long long>(counts.num_experts_per_tok),
      std::log2(static_cast<double>(counts.n_routed_experts)));
  const auto cell = [](bool there, const char* format, int width, double value) {
    return there ? formatted(format, width, value) : formatted("%*s", width, "-");
  };
  for (size_t l = 0; l < counts.layers.size(); ++l) {
    const DomainSpecialisation& domain = study.domains[l];
    const bool domains = domain.token.most > 0;
    out += formatted("%5lld %8.3f %10.3f", static_cast<long long>(counts.layers[l]), counts.max_violation(l),
                     counts.load_entropy(l));
    out += cell(affinities, "%*.3f", 13, affinities ? study.router_entropy[l] : 0);
    out += cell(domains, "%*.1f %%", 16, 100 * domain.pick.share()) +
           cell(domains, "%*.1f %%", 17, 100 * domain.token.share());
    out += cell(pairs, "%*.3f", 12, pairs ? study.pairs[l].bits - study.pairs[l].chance : 0);
    out += cell(similarity, "%*.3f", 10, similarity ? study.similarity[l].mean() : 0) + "\n";
  }
  return out;
}

size_t layer_row(const std::vector<int64_t>& layers, int64_t layer) {
  const auto found = std::ranges::find(layers, layer);
  if (found == layers.end()) {
    base::fail(base::ErrorKind::kUsage, "study", "--experts takes the number of a mixture layer", std::to_string(layer),
               "they are from " + std::to_string(layers.front()) + " to " + std::to_string(layers.back()));
  }
  return static_cast<size_t>(found - layers.begin());
}

std::string expert_table(const RoutingStudy& study, int64_t layer, const tokenizer::Tokenizer* tokenizer) {
  const std::vector<ExpertTokens>& experts = study.tokens[layer_row(study.counts.layers, layer)];
  std::string out =
      formatted("\nlayer %lld: each expert's share of picks, and the tokens it takes more than by chance\n",
                static_cast<long long>(layer));
  const auto all = static_cast<double>(study.trace.size() * study.counts.num_experts_per_tok);
  for (size_t e = 0; e < experts.size(); ++e) {
    out += formatted("%4zu %6.2f %% ", e, 100 * static_cast<double>(experts[e].picks) / all);
    for (const ExpertToken& token : experts[e].tokens) {
      out += " " + shown_token(tokenizer, token.id) + formatted(" %.1fx", token.lift);
    }
    out += "\n";
  }
  return out;
}

}  // namespace dsmoe::study
