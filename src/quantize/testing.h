// For this room's tests: a model that every block format can store.
#pragma once

#include "formats/test_models.h"

namespace dsmoe::quantize {

/// A mixture with every part; grouped key/value heads, so that q and k have their rows reordered in a file.
inline spec::ModelConfig wide_mixture() {
  spec::ModelConfig c = formats::small_mixture();
  c.hidden_size = 256;
  c.num_attention_heads = 4;
  c.num_key_value_heads = 2;
  c.intermediate_size = 288;
  c.moe_intermediate_size = 32;
  return c;
}

}  // namespace dsmoe::quantize
