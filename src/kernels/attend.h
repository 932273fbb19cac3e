// Causal attention of some queries over a key/value cache kept in blocks (cache_block.h has the argument):
// out = sum_j softmax_j(scale q . k_j) v_j over the positions that a row sees. The rows of one call may be several
// heads and several tokens; none changes another's bits, nor does cutting the past into spans.
//
// Stored numbers are widened exactly, so the reference reads the same ones: a narrower cache loses only in
// store_cached.
#pragma once

#include <span>

#include "kernels/cache_block.h"

namespace dsmoe::kernels {

/// On the calling thread.
void attention(const Attention& arguments);
void attention_ref(const Attention& arguments);

/// The part of it that span `span` (positions from span * kSpan) adds: sums before division in a.out, and their states,
/// [heads, rows] too.
void attention_span(const Attention& a, int64_t span, AttentionState* states);
/// The parts of one row joined in ascending order: parts_SA [spans, head_dim] and states_S give out_A.
/// `parts_SA` is working memory too.
void join_spans(std::span<float> parts_SA, std::span<AttentionState> states_S, std::span<float> out_A);

/// One head's key or value into its plane at position_in_block < kCacheBlock: as it is, to the nearest float16, or to
/// int8 with the scale largest / 127 of each group.
void store_cached(CacheType type, std::span<const float> row, void* plane, int64_t position_in_block);
void store_cached_ref(CacheType type, std::span<const float> row, void* plane, int64_t position_in_block);
/// One stored number.
float cached_at(CacheType type, const void* plane, int64_t head_dim, int64_t position_in_block, int64_t d);

}  // namespace dsmoe::kernels
