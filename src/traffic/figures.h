// What a load has shown, as a row of figures.
#pragma once

#include <span>
#include <vector>

#include "traffic/load.h"

namespace dsmoe::traffic {

/// Half of the values are no larger than p50, and so on; all 0 where there are none.
struct Spread {
  double p50 = 0, p90 = 0, p99 = 0, most = 0;
};
Spread spread_of(std::vector<double> values);

struct LoadFigures {
  int64_t asked = 0, complete = 0, refused = 0, late = 0, failed = 0;
  double requests_per_second = 0;  ///< complete ones that ended within the time in which requests leave
  double tokens_per_second = 0;    ///< that came in that time, of all streams
  double goodput = 0;              ///< of these the tokens of answers that were complete by their deadline, a second
  Spread first_token;              ///< seconds from when a request was due to its first text; of complete answers
  Spread between_tokens;           ///< seconds from one piece of text to the next
  Spread whole;                    ///< seconds to the end
  Spread refusal;                  ///< seconds to a refusal
};

LoadFigures figures_of(std::span<const Served> all, double seconds);

}  // namespace dsmoe::traffic
