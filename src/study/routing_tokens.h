// Which tokens each expert takes, and a look at some of them where they stand.
//
// Of a layer, n(x, e) is how often an occurrence of token x picked expert e, n(x) how often x occurs. Chance is that
// every occurrence picks e with the expert's share of all N tokens, n(e) / N; how many times more often x does,
//     lift = (n(x, e) / n(x)) / (n(e) / N),
// is most extreme for the rarest tokens, so tokens are ordered by n(x, e) log2(lift): what x adds to the mutual
// information of token and expert, which wants tokens that are both typical and frequent.
#pragma once

#include "base/parallel.h"
#include "study/routing_trace.h"

namespace dsmoe::study {

struct ExpertToken {
  int32_t id = 0;
  int64_t count = 0;    ///< n(x, e)
  double share = 0;     ///< n(x, e) / n(x)
  double lift = 0;      ///< above one
  int64_t example = 0;  ///< of the trace's tokens: the middle one of these occurrences
};

struct ExpertTokens {
  int64_t picks = 0;                ///< n(e)
  std::vector<ExpertToken> tokens;  ///< best first; those that occur with the expert three times or more
};

/// [L][E], at most `most` tokens each. Layers are shared out among threads.
std::vector<std::vector<ExpertTokens>> tokens_by_expert(const RoutingTrace& trace, size_t most,
                                                        const base::ParallelFor& parallel = base::serial_for);

}  // namespace dsmoe::study
