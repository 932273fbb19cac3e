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

// Cuts rows 0 .. rows(job) of every job into tiles and runs them as one list; little work stays on this thread.
template <class Rows, class Cols, class Run>
void run_tiles(const base::ParallelFor& parallel_for, std::span<const FfnJob> jobs, BankScratch& scratch, Rows rows,
               Cols cols, Run run) {
  auto& tiles = scratch.tiles;
  tiles.clear();
  int64_t work = 0;
  for (size_t j = 0; j < jobs.size(); ++j) {
    const auto tokens = static_cast<int64_t>(jobs[j].rows.size());
    if (tokens == 0) continue;
    const int64_t all = rows(jobs[j]), step = rows_per_chunk(cols(jobs[j]), tokens);
    work += all * cols(jobs[j]) * tokens;
    for (int64_t begin = 0; begin < all; begin += step) {
      tiles.push_back({static_cast<int32_t>(j), begin, std::min(all, begin + step)});
    }
  }
  const auto count = static_cast<int64_t>(tiles.size());
  parallel_for(count, items_per_chunk(count, work), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) run(tiles[at(i)]);
  });
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
  std::vector<int32_t> next(rows.offsets.begin(), rows.offsets.end() - 1);
  for (size_t slot = 0; slot < ids_TK.size(); ++slot) {
    if (ids_TK[slot] < 0) continue;
    const int32_t place = next[at(ids_TK[slot])]++;
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
  // Hidden activations of job j are [rows, F] from scratch.offsets[j].
  scratch.offsets.assign(1, 0);
  for (const FfnJob& job : jobs) {
    DSMOE_CHECK(job.ffn->up.rows == job.ffn->gate.rows && job.ffn->down.cols == job.ffn->gate.rows, "one width");
    scratch.offsets.push_back(scratch.offsets.back() + static_cast<int64_t>(job.rows.size()) * job.ffn->gate.rows);
  }
  if (scratch.gate.size() < at(scratch.offsets.back())) {
    scratch.gate.resize(at(scratch.offsets.back()));
    scratch.up.resize(at(scratch.offsets.back()));
  }
  const auto width = [](const FfnJob& job) { return job.ffn->gate.rows; };
  const auto model = [](const FfnJob& job) { return job.ffn->gate.cols; };
  run_tiles(parallel_for, jobs, scratch, width, model, [&](const BankScratch::Tile& tile) {
    const FfnJob& job = jobs[at(tile.job)];
    const int64_t F = width(job), D = model(job), tokens = static_cast<int64_t>(job.rows.size());
    float* gate = scratch.gate.data() + scratch.offsets[at(tile.job)];
    float* up = scratch.up.data() + scratch.offsets[at(tile.job)];
    matmul({job.ffn->gate, tile.begin, tile.end, x_TD, D, job.rows.data(), tokens, gate, F});
    matmul({job.ffn->up, tile.begin, tile.end, x_TD, D, job.rows.data(), tokens, up, F});
    for (int64_t t = 0; t < tokens; ++t) {
      const std::span<float> g(gate + t * F + tile.begin, at(tile.end - tile.begin));
      silu_mul(g, {up + t * F + tile.begin, g.size()}, g);
    }
  });
  run_tiles(parallel_for, jobs, scratch, model, width, [&](const BankScratch::Tile& tile) {
    const FfnJob& job = jobs[at(tile.job)];
    const int64_t F = width(job), D = model(job);
    const float* hidden = scratch.gate.data() + scratch.offsets[at(tile.job)];
    matmul({job.ffn->down, tile.begin, tile.end, hidden, F, nullptr, static_cast<int64_t>(job.rows.size()),
            out_RD + job.out_row * D, D});
  });
}

void ffn_bank_ref(const base::ParallelFor&, std::span<const FfnJob> jobs, const float* x_TD, float* out_RD,
                  BankScratch&) {
  for (const FfnJob& job : jobs) {
    const int64_t F = job.ffn->gate.rows, D = job.ffn->gate.cols;
    for (size_t i = 0; i < job.rows.size(); ++i) {
      const float* x = x_TD + job.rows[i] * D;
      const auto dot = [&](const Matrix& w, int64_t row, const auto* v) {
        double sum = 0;
        for (int64_t k = 0; k < w.cols; ++k) sum += double{weight_at(w, row, k)} * v[k];
        return sum;
      };
      std::vector<double> hidden(at(F));
      for (int64_t f = 0; f < F; ++f) {
        const double gate = dot(job.ffn->gate, f, x);
        hidden[at(f)] = gate / (1 + std::exp(-gate)) * dot(job.ffn->up, f, x);
      }
      float* out = out_RD + (job.out_row + static_cast<int64_t>(i)) * D;
      for (int64_t d = 0; d < D; ++d) out[d] = static_cast<float>(dot(job.ffn->down, d, hidden.data()));
    }
  }
}

void combine(const base::ParallelFor& parallel_for, std::span<const int32_t> place_TK,
             std::span<const float> weights_TK, int64_t slots, const float* rows_RD, std::span<float> out_TD) {
  DSMOE_CHECK(slots > 0 && place_TK.size() % at(slots) == 0 && place_TK.size() == weights_TK.size(), "[T, K]");
  const auto tokens = static_cast<int64_t>(place_TK.size()) / slots;
  if (tokens == 0) return;
  const size_t D = out_TD.size() / at(tokens);
  parallel_for(tokens, 16, [&](int64_t begin, int64_t end) {
    std::vector<int64_t> order;
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
