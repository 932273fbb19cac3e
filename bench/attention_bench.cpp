// Attention over the cache: bytes a second of one query a head (decode), in turns with plain reads of memory by the
// same threads, and arithmetic of a chunk of prefill.
//
// attention_bench [POSITIONS]: 16 heads of 128, two threads, each type of cache; medians of the runs.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>

#include "base/parallel.h"
#include "base/rng.h"
#include "base/shares.h"
#include "engine/kv_cache.h"
#include "kernels/attend.h"
#include "kernels/isa.h"
#include "read_memory.h"

using namespace dsmoe;

namespace {

constexpr int64_t kHeads = 16, kHeadDim = 128, kLayers = 28;
constexpr size_t kPiece = size_t{1} << 20;
constexpr int kTurns = 15;

struct Rows {
  std::vector<float> queries, out, parts;
  std::vector<kernels::AttentionState> states;
};

double median(std::vector<double> values) {
  const auto middle = values.begin() + std::ssize(values) / 2;
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

double median_seconds(int runs, const std::function<void()>& run) {
  std::vector<double> all;
  for (int i = 0; i < runs; ++i) all.push_back(bench::seconds_of(run));
  return median(all);
}

/// One query of every head against one layer, as the engine's list of tasks has it: a thread takes a half of the heads,
/// span by span.
void decode_layer(const base::ParallelFor& parallel_for, const engine::KvCache& cache, int64_t layer, Rows& rows) {
  const int64_t together = kHeads / parallel_for.threads();
  const int64_t spans = (cache.size() + kernels::kSpan - 1) / kernels::kSpan;
  rows.parts.resize(static_cast<size_t>(kHeads * spans * kHeadDim));
  rows.states.resize(static_cast<size_t>(kHeads * spans));
  const auto task = [&](int64_t item) {
    const int64_t head = item / spans * together, span = item % spans, visible = cache.size();
    const float* q[kHeads];
    float* o[kHeads];
    for (int64_t h = 0; h < together; ++h) {
      q[h] = rows.queries.data() + (head + h) * kHeadDim;
      o[h] = rows.parts.data() + ((head + h) * spans + span) * kHeadDim;
    }
    kernels::AttentionState states[kHeads];
    kernels::attention_span(
        {q, &visible, o, 1, kHeadDim, 0.088f, cache.type(), cache.blocks(), cache.head(layer, head), together}, span,
        states);
    for (int64_t h = 0; h < together; ++h) rows.states[static_cast<size_t>((head + h) * spans + span)] = states[h];
  };
  const int64_t items = kHeads / together * spans;
  base::for_each_run(
      parallel_for, parallel_for.threads(), [&](int64_t s, int64_t shares) { return items * s / shares; }, 1,
      [&](const base::Stretch& run) { task(run.begin); });
  for (int64_t head = 0; head < kHeads; ++head) {
    const auto first = static_cast<size_t>(head * spans), n = static_cast<size_t>(spans), A = size_t{kHeadDim};
    kernels::join_spans(std::span(rows.parts).subspan(first * A, n * A), std::span(rows.states).subspan(first, n),
                        std::span(rows.out).subspan(static_cast<size_t>(head) * A, A));
  }
}

/// Queries at the last `rows` positions of every head, against one layer.
void prefill_layer(const base::ParallelFor& parallel_for, const engine::KvCache& cache, int64_t layer, int64_t rows,
                   Rows& memory) {
  const int64_t tiles = (rows + kernels::kAttentionRows - 1) / kernels::kAttentionRows;
  parallel_for(kHeads * tiles, 1, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      const int64_t head = i / tiles, begin = i % tiles * kernels::kAttentionRows;
      const int64_t count = std::min(rows - begin, kernels::kAttentionRows);
      const float* q[kernels::kAttentionRows];
      float* o[kernels::kAttentionRows];
      int64_t visible[kernels::kAttentionRows];
      for (int64_t r = 0; r < count; ++r) {
        q[r] = memory.queries.data() + ((begin + r) * kHeads + head) * kHeadDim;
        o[r] = memory.out.data() + ((begin + r) * kHeads + head) * kHeadDim;
        visible[r] = cache.size() - rows + begin + r + 1;
      }
      kernels::attention(
          {q, visible, o, count, kHeadDim, 0.088f, cache.type(), cache.blocks(), cache.head(layer, head)});
    }
  });
}

}  // namespace

int main(int argc, char** argv) {
  const int64_t positions = argc > 1 ? std::atoll(argv[1]) : 3500;
  spec::ModelConfig config;
  config.hidden_size = kHeads * kHeadDim;
  config.num_attention_heads = config.num_key_value_heads = kHeads;
  config.num_hidden_layers = kLayers;
  base::ThreadPool pool(2);
  const auto parallel_for = pool.parallel_for();
  base::Rng rng(1);
  Rows rows;
  rows.queries.resize(512 * kHeads * kHeadDim), rows.out.resize(rows.queries.size());
  std::vector<float> row(kHeadDim);
  for (float& q : rows.queries) q = static_cast<float>(rng.normal());
  const std::vector<char> memory(size_t{1} << 30, 1);
  const auto pieces = bench::cut(memory.data(), memory.size(), kPiece);
  std::printf("%s, %lld positions\n", std::string(kernels::isa_name(kernels::active_isa())).c_str(),
              static_cast<long long>(positions));
  std::printf("%-6s %12s %10s %10s %14s\n", "cache", "decode ms", "GB/s", "of reads", "prefill GF/s");
  for (const auto type : {engine::CacheType::kF32, engine::CacheType::kF16, engine::CacheType::kQ8}) {
    engine::KvCache cache(config, type);
    cache.extend(positions);
    for (int64_t layer = 0; layer < kLayers; ++layer) {
      for (int64_t head = 0; head < kHeads; ++head) {
        for (int64_t j = 0; j < positions; ++j) {
          if (layer == 0) {
            for (float& x : row) x = static_cast<float>(rng.normal());
          }
          cache.store_key(layer, head, j, row);
          cache.store_value(layer, head, j, row);
        }
      }
    }
    // Of each block, what it is filled to.
    const double gigabytes = static_cast<double>(positions) / 1e9 *
                             static_cast<double>(engine::KvCache::bytes_for(config, type, kernels::kCacheBlock)) /
                             static_cast<double>(kernels::kCacheBlock);
    std::vector<double> seconds, shares;
    for (int i = 0; i < kTurns; ++i) {
      const double reads = bench::read_rate(pool, pieces, kPiece);
      seconds.push_back(bench::seconds_of([&] {
        for (int64_t layer = 0; layer < kLayers; ++layer) decode_layer(parallel_for, cache, layer, rows);
      }));
      shares.push_back(gigabytes / seconds.back() / reads);
    }
    const double decode = median(seconds);
    const int64_t count = std::min<int64_t>(positions, 512);
    cache.truncate(count);
    const double prefill = median_seconds(5, [&] { prefill_layer(parallel_for, cache, 0, count, rows); });
    std::printf("%-6s %12.2f %10.1f %9.0f%% %14.0f\n", std::string(engine::cache_type_name(type)).c_str(), decode * 1e3,
                gigabytes / decode, 100 * median(shares),
                2.0 * static_cast<double>(count * (count + 1) * kHeads * kHeadDim) / prefill / 1e9);
  }
  return 0;
}
