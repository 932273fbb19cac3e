// Which type each tensor of a GGUF file gets: one for all, or a mixture that gives more bits where errors cost more.
//
// The names and the choices are llama.cpp's (llama-quantize), so that a file made here holds what a user expects of its
// name. Norms, router, balance bias and hash tables are never quantised. A row that is no multiple of 256 cannot be of
// a K type: Q4_K becomes Q5_0 there, Q5_K Q5_1, Q6_K Q8_0.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "formats/gguf_model.h"

namespace dsmoe::quantize {

struct Recipe {
  std::string_view name;   ///< "q4_k_m"
  formats::GgufType type;  ///< of most matrices
  int file_type;           ///< general.file_type
  bool more_bits;          ///< the _m mixtures: Q6_K for some of attn_v and ffn_down
  bool fewer_bits;         ///< q4_k_s: Q5_K for the first of them
  std::string_view what;   ///< a line for help
};

/// All of them, in the order of help.
std::span<const Recipe> recipes();
/// By name, in any case. Throws Error(kUsage) naming the nearest.
const Recipe& recipe_named(std::string_view name);

/// The type of one tensor; `pure` gives every matrix the recipe's own (or what its rows fall back to).
formats::GgufType type_for(const Recipe& recipe, bool pure, const formats::GgufTensorPlan& tensor,
                           const spec::ModelConfig& config);

}  // namespace dsmoe::quantize
