// `study routing`: what the experts of a model do with labelled text, and how that is written down.
#pragma once

#include "base/json.h"
#include "study/routing_domains.h"
#include "study/routing_pairs.h"
#include "study/routing_similarity.h"
#include "study/routing_tokens.h"
#include "study/routing_trace.h"
#include "tokenizer/tokenizer.h"

namespace dsmoe::study {

struct RoutingStudy {
  RoutingTrace trace;
  RoutingCounts counts;
  /// [L] bits of the router's affinities, taken as shares: the mean over domains of a token's. Empty for hash tables,
  /// which have none.
  std::vector<double> router_entropy;
  std::vector<DomainSpecialisation> domains;      ///< [L]
  std::vector<std::vector<ExpertTokens>> tokens;  ///< [L][E]
  std::vector<ExpertPairs> pairs;                 ///< [L], or empty
  std::vector<ExpertSimilarity> similarity;       ///< [L], or empty
};

/// Runs the model over the text once and looks at what happened. Throws what trace_routing throws.
RoutingStudy study_routing(engine::Engine& engine, const corpus::TokenDataset& dataset,
                           RoutingStudyOptions options = {});

/// Everything that can be said without the model: `similarity` stays empty.
RoutingStudy examine(RoutingTrace trace, const base::ParallelFor& parallel = base::serial_for);

/// Bytes of a study's record, without the line's end.
inline constexpr size_t kLongestRecord = 490'000;

/// The record; docs/studies.md has its keys. Without a tokenizer tokens have no text and there are no examples. Where
/// all of it is longer than `longest`, lists are cut until it is not, and `cut` says which.
base::Json to_json(const RoutingStudy& study, const tokenizer::Tokenizer* tokenizer, size_t longest = kLongestRecord);

/// A line for each mixture layer.
std::string routing_table(const RoutingStudy& study);
/// A line for each expert of mixture layer `layer` (of the model): its share of picks and its tokens. Throws as
/// layer_row() does.
std::string expert_table(const RoutingStudy& study, int64_t layer, const tokenizer::Tokenizer* tokenizer);
/// Which mixture layer of a trace the model's layer is. Throws Error(kUsage) for one that is none.
size_t layer_row(const std::vector<int64_t>& layers, int64_t layer);

}  // namespace dsmoe::study
