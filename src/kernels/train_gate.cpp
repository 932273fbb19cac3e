#include "kernels/train_gate.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/error.h"
#include "kernels/isa.h"
#include "kernels/topk.h"

namespace dsmoe::kernels {
namespace {

constexpr int64_t kRowsPerItem = 64;

size_t at(int64_t i) { return static_cast<size_t>(i); }

/// Writes the chosen experts and scores of rows whose scores are there.
void choose(const GateRows& g, int64_t t, std::vector<int32_t>& ids) {
  const float* scores = g.scores + t * g.experts;
  top_k({scores, at(g.experts)}, ids);
  for (int64_t k = 0; k < g.chosen; ++k) {
    g.best[t * g.chosen + k] = ids[at(k)];
    g.values[t * g.chosen + k] = scores[ids[at(k)]];
  }
}

}  // namespace

void gate_rows(const base::ParallelFor& parallel_for, const GateRows& g) {
  DSMOE_CHECK(g.chosen <= g.experts, "no more are chosen than there are");
  parallel_for(g.tokens, kRowsPerItem, [&](int64_t begin, int64_t end) {
    std::vector<int32_t> ids(at(g.chosen));
    for (int64_t t = begin; t < end; ++t) {
      kernels().softmax(g.logits + t * g.experts, g.experts, g.scores + t * g.experts);
      choose(g, t, ids);
    }
  });
}

void gate_rows_ref(const base::ParallelFor&, const GateRows& g) {
  std::vector<int32_t> ids(at(g.chosen));
  for (int64_t t = 0; t < g.tokens; ++t) {
    const float* logits = g.logits + t * g.experts;
    const double top = *std::max_element(logits, logits + g.experts);
    double total = 0;
    for (int64_t e = 0; e < g.experts; ++e) total += std::exp(logits[e] - top);
    for (int64_t e = 0; e < g.experts; ++e) {
      g.scores[t * g.experts + e] = static_cast<float>(std::exp(logits[e] - top) / total);
    }
    choose(g, t, ids);
  }
}

void gate_rows_backward(const base::ParallelFor& parallel_for, const GateRows& g, const GateRowsGrad& grad) {
  const auto kernel = kernels().train.softmax_grad;
  parallel_for(g.tokens, kRowsPerItem, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      float* out = grad.grad_logits + t * g.experts;
      if (grad.grad_scores) {
        std::copy_n(grad.grad_scores + t * g.experts, g.experts, out);
      } else {
        std::fill_n(out, g.experts, 0.0f);
      }
      for (int64_t i = t * g.chosen; grad.grad_values && i < (t + 1) * g.chosen; ++i)
        out[g.best[i]] += grad.grad_values[i];
      kernel(g.scores + t * g.experts, out, g.experts);
    }
  });
}

void gate_rows_backward_ref(const base::ParallelFor&, const GateRows& g, const GateRowsGrad& grad) {
  std::vector<double> row(at(g.experts));
  for (int64_t t = 0; t < g.tokens; ++t) {
    for (int64_t e = 0; e < g.experts; ++e) row[at(e)] = grad.grad_scores ? grad.grad_scores[t * g.experts + e] : 0;
    for (int64_t i = t * g.chosen; grad.grad_values && i < (t + 1) * g.chosen; ++i) {
      row[at(g.best[i])] += grad.grad_values[i];
    }
    double sum = 0;
    for (int64_t e = 0; e < g.experts; ++e) sum += row[at(e)] * g.scores[t * g.experts + e];
    for (int64_t e = 0; e < g.experts; ++e) {
      grad.grad_logits[t * g.experts + e] = static_cast<float>(g.scores[t * g.experts + e] * (row[at(e)] - sum));
    }
  }
}

void scope_sums(const base::ParallelFor& parallel_for, const ScopeSums& s, const float* x, float* sums) {
  struct Chunk {
    int64_t scope, first, end;
  };
  std::vector<Chunk> chunks;
  for (int64_t scope = 0; scope < s.scopes(); ++scope) {
    const int64_t scope_end = s.begins[at(scope + 1)];
    for (int64_t first = s.begins[at(scope)]; first < scope_end; first += kRowsPerItem) {
      chunks.push_back({scope, first, std::min(scope_end, first + kRowsPerItem)});
    }
  }
  std::vector<float> partial(chunks.size() * at(s.columns));
  const auto add = kernels().add_scaled;
  parallel_for(std::ssize(chunks), 1, [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      for (int64_t i = chunks[at(item)].first; i < chunks[at(item)].end; ++i) {
        if (!s.counts || s.counts[i]) add(1, x + i * s.columns, s.columns, partial.data() + item * s.columns);
      }
    }
  });
  std::fill_n(sums, s.scopes() * s.columns, 0.0f);
  for (size_t item = 0; item < chunks.size(); ++item) {
    add(1, partial.data() + item * at(s.columns), s.columns, sums + chunks[item].scope * s.columns);
  }
}

void scope_sums_ref(const base::ParallelFor&, const ScopeSums& s, const float* x, float* sums) {
  for (int64_t scope = 0; scope < s.scopes(); ++scope) {
    for (int64_t c = 0; c < s.columns; ++c) {
      double sum = 0;
      for (int64_t i = s.begins[at(scope)]; i < s.begins[at(scope + 1)]; ++i) {
        if (!s.counts || s.counts[i]) sum += x[i * s.columns + c];
      }
      sums[scope * s.columns + c] = static_cast<float>(sum);
    }
  }
}

void scope_sums_backward(const base::ParallelFor& parallel_for, const ScopeSums& s, const float* grad, float* grad_x) {
  parallel_for(s.begins.back(), kRowsPerItem, [&](int64_t begin, int64_t end) {
    int64_t scope = std::upper_bound(s.begins.begin(), s.begins.end(), begin) - s.begins.begin() - 1;
    for (int64_t i = begin; i < end; ++i) {
      while (i >= s.begins[at(scope + 1)]) ++scope;
      if (!s.counts || s.counts[i]) {
        std::copy_n(grad + scope * s.columns, s.columns, grad_x + i * s.columns);
      } else {
        std::fill_n(grad_x + i * s.columns, s.columns, 0.0f);
      }
    }
  });
}

}  // namespace dsmoe::kernels
