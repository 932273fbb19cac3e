#include "kernels/bank.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "kernels/product.h"
#include "kernels/rows.h"

namespace dsmoe::kernels {
namespace {

size_t at(int64_t i) { return static_cast<size_t>(i); }

// One call's work: hidden activations of job j are [rows, F] from scratch.offsets[j]; as floats, or where down is
// quantised as int8, made tile by tile from sums that never leave the cache.
class Bank {
 public:
  Bank(std::span<const FfnJob> jobs, const float* x_TD, float* out_RD, BankScratch& scratch)
      : jobs_(jobs), x_(x_TD), out_(out_RD), scratch_(scratch) {
    int64_t floats = 0, integers = 0;
    scratch.offsets.assign(1, 0);
    for (const FfnJob& job : jobs) {
      DSMOE_CHECK(job.ffn->up.rows == job.ffn->gate.rows && job.ffn->down.cols == job.ffn->gate.rows, "one width");
      scratch.offsets.push_back(scratch.offsets.back() + std::ssize(job.rows) * job.ffn->gate.rows);
      (is_quantised(job.ffn->down.type) ? integers : floats) = scratch.offsets.back();
    }
    grow(scratch.gate, floats);
    grow(scratch.up, floats);
    grow(scratch.hidden, integers);
    grow(scratch.hidden_blocks, integers / kActivationBlock);
  }

  void run(const base::ParallelFor& parallel_for) {
    quantise_x(parallel_for);
    list_rows(&Ffn::gate, 2);  // and up
    scratch_.list.run(parallel_for, [this](const RowRange& rows, const RowRange* next) { hidden_rows(rows, next); });
    list_rows(&Ffn::down, 1);
    scratch_.list.run(parallel_for, [this](const RowRange& rows, const RowRange* next) { down_rows(rows, next); });
  }

 private:
  template <class T>
  static void grow(std::vector<T>& memory, int64_t n) {
    if (std::ssize(memory) < n) memory.resize(at(n));
  }
  const Ffn& ffn(const RowRange& rows) const { return *jobs_[at(rows.matrix)].ffn; }

  void quantise_x(const base::ParallelFor& parallel_for) {
    int64_t rows = 0, D = 0;
    for (const FfnJob& job : jobs_) {
      if (job.rows.empty() || !(is_quantised(job.ffn->gate.type) || is_quantised(job.ffn->up.type))) continue;
      rows = std::max<int64_t>(rows, *std::max_element(job.rows.begin(), job.rows.end()) + 1);
      D = job.ffn->gate.cols;
    }
    if (rows == 0) return;
    scratch_.x.resize(rows, D);
    scratch_.x.quantise(parallel_for, {x_, at(rows * D)});
  }

  // The rows of one matrix of every job.
  void list_rows(Matrix Ffn::*matrix, int64_t times) {
    scratch_.list.clear();
    for (const FfnJob& job : jobs_) {
      const Matrix& m = job.ffn->*matrix;
      scratch_.list.add(m.rows, times * row_work(m, std::ssize(job.rows)));
    }
  }

  void hidden_rows(const RowRange& rows, const RowRange* next) {
    const FfnJob& job = jobs_[at(rows.matrix)];
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
                          x_,
                          D,
                          job.rows.data(),
                          tokens,
                          gate - rows.begin,
                          stride,
                          scratch_.x.view(),
                          row_address(weights.up, rows.begin)};
    matmul(product);
    Product other = product;
    other.weights = weights.up;
    other.out = up - rows.begin;
    other.next = next ? row_address(ffn(*next).gate, next->begin) : nullptr;
    matmul(other);
    for (int64_t t = 0; t < tokens; ++t) {
      const std::span<float> hidden(gate + t * stride, at(width));
      silu_mul(hidden, {up + t * stride, at(width)}, hidden);
      if (!quantised) continue;
      const int64_t to = offset + t * F + rows.begin;
      quantise_activations(hidden, scratch_.hidden.data() + to, scratch_.hidden_blocks.data() + to / kActivationBlock);
    }
  }

