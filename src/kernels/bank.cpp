#include "kernels/bank.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "kernels/product.h"
#include "kernels/rows.h"

namespace dsmoe::kernels {
namespace {

size_t at(int64_t i) { return static_cast<size_t>(i); }

template <class T>
void grow(std::vector<T>& memory, int64_t n) {
  if (std::ssize(memory) < n) memory.resize(at(n));
}

}  // namespace

std::span<const int32_t> ExpertRows::group(int64_t expert) const {
  const int32_t begin = offsets[at(expert)], end = offsets[at(expert) + 1];
  return {tokens.data() + begin, at(end - begin)};
}

void rows_by_expert(std::span<const int32_t> ids_TK, int64_t slots, int64_t experts, ExpertRows& rows) {
  rows.offsets.assign(at(experts) + 1, 0);
  for (const int32_t id : ids_TK) {
    DSMOE_CHECK(id < experts, "an expert that exists");
    if (id >= 0) ++rows.offsets[at(id) + 1];
  }
  std::partial_sum(rows.offsets.begin(), rows.offsets.end(), rows.offsets.begin());
  rows.tokens.resize(at(rows.offsets.back()));
  rows.place.assign(ids_TK.size(), -1);
  rows.next.assign(rows.offsets.begin(), rows.offsets.end() - 1);
  for (size_t slot = 0; slot < ids_TK.size(); ++slot) {
    if (ids_TK[slot] < 0) continue;
    const int32_t place = rows.next[at(ids_TK[slot])]++;
    rows.place[slot] = place;
    rows.tokens[at(place)] = static_cast<int32_t>(slot / at(slots));
  }
}

void rows_by_expert_ref(std::span<const int32_t> ids_TK, int64_t slots, int64_t experts, ExpertRows& rows) {
  rows.offsets.clear();
  rows.tokens.clear();
  rows.place.assign(ids_TK.size(), -1);
  for (int32_t expert = 0; expert < experts; ++expert) {
    rows.offsets.push_back(static_cast<int32_t>(rows.tokens.size()));
    for (size_t slot = 0; slot < ids_TK.size(); ++slot) {
      if (ids_TK[slot] != expert) continue;
      rows.place[slot] = static_cast<int32_t>(rows.tokens.size());
      rows.tokens.push_back(static_cast<int32_t>(slot / at(slots)));
    }
  }
  rows.offsets.push_back(static_cast<int32_t>(rows.tokens.size()));
}

FfnBank::FfnBank(const FfnInput& input, BankScratch& scratch) : input_(input), scratch_(scratch) {
  scratch.jobs.clear();
  scratch.offsets.assign(1, 0);
  scratch.narrow_offsets.assign(1, 0);
}

// Hidden activations of job j are [rows, F] from offsets[j]; as floats, or where down is quantised as int8, made tile
// by tile from sums that never leave the cache.
void FfnBank::add(std::span<const FfnJob> jobs) {
  for (const FfnJob& job : jobs) {
    const Ffn& ffn = *job.ffn;
    DSMOE_CHECK(ffn.up.rows == ffn.gate.rows && ffn.down.cols == ffn.gate.rows, "one width");
    scratch_.jobs.push_back(job);
    const int64_t end = scratch_.offsets.back() + std::ssize(job.rows) * ffn.gate.rows;
    scratch_.offsets.push_back(end);
    if (is_quantised(ffn.down.type)) {
      grow(scratch_.hidden, end);
      grow(scratch_.hidden_blocks, end / kActivationBlock);
    } else {
      grow(scratch_.gate, end);
      grow(scratch_.up, end);
    }
    if (ffn.down_adapter.adds()) grow(scratch_.gate, end);  // as floats too
    for (const LowRank* adapter : {&ffn.gate_adapter, &ffn.up_adapter, &ffn.down_adapter}) {
      scratch_.narrow_offsets.push_back(scratch_.narrow_offsets.back() + adapter->a.rows * std::ssize(job.rows));
    }
  }
  grow(scratch_.narrow_values, scratch_.narrow_offsets.back());
}

// A x of the adapters beside gates and ups, for all rows of the jobs from the first on.
void FfnBank::narrow_inputs(const base::ParallelFor& parallel_for, int64_t first_job) {
  scratch_.narrow.clear();
  for (int64_t j = first_job; j < std::ssize(scratch_.jobs); ++j) {
    const FfnJob& job = scratch_.jobs[at(j)];
    if (!job.ffn->hidden_adapted()) continue;
    const auto add = [&](const LowRank& adapter, int64_t part) {
      scratch_.narrow.push_back(narrow_product(adapter, input_.x_TD, job.ffn->gate.cols, job.rows.data(),
                                               std::ssize(job.rows), narrow_of(j, part)));
    };
    add(job.ffn->gate_adapter, 0);
    add(job.ffn->up_adapter, 1);
  }
  if (!scratch_.narrow.empty()) matmul(parallel_for, scratch_.narrow);
}

// The same beside down, of hidden rows.
void FfnBank::narrow_hidden(const base::ParallelFor& parallel_for) {
  scratch_.narrow.clear();
  for (int64_t j = 0; j < std::ssize(scratch_.jobs); ++j) {
    const FfnJob& job = scratch_.jobs[at(j)];
    if (!job.ffn->down_adapter.adds()) continue;
    scratch_.narrow.push_back(narrow_product(job.ffn->down_adapter, scratch_.gate.data() + scratch_.offsets[at(j)],
                                             job.ffn->gate.rows, nullptr, std::ssize(job.rows), narrow_of(j, 2)));
  }
  if (!scratch_.narrow.empty()) matmul(parallel_for, scratch_.narrow);
}

void FfnBank::hidden(const base::ParallelFor& parallel_for, std::span<const FfnJob> jobs, const ProductBefore& before) {
  const int64_t first = std::ssize(scratch_.jobs);
  add(jobs);
  narrow_inputs(parallel_for, first);
  // Matrix 0 of the list is the product before, matrix i + 1 the i-th of these jobs.
  const auto job_rows = [&](RowRange rows) {
    rows.matrix += first - 1;
    return rows;
  };
  const int64_t rows_before = before.product ? before.product->row_end - before.product->row_begin : 0;
  std::atomic<int64_t> left = rows_before;
  scratch_.list.clear();
  scratch_.list.add(rows_before, before.product ? row_work(before.product->weights, before.product->tokens) : 0);
  for (const FfnJob& job : jobs) {
    scratch_.list.add(job.ffn->gate.rows, 2 * row_work(job.ffn->gate, std::ssize(job.rows)));  // and up
  }
  scratch_.list.run(parallel_for, [&](const RowRange& rows, const RowRange* next) {
    const void* after = nullptr;
    if (next && next->matrix > 0) after = row_address(job_of(job_rows(*next)).ffn->gate, next->begin);
    if (rows.matrix > 0) return hidden_rows(job_rows(rows), after);
    matmul(part_of(*before.product, rows.begin, rows.end, after));
    const int64_t done = rows.end - rows.begin;
    if (left.fetch_sub(done, std::memory_order_acq_rel) == done && before.then) {
      (*before.then)(0, before.product->tokens);
    }
  });
}

void FfnBank::down(const base::ParallelFor& parallel_for, float* out_RD) {
  narrow_hidden(parallel_for);
  scratch_.list.clear();
  for (const FfnJob& job : scratch_.jobs) {
    scratch_.list.add(job.ffn->down.rows, row_work(job.ffn->down, std::ssize(job.rows)));
  }
  scratch_.list.run(parallel_for, [&](const RowRange& rows, const RowRange* next) {
    down_rows(rows, next ? row_address(job_of(*next).ffn->down, next->begin) : nullptr, out_RD);
  });
}

void FfnBank::hidden_rows(const RowRange& rows, const void* next) {
  const FfnJob& job = job_of(rows);
  const Ffn& weights = *job.ffn;
  const int64_t F = weights.gate.rows, D = weights.gate.cols, tokens = std::ssize(job.rows);
  const int64_t offset = scratch_.offsets[at(rows.matrix)], width = rows.end - rows.begin;
  const bool quantised = is_quantised(weights.down.type);
  thread_local std::vector<float> local;  // gate and up, [tokens, width] each
  if (quantised) grow(local, 2 * tokens * width);
  const int64_t stride = quantised ? width : F;
  // As a whole row would be: the product writes columns begin .. end.
  float* gate = quantised ? local.data() : scratch_.gate.data() + offset + rows.begin;
  float* up = quantised ? gate + tokens * width : scratch_.up.data() + offset + rows.begin;
  const Product product{weights.gate,
                        rows.begin,
                        rows.end,
                        input_.x_TD,
                        D,
                        job.rows.data(),
                        tokens,
                        gate - rows.begin,
                        stride,
                        input_.activations,
                        row_address(weights.up, rows.begin)};
  matmul(product);
  Product other = product;
  other.weights = weights.up;
  other.out = up - rows.begin;
  other.next = next;
  matmul(other);
  const auto add = [&](const LowRank& adapter, int64_t part, float* out) {
    if (adapter.adds()) {
      add_low_rank(adapter, rows.begin, rows.end, narrow_of(rows.matrix, part), tokens, out - rows.begin, stride);
    }
  };
  add(weights.gate_adapter, 0, gate);
  add(weights.up_adapter, 1, up);
  for (int64_t t = 0; t < tokens; ++t) {
    const std::span<float> hidden(gate + t * stride, at(width));
    silu_mul(hidden, {up + t * stride, at(width)}, hidden);
    if (!quantised) continue;
    if (weights.down_adapter.adds()) {
      std::copy(hidden.begin(), hidden.end(), scratch_.gate.data() + offset + t * F + rows.begin);
    }
    const int64_t to = offset + t * F + rows.begin;
    quantise_activations(hidden, scratch_.hidden.data() + to, scratch_.hidden_blocks.data() + to / kActivationBlock);
  }
}

void FfnBank::down_rows(const RowRange& rows, const void* next, float* out_RD) {
  const FfnJob& job = job_of(rows);
  const int64_t F = job.ffn->gate.rows, D = job.ffn->down.rows, offset = scratch_.offsets[at(rows.matrix)];
  Product product{
      job.ffn->down, rows.begin, rows.end, nullptr, F, nullptr, std::ssize(job.rows), out_RD + job.out_row * D, D};
  if (is_quantised(job.ffn->down.type)) {
    product.activations = {scratch_.hidden.data() + offset, scratch_.hidden_blocks.data() + offset / kActivationBlock};
  } else {
    product.x = scratch_.gate.data() + offset;
  }
  product.next = next;
  matmul(product);
  const LowRank& adapter = job.ffn->down_adapter;
  if (adapter.adds()) {
    add_low_rank(adapter, rows.begin, rows.end, narrow_of(rows.matrix, 2), product.tokens, product.out, D);
  }
}

void ffn_bank(const base::ParallelFor& parallel_for, std::span<const FfnJob> jobs, const FfnInput& input, float* out_RD,
              BankScratch& scratch) {
  FfnBank bank(input, scratch);
  bank.hidden(parallel_for, jobs);
  bank.down(parallel_for, out_RD);
}

namespace {

// Rows of activations as their products see them: int8 and back where the weights are quantised.
std::vector<double> as_multiplied(const Matrix& weights, std::vector<float> rows) {
  if (is_quantised(weights.type)) {
    std::vector<int8_t> values(rows.size());
    std::vector<ActivationBlock> blocks(rows.size() / at(kActivationBlock));
    quantise_activations_ref(rows, values.data(), blocks.data());
    for (size_t i = 0; i < rows.size(); ++i) rows[i] = blocks[i / at(kActivationBlock)].scale * values[i];
  }
  return {rows.begin(), rows.end()};
}

// out[n, row] = sum over k of weights[n, k] * x[row, k].
std::vector<double> products(const Matrix& weights, const std::vector<double>& x, size_t rows) {
  const size_t K = at(weights.cols);
  std::vector<float> w(K);
  std::vector<double> out;
  for (int64_t n = 0; n < weights.rows; ++n) {
    weight_row(weights, n, w);
    for (size_t row = 0; row < rows; ++row) {
      double sum = 0;
      for (size_t k = 0; k < K; ++k) sum += w[k] * x[row * K + k];
      out.push_back(sum);
    }
  }
  return out;
}

// out[n, row] += what an adapter makes of x.
void add_adapter(const LowRank& adapter, const std::vector<float>& x, size_t rows, std::vector<double>& out) {
  if (!adapter.adds()) return;
  const auto narrow_rR = products(adapter.a, {x.begin(), x.end()}, rows);
  std::vector<float> b(at(adapter.b.cols));
  for (size_t r = 0; r < at(adapter.b.rows); ++r) {
    weight_row(adapter.b, static_cast<int64_t>(r), b);
    for (size_t n = 0; n < b.size(); ++n) {
      for (size_t row = 0; row < rows; ++row) out[n * rows + row] += b[n] * narrow_rR[r * rows + row];
    }
  }
}

}  // namespace

void ffn_bank_ref(const base::ParallelFor&, std::span<const FfnJob> jobs, const FfnInput& input, float* out_RD,
                  BankScratch&) {
  for (const FfnJob& job : jobs) {
    const size_t F = at(job.ffn->gate.rows), D = at(job.ffn->gate.cols), R = job.rows.size();
    std::vector<float> x, hidden(R * F);
    for (const int32_t row : job.rows) x.insert(x.end(), input.x_TD + at(row) * D, input.x_TD + (at(row) + 1) * D);
    auto gate_FR = products(job.ffn->gate, as_multiplied(job.ffn->gate, x), R);
    auto up_FR = products(job.ffn->up, as_multiplied(job.ffn->up, x), R);
    add_adapter(job.ffn->gate_adapter, x, R, gate_FR);
    add_adapter(job.ffn->up_adapter, x, R, up_FR);
    for (size_t i = 0; i < R * F; ++i) {
      hidden[i % R * F + i / R] = static_cast<float>(gate_FR[i] / (1 + std::exp(-gate_FR[i])) * up_FR[i]);
    }
    auto out_DR = products(job.ffn->down, as_multiplied(job.ffn->down, hidden), R);
    add_adapter(job.ffn->down_adapter, hidden, R, out_DR);
    for (size_t i = 0; i < R * D; ++i) out_RD[(at(job.out_row) + i % R) * D + i / R] = static_cast<float>(out_DR[i]);
  }
}

void combine(std::span<const int32_t> place_K, std::span<const float> weights_K, const float* rows_RD,
             std::span<float> out_D) {
  DSMOE_CHECK(place_K.size() == weights_K.size(), "a weight for each slot");
  std::fill(out_D.begin(), out_D.end(), 0.0f);
  // Ever the next place: slots are few.
  for (int32_t done = -1;;) {
    size_t next = place_K.size();
    for (size_t k = 0; k < place_K.size(); ++k) {
      if (place_K[k] > done && (next == place_K.size() || place_K[k] < place_K[next])) next = k;
    }
    if (next == place_K.size()) return;
    done = place_K[next];
    add_scaled(weights_K[next], {rows_RD + at(done) * out_D.size(), out_D.size()}, out_D);
  }
}

void combine_ref(std::span<const int32_t> place_K, std::span<const float> weights_K, const float* rows_RD,
                 std::span<float> out_D) {
  for (size_t d = 0; d < out_D.size(); ++d) {
    double sum = 0;
    for (size_t k = 0; k < place_K.size(); ++k) {
      if (place_K[k] >= 0) sum += double{weights_K[k]} * rows_RD[at(place_K[k]) * out_D.size() + d];
    }
    out_D[d] = static_cast<float>(sum);
  }
}

}  // namespace dsmoe::kernels
