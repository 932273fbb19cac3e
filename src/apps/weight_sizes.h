// What a model's matrices take, and what they are stored as.
#pragma once

#include <cstdint>
#include <string>

#include "engine/weights.h"

namespace dsmoe::apps {

struct WeightSizes {
  int64_t all = 0;        ///< bytes of all matrices
  int64_t per_token = 0;  ///< bytes of those that one token must read
  std::string type;       ///< that most bytes are of, as llama.cpp calls it: "Q4_K"
};

WeightSizes weight_sizes(const engine::Weights& weights);

}  // namespace dsmoe::apps
