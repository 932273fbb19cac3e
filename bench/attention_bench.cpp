// Attention over the cache: bytes a second of one query a head (decode) against a plain read of the same cache by the
// same threads, and arithmetic of a chunk of prefill.
//
// attention_bench [POSITIONS]: 16 heads of 128, two threads, each type of cache; medians of the runs.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>

#include "base/parallel.h"
#include "base/rng.h"
#include "engine/kv_cache.h"
#include "kernels/attend.h"
#include "kernels/isa.h"

using namespace dsmoe;

namespace {

constexpr int64_t kHeads = 16, kHeadDim = 128, kLayers = 28;

double median_seconds(int runs, const std::function<void()>& run) {
  std::vector<double> all;
  for (int i = 0; i < runs; ++i) {
    const auto start = std::chrono::steady_clock::now();
    run();
    all.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  std::nth_element(all.begin(), all.begin() + runs / 2, all.end());
  return all[static_cast<size_t>(runs / 2)];
}

/// Queries at the last `rows` positions of every head, against one layer.
void attend(const base::ParallelFor& parallel_for, const engine::KvCache& cache, int64_t layer, int64_t rows,
            const std::vector<float>& queries, std::vector<float>& out) {
  const int64_t tiles = (rows + kernels::kAttentionRows - 1) / kernels::kAttentionRows;
  parallel_for(kHeads * tiles, 1, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      const int64_t head = i / tiles, begin = i % tiles * kernels::kAttentionRows;
      const int64_t count = std::min(rows - begin, kernels::kAttentionRows);
      const float* q[kernels::kAttentionRows];
      float* o[kernels::kAttentionRows];
      int64_t visible[kernels::kAttentionRows];
      for (int64_t r = 0; r < count; ++r) {
        q[r] = queries.data() + ((begin + r) * kHeads + head) * kHeadDim;
        o[r] = out.data() + ((begin + r) * kHeads + head) * kHeadDim;
        visible[r] = cache.size() - rows + begin + r + 1;
      }
      kernels::attention({q, visible, o, count, kHeadDim, 0.088f, cache.type(), cache.blocks(),
                          cache.keys_at(layer, head), cache.values_at(layer, head)});
    }
  });
}

void read_all(const base::ParallelFor& parallel_for, const std::vector<uint64_t>& words) {
  parallel_for(static_cast<int64_t>(words.size()), 1 << 18, [&](int64_t begin, int64_t end) {
    uint64_t sums[8] = {};
    for (int64_t i = begin; i + 8 <= end; i += 8) {
      for (int j = 0; j < 8; ++j) sums[j] ^= words[static_cast<size_t>(i + j)];
    }
    volatile uint64_t sink = sums[0] ^ sums[1] ^ sums[2] ^ sums[3] ^ sums[4] ^ sums[5] ^ sums[6] ^ sums[7];
    (void)sink;
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
  std::vector<float> queries(512 * kHeads * kHeadDim), out(queries.size()), row(kHeadDim);
  for (float& q : queries) q = static_cast<float>(rng.normal());
  const std::vector<uint64_t> words(size_t{1} << 27, 1);
  const double read = median_seconds(5, [&] { read_all(parallel_for, words); });
  const double bandwidth = static_cast<double>(words.size()) * 8 / read;
  std::printf("%s, %lld positions, plain read %.1f GB/s\n",
              std::string(kernels::isa_name(kernels::active_isa())).c_str(), static_cast<long long>(positions),
              bandwidth / 1e9);
  std::printf("%-6s %12s %10s %10s %14s\n", "cache", "decode ms", "GB/s", "of read", "prefill GF/s");
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
    const double decode = median_seconds(7, [&] {
      for (int64_t layer = 0; layer < kLayers; ++layer) attend(parallel_for, cache, layer, 1, queries, out);
    });
    if (positions < 512) continue;
    cache.truncate(512);
    const double prefill = median_seconds(5, [&] { attend(parallel_for, cache, 0, 512, queries, out); });
    const double bytes = static_cast<double>(engine::KvCache::bytes_for(config, type, positions));
    std::printf("%-6s %12.2f %10.1f %9.0f%% %14.0f\n", std::string(engine::cache_type_name(type)).c_str(), decode * 1e3,
                bytes / decode / 1e9, 100 * bytes / decode / bandwidth,
                4.0 * 512 * 513 / 2 * kHeads * kHeadDim / prefill / 1e9);
  }
  return 0;
}
