#include "formats/initial_values.h"

#include <algorithm>
#include <numeric>
#include <set>

#include "base/error.h"
#include "base/hash.h"
#include "base/normal.h"
#include "base/rng.h"

namespace dsmoe::formats {
namespace {

constexpr int64_t kChunk = int64_t{1} << 22;  // values written at once
constexpr int64_t kGrain = int64_t{1} << 15;  // values a thread makes at once

uint64_t stream_of(const std::string& name) { return base::xxh3_64(name); }

// The K experts of one token, all different, at random.
void draw_experts(base::Rng& rng, int64_t experts, std::span<int32_t> out) {
  for (size_t k = 0; k < out.size();) {
    out[k] = static_cast<int32_t>(rng.below(static_cast<uint64_t>(experts)));
    if (std::find(out.begin(), out.begin() + static_cast<ptrdiff_t>(k), out[k]) ==
        out.begin() + static_cast<ptrdiff_t>(k))
      ++k;
  }
}

// The chunk of a tensor being made, in the dtype it is stored in.
struct Chunk {
  std::vector<std::byte> bytes;
  void fill(const spec::TensorSpec& tensor, const spec::ModelConfig& config, Dtype dtype, uint64_t seed, int64_t first,
            int64_t begin, int64_t end) {
    std::vector<float> values(static_cast<size_t>(end - begin));
    initial_values(tensor, config, seed, first + begin, values);
    const size_t width = bits_of(dtype) / 8;
    from_f32(values, dtype, std::span(bytes).subspan(static_cast<size_t>(begin) * width, values.size() * width));
  }
};

}  // namespace

void initial_values(const spec::TensorSpec& tensor, const spec::ModelConfig& config, uint64_t seed, int64_t first,
                    std::span<float> out) {
  DSMOE_CHECK(tensor.role != spec::TensorRole::kHashTable, "a hash table holds integers");
  if (tensor.role == spec::TensorRole::kNorm) return std::fill(out.begin(), out.end(), 1.0f);
  if (tensor.role == spec::TensorRole::kRouterBias) return std::fill(out.begin(), out.end(), 0.0f);
  const uint64_t stream = stream_of(tensor.name);
  for (size_t i = 0; i < out.size(); ++i) {
    const uint64_t bits = base::random_bits(seed, stream, static_cast<uint64_t>(first) + i);
    out[i] = static_cast<float>(config.initializer_range * base::normal_of(bits));
  }
}

std::vector<int32_t> initial_hash_table(const spec::ModelConfig& config, uint64_t seed,
                                        std::span<const int64_t> frequencies) {
  const auto tokens = static_cast<size_t>(config.vocab_size);
  const auto chosen = static_cast<size_t>(config.num_experts_per_tok);
  std::vector<int32_t> table(tokens * chosen);
  base::Rng rng(base::random_bits(seed, stream_of("hash_table"), 0));
  if (config.router_type != spec::RouterType::kHashBalanced) {
    for (size_t token = 0; token < tokens; ++token) {
      draw_experts(rng, config.n_routed_experts, std::span(table).subspan(token * chosen, chosen));
    }
    return table;
  }
  DSMOE_CHECK(frequencies.empty() || frequencies.size() == tokens, "one frequency per token of the vocabulary");
  const auto weight = [&](size_t token) { return frequencies.empty() ? 1 : frequencies[token]; };
  std::vector<size_t> order(tokens);
  std::iota(order.begin(), order.end(), size_t{0});
  rng.shuffle(order);
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return weight(a) > weight(b); });
  std::set<std::pair<int64_t, int32_t>> loads;  // (load, expert), the lightest first
  for (int64_t expert = 0; expert < config.n_routed_experts; ++expert) loads.emplace(0, static_cast<int32_t>(expert));
  for (const size_t token : order) {
    std::vector<std::pair<int64_t, int32_t>> taken;
    for (size_t k = 0; k < chosen; ++k) {
      taken.push_back(*loads.begin());
      loads.erase(loads.begin());
      table[token * chosen + k] = taken.back().second;
    }
    for (const auto& [load, expert] : taken) loads.emplace(load + weight(token), expert);
  }
  return table;
}

void write_initial_model(ModelFolderWriter& writer, const spec::ModelConfig& config, uint64_t seed,
                         const base::ParallelFor& parallel, const std::function<void(uint64_t)>& progress) {
  // One buffer goes to the disk as the first chunk of the loop that makes the next.
  Chunk ready, next;
  uint64_t written = 0;
  const auto write_ready = [&] {
    writer.append(ready.bytes);
    written += ready.bytes.size();
    if (progress) progress(written);
  };
  const std::vector<int32_t> table =
      config.is_moe() && !config.has_router_weight() ? initial_hash_table(config, seed) : std::vector<int32_t>();
  spec::for_each_tensor(config, [&](const spec::TensorSpec& tensor) {
    const Dtype stored = stored_dtype(tensor, writer.dtype());
    for (int64_t first = 0, count = tensor.numel(); first < count; first += kChunk) {
      const int64_t values = std::min(kChunk, count - first);
      if (tensor.role == spec::TensorRole::kHashTable) {
        const auto bytes =
            std::as_bytes(std::span(table).subspan(static_cast<size_t>(first), static_cast<size_t>(values)));
        next.bytes.assign(bytes.begin(), bytes.end());
        write_ready();
      } else {
        next.bytes.resize(static_cast<size_t>(values) * bits_of(stored) / 8);
        const int64_t grains = (values + kGrain - 1) / kGrain;
        parallel(1 + grains, 1, [&](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i) {
            if (i == 0)
              write_ready();
            else
              next.fill(tensor, config, stored, seed, first, (i - 1) * kGrain, std::min(i * kGrain, values));
          }
        });
      }
      std::swap(ready, next);
    }
  });
  write_ready();
}

}  // namespace dsmoe::formats
