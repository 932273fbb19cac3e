// Which experts read one text, token by token.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/json.h"
#include "engine/engine.h"
#include "tokenizer/tokenizer.h"

namespace dsmoe::study {

/// T tokens, L mixture layers, K slots.
struct TextRouting {
  std::vector<int64_t> layers;  ///< [L] of the model
  int64_t n_routed_experts = 0, num_experts_per_tok = 0;
  std::vector<int32_t> ids;                   ///< [T]
  std::vector<std::vector<int32_t>> experts;  ///< [L][T K] best first
  std::vector<std::vector<float>> weights;    ///< [L][T K] what each one's output was multiplied by
};

/// Throws Error(kInvalid) for a model without mixture layers, and what the engine throws: no tokens, or more of them
/// than the model's context holds.
TextRouting route_text(engine::Engine& engine, std::span<const int32_t> ids);

/// The record; docs/studies.md has its keys. Of a text whose record is longer than `longest` bytes, the beginning.
base::Json to_json(const TextRouting& routing, const tokenizer::Tokenizer* tokenizer, size_t longest);
/// What such a record says of a text.
struct TextRecord {
  TextRouting routing;
  std::vector<std::string> texts;  ///< [T] of each token; its number where the study had no tokenizer
  std::string cut;                 ///< what the record left out; empty: nothing
};
/// Throws Error(kInvalid) naming `where` when the numbers do not fit together.
TextRecord text_record_from_json(const base::Json& json, std::string_view where);
/// A line for each token: the best expert and its weight in as many layers as `columns` characters hold.
std::string text_table(const TextRouting& routing, const tokenizer::Tokenizer* tokenizer, size_t columns = 110);

}  // namespace dsmoe::study
