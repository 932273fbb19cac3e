// The `intervention` of a request: what the model's routing is to do differently for it.
//
//   {"masked": {"3": [0, 5], "all": [7]}, "experts_per_tok": 2, "shared": false, "forced": {"1": [4, 6]}}
#pragma once

#include "engine/intervention.h"
#include "serve/fields.h"

namespace dsmoe::serve {

/// Nothing changed where the body has none. Throws ApiError naming the member for what the model cannot do; more
/// experts for a token than the model itself gives it would cost others their time, and are refused too.
engine::Intervention read_intervention(const Fields& body, const spec::ModelConfig& config);

}  // namespace dsmoe::serve
