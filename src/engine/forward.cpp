#include "engine/forward.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "base/shares.h"

namespace dsmoe::engine {
namespace {

size_t at(int64_t i) { return static_cast<size_t>(i); }

// A share of attention that pays for waking a thread, in multiply-adds: less than of a product, as a short past lies in
// many places, each of which is waited for.
constexpr int64_t kWorthAttending = int64_t{1} << 14;

// Working memory of at least n values, never smaller than before.
template <class T>
std::span<T> grown(std::vector<T>& buffer, int64_t n) {
  if (buffer.size() < at(n)) buffer.resize(at(n));
  return std::span(buffer).first(at(n));
}

}  // namespace

Forward::Forward(const Weights& weights, base::ParallelFor parallel_for)
    : weights_(weights),
      config_(weights.config()),
      parallel_for_(std::move(parallel_for)),
      rope_(config_.head_dim(), config_.rope_theta) {}

void Forward::run(std::span<Piece> pieces) {
  list_rows(pieces);
  embed();
  for (int64_t layer = 0; layer < config_.num_hidden_layers; ++layer) {
    const LayerWeights& weights = weights_.layers()[at(layer)];
    norm(weights.attention_norm);
    attention(layer, pieces);
    norm(weights.ffn_norm);
    if (weights.is_moe) {
      mixture(layer, pieces);
    } else {
      dense(weights);
    }
  }
  head(pieces);
}

// x, h, q, y and their int8; k, v; affinities; slots with their experts' rows, gates and ups; the shared or dense
// FFN's.
int64_t Forward::growth(int64_t rows) const {
  const spec::ModelConfig& c = config_;
  const int64_t kv_width = c.num_key_value_heads * c.head_dim();
  const int64_t width =
      c.num_experts_per_tok * c.moe_intermediate_size + std::max(c.intermediate_size, c.shared_intermediate_size());
  const int64_t floats = 5 * c.hidden_size + 2 * kv_width + c.n_routed_experts + 2 * c.num_experts_per_tok +
                         (c.num_experts_per_tok + 1) * c.hidden_size + 3 * width;
  const auto grown_for = static_cast<int64_t>(x_TD_.size()) / c.hidden_size;
  return std::max<int64_t>(0, rows - grown_for) * floats * static_cast<int64_t>(sizeof(float));
}

void Forward::list_rows(std::span<Piece> pieces) {
  rows_.clear();
  for (Piece& piece : pieces) {
    piece.first_row = tokens();
    const auto count = static_cast<int64_t>(piece.tokens.size());
    for (int64_t i = 0; i < count; ++i) rows_.push_back({&piece, i});
    rope_.reach(piece.first_position + count);
  }
  grown(all_rows_, tokens());
  std::iota(all_rows_.begin(), all_rows_.end(), 0);
}

void Forward::embed() {
  const int64_t D = config_.hidden_size;
  grown(x_TD_, tokens() * D);
  per_row(tokens(), D, [&](int64_t t) {
    const auto x = row(x_TD_, t, D);
    kernels::weight_row(weights_.embedding(), rows_[at(t)].token(), x);
  });
}

void Forward::norm(const std::vector<float>& weight) {
  const int64_t D = config_.hidden_size;
  grown(h_TD_, tokens() * D);
  per_row(tokens(), 4 * D,
          [&](int64_t t) { kernels::rms_norm(row(x_TD_, t, D), weight, config_.rms_norm_eps, row(h_TD_, t, D)); });
}

// h as quantised weights meet it.
void Forward::quantise_h() {
  const int64_t D = config_.hidden_size;
  h_rows_.resize(tokens(), D);
  per_row(tokens(), 4 * D, [&](int64_t t) { h_rows_.quantise(t, 0, row(h_TD_, t, D)); });
}

void Forward::add_to_residual(std::span<const float> y_TD) {
  const int64_t D = config_.hidden_size;
  per_row(tokens(), 2 * D,
          [&](int64_t t) { kernels::add_scaled(1, y_TD.subspan(at(t * D), at(D)), row(x_TD_, t, D)); });
}

void Forward::attention(int64_t layer, std::span<const Piece> pieces) {
  const int64_t D = config_.hidden_size;
  project_and_store(layer);
  attend(layer, pieces);  // leaves its result in h
  const kernels::Matrix& o = weights_.layers()[at(layer)].o;
  if (is_quantised(o.type)) quantise_h();
  const auto y_TD = grown(y_TD_, tokens() * D);
  const kernels::Product product{o, 0, D, h_TD_.data(), D, nullptr, tokens(), y_TD.data(), D, h_rows_.view()};
  kernels::matmul(parallel_for_, {&product, 1});
  add_to_residual(y_TD);
}

// Queries, keys and values; rotation; keys and values into the caches, head by head.
void Forward::project_and_store(int64_t layer) {
  const LayerWeights& weights = weights_.layers()[at(layer)];
  const int64_t D = config_.hidden_size, A = config_.head_dim(), kv_width = weights.k.rows;
  grown(q_TD_, tokens() * D);
  grown(k_, tokens() * kv_width);
  grown(v_, tokens() * kv_width);
  if (is_quantised(weights.q.type) || is_quantised(weights.k.type) || is_quantised(weights.v.type)) quantise_h();
  const auto product = [&](const kernels::Matrix& w, std::vector<float>& out) {
    return kernels::Product{w, 0, w.rows, h_TD_.data(), D, nullptr, tokens(), out.data(), w.rows, h_rows_.view()};
  };
  const kernels::Product products[] = {product(weights.q, q_TD_), product(weights.k, k_), product(weights.v, v_)};
  kernels::matmul(parallel_for_, products);
  per_row(tokens(), 4 * (D + kv_width), [&](int64_t t) {
    const Row& where = rows_[at(t)];
    const auto q = row(q_TD_, t, D), k = row(k_, t, kv_width), v = row(v_, t, kv_width);
    if (weights_.pairs_neighbours()) {
      split_pairs(q, A);
      split_pairs(k, A);
    }
    kernels::rope(q, rope_, where.position());
    kernels::rope(k, rope_, where.position());
    for (int64_t head = 0; head < config_.num_key_value_heads; ++head) {
      where.piece->cache->store_key(layer, head, where.position(), k.subspan(at(head * A), at(A)));
      where.piece->cache->store_value(layer, head, where.position(), v.subspan(at(head * A), at(A)));
    }
  });
}

// One task is up to kAttentionRows queries of one piece: of one key/value head, or of neighbours that a thread takes
// together where they are few; and where that is a long past, one span of it. A thread's share of the list is some
// heads from their first block to their last one.
void Forward::attend(int64_t layer, std::span<const Piece> pieces) {
  const int64_t group = config_.num_attention_heads / config_.num_key_value_heads, A = config_.head_dim();
  const int64_t kv_heads = config_.num_key_value_heads, threads = parallel_for_.threads();
  int64_t work = 0, parts = 0;
  attend_tasks_.clear();
  for (const Piece& piece : pieces) {
    const auto count = static_cast<int64_t>(piece.tokens.size()),
               rows = std::min(count * group, kernels::kAttentionRows);
    const int64_t spans = (piece.first_position + count + kernels::kSpan - 1) / kernels::kSpan;
    const bool split = spans > 1 && rows < kernels::kAttentionRows;
    const int64_t heads = std::min((kv_heads + threads - 1) / threads, kernels::kAttentionRows / rows);
    for (int64_t kv_head = 0; kv_head < kv_heads; kv_head += heads) {
      const int64_t kv_end = std::min(kv_heads, kv_head + heads);
      for (int64_t begin = 0; begin < count * group; begin += rows) {
        const int64_t end = std::min(count * group, begin + rows);
        for (int64_t span = 0; span < (split ? spans : 1); ++span) {
          attend_tasks_.push_back({&piece, kv_head, kv_end, begin, end, span, split ? spans : 0, parts});
        }
        if (split) parts += attend_tasks_.back().rows() * spans;
      }
    }
    work += 2 * count * config_.hidden_size * (piece.first_position + count);
  }
  grown(attend_parts_, parts * A);
  grown(attend_states_, parts);
  const auto count = static_cast<int64_t>(attend_tasks_.size());
  base::for_each_run(
      parallel_for_, work < 2 * kWorthAttending ? 1 : static_cast<int>(threads),
      [&](int64_t s, int64_t shares) { return count * s / shares; }, 1,
      [&](const base::Stretch& run) { attend_tile(layer, attend_tasks_[at(run.begin)]); });
  if (parts > 0) join_parts();
}

// Row i of a task is query begin + i % queries of its head i / queries; query r of a head is token r / group of the
// piece, head r % group of the key/value head's group.
int64_t Forward::query_offset(const AttendTask& task, int64_t i) const {
  const int64_t group = config_.num_attention_heads / config_.num_key_value_heads, queries = task.end - task.begin;
  const int64_t r = task.begin + i % queries, head = (task.kv_head + i / queries) * group + r % group;
  return (task.piece->first_row + r / group) * config_.hidden_size + head * config_.head_dim();
}

void Forward::attend_tile(int64_t layer, const AttendTask& task) {
  const int64_t A = config_.head_dim(), group = config_.num_attention_heads / config_.num_key_value_heads;
  const KvCache& cache = *task.piece->cache;
  const float* queries[kernels::kAttentionRows];
  float* out[kernels::kAttentionRows];
  int64_t visible[kernels::kAttentionRows];
  kernels::AttentionState states[kernels::kAttentionRows];
  const auto part = [&](int64_t i) { return task.first_part + i * task.spans + task.span; };
  for (int64_t i = 0; i < task.rows(); ++i) {
    queries[i] = q_TD_.data() + query_offset(task, i);
    out[i] = task.spans > 0 ? attend_parts_.data() + part(i) * A : h_TD_.data() + query_offset(task, i);
  }
  for (int64_t r = task.begin; r < task.end; ++r) {
    visible[r - task.begin] = task.piece->first_position + r / group + 1;
  }
  const kernels::Attention arguments{queries,
                                     visible,
                                     out,
                                     task.end - task.begin,
                                     A,
                                     1 / std::sqrt(static_cast<float>(A)),
                                     cache.type(),
                                     cache.blocks(),
                                     cache.head(layer, task.kv_head),
                                     task.kv_end - task.kv_head};
  if (task.spans == 0) return kernels::attention(arguments);
  kernels::attention_span(arguments, task.span, states);
  for (int64_t i = 0; i < task.rows(); ++i) attend_states_[at(part(i))] = states[i];
}

void Forward::join_parts() {
  const int64_t A = config_.head_dim();
  for (const AttendTask& task : attend_tasks_) {
    if (task.spans == 0 || task.span > 0) continue;
    for (int64_t i = 0; i < task.rows(); ++i) {
      const size_t first = at(task.first_part + i * task.spans), spans = at(task.spans);
      kernels::join_spans(std::span(attend_parts_).subspan(first * at(A), spans * at(A)),
                          std::span(attend_states_).subspan(first, spans),
                          std::span(h_TD_).subspan(at(query_offset(task, i)), at(A)));
    }
  }
}

void Forward::dense(const LayerWeights& weights) {
  const auto y_TD = grown(y_TD_, tokens() * config_.hidden_size);
  const kernels::FfnJob job{&weights.dense, std::span<const int32_t>(all_rows_).first(rows_.size()), 0};
  kernels::ffn_bank(parallel_for_, {&job, 1}, h_TD_.data(), y_TD.data(), bank_);
  add_to_residual(y_TD);
}

// Routed experts and the shared bank run as one list of jobs; their sum is routed experts in ascending order, then the
// shared bank (paper section 7.3).
void Forward::mixture(int64_t layer, std::span<const Piece> pieces) {
  const LayerWeights& weights = weights_.layers()[at(layer)];
  const int64_t D = config_.hidden_size, slots = route(layer, pieces);
  jobs_.clear();
  for (int64_t e = 0; e < config_.n_routed_experts; ++e) {
    const auto group = expert_rows_.group(e);
    if (!group.empty()) jobs_.push_back({&weights.experts[at(e)], group, expert_rows_.offsets[at(e)]});
  }
  const auto routed_rows = static_cast<int64_t>(expert_rows_.tokens.size());
  shared_rows_.clear();
  for (int64_t t = 0; weights.has_shared() && t < tokens(); ++t) {
    if (!rows_[at(t)].piece->intervention->drop_shared) shared_rows_.push_back(static_cast<int32_t>(t));
  }
  if (!shared_rows_.empty()) jobs_.push_back({&weights.shared, shared_rows_, routed_rows});
  grown(bank_RD_, (routed_rows + static_cast<int64_t>(shared_rows_.size())) * D);
  kernels::ffn_bank(parallel_for_, jobs_, h_TD_.data(), bank_RD_.data(), bank_);

  const auto y_TD = grown(y_TD_, tokens() * D);
  const auto gates = std::span<const float>(gates_TK_).first(at(tokens() * slots));
  kernels::combine(parallel_for_, expert_rows_.place, gates, slots, bank_RD_.data(), y_TD);
  for (size_t i = 0; i < shared_rows_.size(); ++i) {
    kernels::add_scaled(1, row(bank_RD_, routed_rows + static_cast<int64_t>(i), D), row(y_TD_, shared_rows_[i], D));
  }
  add_to_residual(y_TD);
}

// Fills ids, gates and the grouping by expert; returns K, the widest row's slots.
int64_t Forward::route(int64_t layer, std::span<const Piece> pieces) {
  const LayerWeights& weights = weights_.layers()[at(layer)];
  int64_t slots = 1;
  for (const Piece& piece : pieces) slots = std::max(slots, piece.intervention->slots(config_, layer));
  const int64_t E = weights.router.rows;  // 0 for a hash table
  const auto affinities = grown(affinities_TE_, tokens() * E);
  const auto hidden = std::span<const float>(h_TD_).first(at(tokens() * config_.hidden_size));
  if (E > 0) kernels::matmul(parallel_for_, weights.router, hidden, tokens(), affinities);
  const auto ids = grown(ids_TK_, tokens() * slots);
  const auto gates = grown(gates_TK_, tokens() * slots);
  const Gate gate{config_, layer, weights.router_bias, weights.hash_table};
  parallel_for_(tokens(), 64, [&](int64_t begin, int64_t end) {
    thread_local Gate::Scratch scratch;
    for (int64_t t = begin; t < end; ++t) {
      const auto K = [&](auto all) { return all.subspan(at(t * slots), at(slots)); };
      gate.route(rows_[at(t)].token(), affinities.subspan(at(t * E), at(E)), *rows_[at(t)].piece->intervention, K(ids),
                 K(gates), scratch);
    }
  });
  probe(layer, slots, pieces);
  kernels::rows_by_expert(ids, slots, config_.n_routed_experts, expert_rows_);
  return slots;
}

void Forward::probe(int64_t layer, int64_t slots, std::span<const Piece> pieces) const {
  for (const Piece& piece : pieces) {
    if (!piece.probe) continue;
    const size_t begin = at(piece.first_row), count = piece.tokens.size();
    const size_t E = at(weights_.layers()[at(layer)].router.rows), K = at(slots);
    RoutingView view;
    view.tokens = piece.tokens;
    view.first_position = piece.first_position;
    view.slots = slots;
    view.experts = config_.n_routed_experts;
    view.ids_TK = std::span(ids_TK_).subspan(begin * K, count * K);
    view.weights_TK = std::span(gates_TK_).subspan(begin * K, count * K);
    view.affinities_TE = std::span(affinities_TE_).subspan(begin * E, count * E);
    piece.probe->on_routing(layer, view);
  }
}

// Final norm and head, for the rows whose logits are asked for. One product for all pieces: each would read the whole
// head again.
void Forward::head(std::span<const Piece> pieces) {
  const kernels::Matrix& head = weights_.head();
  const int64_t D = config_.hidden_size;
  head_rows_.clear();
  logits_.clear();
  for (const Piece& piece : pieces) {
    const auto wanted = static_cast<int64_t>(piece.logits.size()) / head.rows;
    const int64_t first = piece.first_row + static_cast<int64_t>(piece.tokens.size()) - wanted;
    for (int64_t i = 0; i < wanted; ++i) {
      head_rows_.push_back(first + i);
      logits_.push_back(piece.logits.data() + i * head.rows);
    }
  }
  const auto count = static_cast<int64_t>(head_rows_.size());
  if (count == 0) return;
  if (is_quantised(head.type)) h_rows_.resize(count, D);
  per_row(count, 4 * D, [&](int64_t i) {
    const auto h = row(h_TD_, i, D);
    kernels::rms_norm(row(x_TD_, head_rows_[at(i)], D), weights_.final_norm(), config_.rms_norm_eps, h);
    if (is_quantised(head.type)) h_rows_.quantise(i, 0, h);
  });
  kernels::Product product{head, 0, head.rows, h_TD_.data(), D, nullptr, count, nullptr, 0, h_rows_.view()};
  product.out_rows = logits_.data();
  kernels::matmul(parallel_for_, {&product, 1});
}

}  // namespace dsmoe::engine