  void down_rows(const RowRange& rows, const RowRange* next) {
    const FfnJob& job = jobs_[at(rows.matrix)];
    const int64_t F = job.ffn->gate.rows, D = job.ffn->down.rows, offset = scratch_.offsets[at(rows.matrix)];
    Product product{job.ffn->down,          rows.begin, rows.end, nullptr, F, nullptr, std::ssize(job.rows),
                    out_ + job.out_row * D, D};
    if (is_quantised(job.ffn->down.type)) {
      product.activations = {scratch_.hidden.data() + offset,
                             scratch_.hidden_blocks.data() + offset / kActivationBlock};
    } else {
      product.x = scratch_.gate.data() + offset;
    }
    if (next) product.next = row_address(ffn(*next).down, next->begin);
    matmul(product);
  }

  std::span<const FfnJob> jobs_;
  const float* x_;
  float* out_;
  BankScratch& scratch_;
};

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

void ffn_bank(const base::ParallelFor& parallel_for, std::span<const FfnJob> jobs, const float* x_TD, float* out_RD,
              BankScratch& scratch) {
  Bank(jobs, x_TD, out_RD, scratch).run(parallel_for);
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

}  // namespace

void ffn_bank_ref(const base::ParallelFor&, std::span<const FfnJob> jobs, const float* x_TD, float* out_RD,
                  BankScratch&) {
  for (const FfnJob& job : jobs) {
    const size_t F = at(job.ffn->gate.rows), D = at(job.ffn->gate.cols), R = job.rows.size();
    std::vector<float> x, hidden(R * F);
    for (const int32_t row : job.rows) x.insert(x.end(), x_TD + at(row) * D, x_TD + (at(row) + 1) * D);
    const auto gate_FR = products(job.ffn->gate, as_multiplied(job.ffn->gate, x), R);
    const auto up_FR = products(job.ffn->up, as_multiplied(job.ffn->up, x), R);
    for (size_t i = 0; i < R * F; ++i) {
      hidden[i % R * F + i / R] = static_cast<float>(gate_FR[i] / (1 + std::exp(-gate_FR[i])) * up_FR[i]);
    }
    const auto out_DR = products(job.ffn->down, as_multiplied(job.ffn->down, hidden), R);
    for (size_t i = 0; i < R * D; ++i) out_RD[(at(job.out_row) + i % R) * D + i / R] = static_cast<float>(out_DR[i]);
  }
}

void combine(const base::ParallelFor& parallel_for, std::span<const int32_t> place_TK,
             std::span<const float> weights_TK, int64_t slots, const float* rows_RD, std::span<float> out_TD) {
  DSMOE_CHECK(slots > 0 && place_TK.size() % at(slots) == 0 && place_TK.size() == weights_TK.size(), "[T, K]");
  const auto tokens = static_cast<int64_t>(place_TK.size()) / slots;
  if (tokens == 0) return;
  const size_t D = out_TD.size() / at(tokens);
  parallel_for(tokens, 16, [&](int64_t begin, int64_t end) {
    thread_local std::vector<int64_t> order;  // no allocation once it has grown
    for (int64_t t = begin; t < end; ++t) {
      const std::span<float> out = out_TD.subspan(at(t) * D, D);
      std::fill(out.begin(), out.end(), 0.0f);
      order.clear();
      for (int64_t slot = t * slots; slot < (t + 1) * slots; ++slot) {
        if (place_TK[at(slot)] >= 0) order.push_back(slot);
      }
      std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return place_TK[at(a)] < place_TK[at(b)]; });
      for (const int64_t slot : order) {
        add_scaled(weights_TK[at(slot)], {rows_RD + at(place_TK[at(slot)]) * D, D}, out);
      }
    }
  });
}

void combine_ref(const base::ParallelFor&, std::span<const int32_t> place_TK, std::span<const float> weights_TK,
                 int64_t slots, const float* rows_RD, std::span<float> out_TD) {
  const size_t tokens = place_TK.size() / at(slots), D = tokens ? out_TD.size() / tokens : 0;
  for (size_t t = 0; t < tokens; ++t) {
    for (size_t d = 0; d < D; ++d) {
      double sum = 0;
      for (size_t slot = t * at(slots); slot < (t + 1) * at(slots); ++slot) {
        if (place_TK[slot] >= 0) sum += double{weights_TK[slot]} * rows_RD[at(place_TK[slot]) * D + d];
      }
      out_TD[t * D + d] = static_cast<float>(sum);
    }
  }
}

}  // namespace dsmoe::kernels
