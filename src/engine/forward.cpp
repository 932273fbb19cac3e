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

// Rows whose experts one thread chooses while the others have begun with the shared ones; a chunk where they are more.
constexpr int64_t kChosenByOne = 64;

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

void Forward::run(std::span<SequenceSlice> slices) {
  list_rows(slices);
  embed();
  for (int64_t layer = 0; layer < config_.num_hidden_layers; ++layer) {
    const LayerWeights& weights = weights_.layers()[at(layer)];
    enter(weights.attention_norm, weights.attention_reads_int8());
    attention(layer, slices);
    enter(weights.ffn_norm, weights.ffn_reads_int8());
    if (weights.is_moe) {
      mixture(layer, slices);
    } else {
      dense(weights);
    }
  }
  head(slices);
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

void Forward::list_rows(std::span<SequenceSlice> slices) {
  rows_.clear();
  for (SequenceSlice& slice : slices) {
    slice.first_row = tokens();
    const auto count = static_cast<int64_t>(slice.tokens.size());
    for (int64_t i = 0; i < count; ++i) rows_.push_back({&slice, i});
    rope_.reach(slice.first_position + count);
  }
  grown(all_rows_, tokens());
  std::iota(all_rows_.begin(), all_rows_.end(), 0);
}

void Forward::embed() {
  const int64_t D = config_.hidden_size;
  grown(x_TD_, tokens() * D);
  grown(h_TD_, tokens() * D);
  std::ranges::fill(grown(y_TD_, tokens() * D), 0.0f);
  per_row(tokens(), D, [&](int64_t t) {
    const auto x = row(x_TD_, t, D);
    kernels::weight_row(weights_.embedding(), rows_[at(t)].token(), x);
  });
}

// The way into a half layer: x += y, h = norm(x).
void Forward::enter(const std::vector<float>& norm, bool quantised) {
  const int64_t D = config_.hidden_size;
  if (quantised) h_rows_.resize(tokens(), D);
  kernels::ask_for(norm);
  per_row(tokens(), 8 * D, [&](int64_t t) {
    const auto x = row(x_TD_, t, D), h = row(h_TD_, t, D);
    kernels::add_scaled(1, row(y_TD_, t, D), x);
    kernels::rms_norm(x, norm, config_.rms_norm_eps, h);
    if (quantised) h_rows_.quantise(t, 0, h);
  });
}

void Forward::attention(int64_t layer, std::span<const SequenceSlice> slices) {
  const LayerWeights& weights = weights_.layers()[at(layer)];
  const int64_t D = config_.hidden_size, A = config_.head_dim(), kv_heads = config_.num_key_value_heads;
  const auto threads = static_cast<int>(parallel_for_.threads());
  project(weights);
  const bool own_heads = list_attend_tasks(slices);
  if (!own_heads) per_row(tokens(), 8 * D, [&](int64_t t) { rotate_and_store(layer, t, 0, kv_heads); });
  const bool quantised = is_quantised(weights.o.type), by_heads = quantised && A % kernels::kActivationBlock == 0;
  if (quantised) h_rows_.resize(tokens(), D);
  const auto count = static_cast<int64_t>(attend_tasks_.size());
  base::for_each_run(
      parallel_for_, attend_work_ < 2 * kWorthAttending ? 1 : threads,
      [&](int64_t s, int64_t shares) { return count * s / shares; }, 1,
      [&](const base::Stretch& run) {
        const AttendTask& task = attend_tasks_[at(run.begin)];
        if (own_heads) {
          for (size_t i = 0; i < task.slice->tokens.size(); ++i) {
            rotate_and_store(layer, task.slice->first_row + static_cast<int64_t>(i), task.kv_head, task.kv_end);
          }
        }
        attend(layer, task);
        if (by_heads && task.spans == 0) quantise_attended(task);
      });
  for (const AttendTask& task : attend_tasks_) {
    if (task.spans == 0 || task.span > 0) continue;
    join_parts(task);
    if (by_heads) quantise_attended(task);
  }
  if (quantised && !by_heads) per_row(tokens(), 4 * D, [&](int64_t t) { h_rows_.quantise(t, 0, row(h_TD_, t, D)); });
  const kernels::Product product{weights.o, 0, D, h_TD_.data(), D, nullptr, tokens(), y_TD_.data(), D, h_rows_.view()};
  kernels::matmul(parallel_for_, {&product, 1});
  const kernels::LowRankSum sum{&weights.o_adapter, h_TD_.data(), D, tokens(), y_TD_.data()};
  kernels::add_low_ranks(parallel_for_, {&sum, 1}, adapters_);
}

void Forward::project(const LayerWeights& weights) {
  const int64_t D = config_.hidden_size, kv_width = weights.k.rows;
  grown(q_TD_, tokens() * D);
  grown(k_, tokens() * kv_width);
  grown(v_, tokens() * kv_width);
  const auto product = [&](const kernels::Matrix& w, std::vector<float>& out) {
    return kernels::Product{w, 0, w.rows, h_TD_.data(), D, nullptr, tokens(), out.data(), w.rows, h_rows_.view()};
  };
  const kernels::Product products[] = {product(weights.q, q_TD_), product(weights.k, k_), product(weights.v, v_)};
  kernels::matmul(parallel_for_, products);
  const auto sum = [&](const kernels::LowRank& adapter, std::vector<float>& out) {
    return kernels::LowRankSum{&adapter, h_TD_.data(), D, tokens(), out.data()};
  };
  const kernels::LowRankSum sums[] = {sum(weights.q_adapter, q_TD_), sum(weights.k_adapter, k_),
                                      sum(weights.v_adapter, v_)};
  kernels::add_low_ranks(parallel_for_, sums, adapters_);
}

// Of one row, some key/value heads with their queries: rotation, and into the cache.
void Forward::rotate_and_store(int64_t layer, int64_t t, int64_t kv_head, int64_t kv_end) {
  const int64_t A = config_.head_dim(), group = config_.num_attention_heads / config_.num_key_value_heads;
  const Row& where = rows_[at(t)];
  const auto heads = [&](std::vector<float>& matrix, int64_t of_one) {
    return row(matrix, t, config_.num_key_value_heads * of_one * A)
        .subspan(at(kv_head * of_one * A), at((kv_end - kv_head) * of_one * A));
  };
  const auto q = heads(q_TD_, group), k = heads(k_, 1), v = heads(v_, 1);
  for (const auto matrix : {q, k}) {
    if (weights_.pairs_neighbours()) {
      thread_local std::vector<float> pairs;
      pairs.assign(matrix.begin(), matrix.end());
      kernels::rope_pairs(pairs, rope_, where.position(), matrix);
    } else {
      kernels::rope(matrix, rope_, where.position());
    }
  }
  for (int64_t head = kv_head; head < kv_end; ++head) {
    const size_t from = at((head - kv_head) * A);
    where.slice->cache->store_key(layer, head, where.position(), k.subspan(from, at(A)));
    where.slice->cache->store_value(layer, head, where.position(), v.subspan(from, at(A)));
  }
}

// One task is up to kAttentionRows queries of one slice: of one key/value head, or of neighbours that a thread takes
// together where they are few; and where that is a long past, one span of it. A thread's share of the list is some
// heads from their first block to their last one. Returns whether every head of a slice belongs to one task alone,
// which may then rotate and store what it needs itself.
bool Forward::list_attend_tasks(std::span<const SequenceSlice> slices) {
  const int64_t group = config_.num_attention_heads / config_.num_key_value_heads, A = config_.head_dim();
  const int64_t kv_heads = config_.num_key_value_heads, threads = parallel_for_.threads();
  int64_t parts = 0;
  bool own_heads = true;
  attend_work_ = 0;
  attend_tasks_.clear();
  for (const SequenceSlice& slice : slices) {
    const auto count = static_cast<int64_t>(slice.tokens.size()),
               rows = std::min(count * group, kernels::kAttentionRows);
    const int64_t spans = (slice.first_position + count + kernels::kSpan - 1) / kernels::kSpan;
    const bool split = spans > 1 && rows < kernels::kAttentionRows;
    const int64_t heads = std::min((kv_heads + threads - 1) / threads, kernels::kAttentionRows / rows);
    own_heads = own_heads && !split && rows == count * group;
    for (int64_t kv_head = 0; kv_head < kv_heads; kv_head += heads) {
      const int64_t kv_end = std::min(kv_heads, kv_head + heads);
      for (int64_t begin = 0; begin < count * group; begin += rows) {
        const int64_t end = std::min(count * group, begin + rows);
        for (int64_t span = 0; span < (split ? spans : 1); ++span) {
          attend_tasks_.push_back({&slice, kv_head, kv_end, begin, end, span, split ? spans : 0, parts});
        }
        if (split) parts += attend_tasks_.back().rows() * spans;
      }
    }
    attend_work_ += 2 * count * config_.hidden_size * (slice.first_position + count);
  }
  grown(attend_parts_, parts * A);
  grown(attend_states_, parts);
  return own_heads;
}

// Row i of a task is query begin + i % queries of its head i / queries; query r of a head is token r / group of the
// slice, head r % group of the key/value head's group.
int64_t Forward::query_offset(const AttendTask& task, int64_t i) const {
  const int64_t group = config_.num_attention_heads / config_.num_key_value_heads, queries = task.end - task.begin;
  const int64_t r = task.begin + i % queries, head = (task.kv_head + i / queries) * group + r % group;
  return (task.slice->first_row + r / group) * config_.hidden_size + head * config_.head_dim();
}

void Forward::attend(int64_t layer, const AttendTask& task) {
  const int64_t A = config_.head_dim(), group = config_.num_attention_heads / config_.num_key_value_heads;
  const KvCache& cache = *task.slice->cache;
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
    visible[r - task.begin] = task.slice->first_position + r / group + 1;
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

void Forward::join_parts(const AttendTask& task) {
  const int64_t A = config_.head_dim();
  for (int64_t i = 0; i < task.rows(); ++i) {
    const size_t first = at(task.first_part + i * task.spans), spans = at(task.spans);
    kernels::join_spans(std::span(attend_parts_).subspan(first * at(A), spans * at(A)),
                        std::span(attend_states_).subspan(first, spans),
                        std::span(h_TD_).subspan(at(query_offset(task, i)), at(A)));
  }
}

// What the queries of a task found, as o meets it; heads are whole blocks.
void Forward::quantise_attended(const AttendTask& task) {
  const int64_t D = config_.hidden_size, A = config_.head_dim();
  for (int64_t i = 0; i < task.rows(); ++i) {
    const int64_t offset = query_offset(task, i);
    h_rows_.quantise(offset / D, offset % D, std::span<const float>(h_TD_).subspan(at(offset), at(A)));
  }
}

void Forward::dense(const LayerWeights& weights) {
  const kernels::FfnJob job{&weights.dense, std::span<const int32_t>(all_rows_).first(rows_.size()), 0};
  kernels::ffn_bank(parallel_for_, {&job, 1}, {h_TD_.data(), h_rows_.view()}, y_TD_.data(), bank_);
}

// The sum of a row is routed experts in ascending order, then the shared bank, whose rows come
// first in the bank's output.
void Forward::mixture(int64_t layer, std::span<const SequenceSlice> slices) {
  const LayerWeights& weights = weights_.layers()[at(layer)];
  const int64_t D = config_.hidden_size;
  int64_t slots = 1;
  for (const SequenceSlice& slice : slices) slots = std::max(slots, slice.intervention->slots(config_, layer));
  list_shared_rows(weights);
  const auto shared = static_cast<int64_t>(shared_rows_.size());
  kernels::FfnBank bank({h_TD_.data(), h_rows_.view()}, bank_);
  route_beside_shared(layer, slots, bank);
  probe(layer, slots, slices);
  const auto ids = std::span<const int32_t>(ids_TK_).first(at(tokens() * slots));
  kernels::rows_by_expert(ids, slots, config_.n_routed_experts, expert_rows_);
  jobs_.clear();
  for (int64_t e = 0; e < config_.n_routed_experts; ++e) {
    const auto group = expert_rows_.group(e);
    if (!group.empty()) jobs_.push_back({&weights.experts[at(e)], group, shared + expert_rows_.offsets[at(e)]});
  }
  grown(bank_RD_, (shared + static_cast<int64_t>(expert_rows_.tokens.size())) * D);
  bank.hidden(parallel_for_, jobs_);
  bank.down(parallel_for_, bank_RD_.data());
  probe_outputs(layer, slots, slices);
  per_row(tokens(), (slots + 1) * D, [&](int64_t t) {
    const auto y = row(y_TD_, t, D);
    kernels::combine(std::span<const int32_t>(expert_rows_.place).subspan(at(t * slots), at(slots)),
                     std::span<const float>(gates_TK_).subspan(at(t * slots), at(slots)), bank_RD_.data() + shared * D,
                     y);
    if (shared_place_[at(t)] >= 0) kernels::add_scaled(1, row(bank_RD_, shared_place_[at(t)], D), y);
  });
}

// Fills ids and gates. Shared experts need not wait for the router: their gates and ups share its loop, and where
// tokens are few, whoever finishes the router chooses experts while the others read on.
void Forward::route_beside_shared(int64_t layer, int64_t slots, kernels::FfnBank& bank) {
  const LayerWeights& weights = weights_.layers()[at(layer)];
  const int64_t D = config_.hidden_size, E = weights.router.rows;  // E is 0 for a hash table
  grown(affinities_TE_, tokens() * E);
  grown(ids_TK_, tokens() * slots);
  grown(gates_TK_, tokens() * slots);
  const auto choose = [&](int64_t begin, int64_t end) { choose_experts(layer, slots, begin, end); };
  const base::Body choose_some(choose);
  const bool beside = E > 0 && tokens() <= kChosenByOne;
  const kernels::Product router{weights.router, 0, E, h_TD_.data(), D, nullptr, tokens(), affinities_TE_.data(), E};
  const kernels::FfnJob shared{&weights.shared, shared_rows_, 0};
  bank.hidden(parallel_for_, {&shared, shared_rows_.empty() ? size_t{0} : size_t{1}},
              {E > 0 ? &router : nullptr, beside ? &choose_some : nullptr});
  if (!beside) parallel_for_(tokens(), kChosenByOne, choose_some);
}

void Forward::choose_experts(int64_t layer, int64_t slots, int64_t begin, int64_t end) {
  thread_local Gate::Scratch scratch;
  const LayerWeights& weights = weights_.layers()[at(layer)];
  const Gate gate{config_, layer, weights.router_bias, weights.hash_table};
  for (int64_t t = begin; t < end; ++t) {
    const auto of = [&](auto& matrix, int64_t width) { return std::span(matrix).subspan(at(t * width), at(width)); };
    gate.route(rows_[at(t)].token(), of(affinities_TE_, weights.router.rows), *rows_[at(t)].slice->intervention,
               of(ids_TK_, slots), of(gates_TK_, slots), scratch);
  }
}

// The rows that meet the shared experts, and each row's place among them or -1.
void Forward::list_shared_rows(const LayerWeights& weights) {
  shared_rows_.clear();
  grown(shared_place_, tokens());
  for (int64_t t = 0; t < tokens(); ++t) {
    const bool meets = weights.has_shared() && !rows_[at(t)].slice->intervention->drop_shared;
    shared_place_[at(t)] = meets ? static_cast<int32_t>(shared_rows_.size()) : -1;
    if (meets) shared_rows_.push_back(static_cast<int32_t>(t));
  }
}

RoutingView Forward::routing_view(int64_t layer, int64_t slots, const SequenceSlice& slice) const {
  const size_t begin = at(slice.first_row), count = slice.tokens.size();
  const size_t E = at(weights_.layers()[at(layer)].router.rows), K = at(slots);
  RoutingView view;
  view.tokens = slice.tokens;
  view.first_position = slice.first_position;
  view.slots = slots;
  view.experts = config_.n_routed_experts;
  view.ids_TK = std::span(ids_TK_).subspan(begin * K, count * K);
  view.weights_TK = std::span(gates_TK_).subspan(begin * K, count * K);
  view.affinities_TE = std::span(affinities_TE_).subspan(begin * E, count * E);
  return view;
}

void Forward::probe(int64_t layer, int64_t slots, std::span<const SequenceSlice> slices) const {
  for (const SequenceSlice& slice : slices) {
    if (slice.probe) slice.probe->on_routing(layer, routing_view(layer, slots, slice));
  }
}

// Routed experts' rows follow the shared bank's.
void Forward::probe_outputs(int64_t layer, int64_t slots, std::span<const SequenceSlice> slices) const {
  for (const SequenceSlice& slice : slices) {
    if (!slice.probe) continue;
    ExpertOutputsView view;
    view.width = config_.hidden_size;
    view.place_TK = std::span(expert_rows_.place).subspan(at(slice.first_row * slots), slice.tokens.size() * at(slots));
    view.rows_RD = std::span(bank_RD_).subspan(shared_rows_.size() * at(config_.hidden_size));
    slice.probe->on_expert_outputs(layer, routing_view(layer, slots, slice), view);
  }
}

// Final norm and head, for the rows whose logits are asked for. One product for all slices: each would read the whole
// head again.
void Forward::head(std::span<const SequenceSlice> slices) {
  const kernels::Matrix& head = weights_.head();
  const int64_t D = config_.hidden_size;
  head_rows_.clear();
  logits_.clear();
  for (const SequenceSlice& slice : slices) {
    const auto wanted = static_cast<int64_t>(slice.logits.size()) / head.rows;
    const int64_t first = slice.first_row + static_cast<int64_t>(slice.tokens.size()) - wanted;
    for (int64_t i = 0; i < wanted; ++i) {
      head_rows_.push_back(first + i);
      logits_.push_back(slice.logits.data() + i * head.rows);
    }
  }
  const auto count = static_cast<int64_t>(head_rows_.size());
  if (count == 0) return;
  if (is_quantised(head.type)) h_rows_.resize(count, D);
  per_row(count, 4 * D, [&](int64_t i) {
    const auto x = row(x_TD_, head_rows_[at(i)], D), h = row(h_TD_, i, D);
    kernels::add_scaled(1, row(y_TD_, head_rows_[at(i)], D), x);
    kernels::rms_norm(x, weights_.final_norm(), config_.rms_norm_eps, h);
    if (is_quantised(head.type)) h_rows_.quantise(i, 0, h);
  });
  kernels::Product product{head, 0, head.rows, h_TD_.data(), D, nullptr, count, nullptr, 0, h_rows_.view()};
  product.out_rows = logits_.data();
  kernels::matmul(parallel_for_, {&product, 1});
}

}  // namespace dsmoe::engine
