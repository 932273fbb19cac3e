// What a routing study's record says beside its counts, for pages.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace dsmoe::study {

/// Whatever the study could not measure, or left out to keep the record short, is NaN or empty.
struct RoutingFindings {
  struct Layer {
    int64_t layer = 0;  ///< of the model, as everywhere below
    double max_violation = 0, load_entropy = 0, router_entropy = 0;
    double domain_of_pick = 0, domain_of_token = 0;  ///< shares: 0 for random routing, 1 for the most that can be told
    double pairs_bits = 0;                           ///< above chance
    double similarity = 0;
  };
  struct Token {
    std::string text;  ///< its number where the study had no tokenizer
    int64_t count = 0;
    double share = 0, lift = 0;
  };
  struct Example {
    std::string before, token, behind;
    std::string domain;
  };
  struct Expert {
    int64_t picks = 0;
    std::vector<Token> tokens;
    std::vector<Example> examples;
  };
  struct Experts {
    int64_t layer = 0;
    std::vector<Expert> experts;  ///< [E]
  };
  using Matrix = std::vector<std::vector<double>>;  ///< [E][E], symmetric, NaN where there is nothing
  struct Pairs {
    int64_t layer = 0;
    Matrix lifts, cosines;
  };

  std::vector<Layer> layers;
  std::vector<Experts> experts;
  std::vector<Pairs> pairs;
};

/// From what `dsmoe study routing` wrote; `experts` and `domains` are those of the counts. Parts that a record does not
/// have stay empty. Throws Error(kInvalid) naming `where` for parts of another shape.
RoutingFindings routing_findings_from_json(const base::Json& json, int64_t experts,
                                           const std::vector<std::string>& domains, std::string_view where);

}  // namespace dsmoe::study
