// Products of stored weights on two threads: decode (one token) in GB/s of weights beside the memory's bandwidth, and
// prefill (48 tokens an expert) in GOP/s beside the ceiling of the machine's integer products, all in one run. Shares
// of the bandwidth are medians of turns with reads of the same memory, as a machine's neighbours read too; on one
// thread as well, which has its core's way to memory for itself.
// The matrices are the gates of DeepSeekMoE-16B's experts, [1408, 2048]. DSMOE_ISA chooses the instruction set; names
// of types as arguments choose some of them.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/memory.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "kernels/activations.h"
#include "kernels/isa.h"
#include "kernels/product.h"
#include "read_memory.h"

namespace dsmoe {
namespace {

using kernels::WeightType;

constexpr int kThreads = 2, kRepeats = 5, kTurns = 15;
constexpr int64_t kRows = 1408, kCols = 2048, kExperts = 64, kTokens = 48;
constexpr int64_t kFew[] = {1, 2, 3, 4, 6, 8};  // tokens of one sequence and of several
constexpr int64_t kMemory = int64_t{1} << 30, kPiece = int64_t{1} << 20;
constexpr const char* kNames[] = {"f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "q4_k", "q5_k", "q6_k"};

using Work = std::function<void()>;

double best_seconds(const Work& work, int repeats = kRepeats) {
  double best = 1e9;
  for (int i = 0; i < repeats; ++i) best = std::min(best, bench::seconds_of(work));
  return best;
}

#ifdef __x86_64__
#define TWELVE(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
/// Operations of `steps` rounds of twelve independent products of registers.
__attribute__((target("avx512f,avx512vnni"), noinline)) double vnni_products(int64_t steps) {
  typedef int64_t Wide __attribute__((vector_size(64)));
#define DECLARE(i) Wide sum##i = {};
  TWELVE(DECLARE)
#undef DECLARE
  for (int64_t i = 0; i < steps; ++i) {
#define STEP(i) asm volatile("vpdpbusd %%zmm15, %%zmm14, %0" : "+v"(sum##i)::"xmm14", "xmm15");
    TWELVE(STEP)
#undef STEP
  }
  return 12.0 * 128 * static_cast<double>(steps);
}
/// Bytes to sums of 16 bits, as without VNNI; and their addition.
__attribute__((target("avx2"), noinline)) double avx2_products(int64_t steps) {
  typedef int64_t Wide __attribute__((vector_size(32)));
#define DECLARE(i) Wide sum##i = {};
  TWELVE(DECLARE)
#undef DECLARE
  for (int64_t i = 0; i < steps; ++i) {
#define STEP(i)                                                                \
  asm volatile("vpmaddubsw %%ymm15, %%ymm14, %%ymm13\n vpaddw %%ymm13, %0, %0" \
               : "+x"(sum##i)::"xmm13", "xmm14", "xmm15");
    TWELVE(STEP)
#undef STEP
  }
  return 12.0 * 64 * static_cast<double>(steps);
}
#endif

/// Memory as a mapped model's: on large pages where the system gives them.
struct LargePages {
  explicit LargePages(int64_t bytes)
      : start(static_cast<char*>(std::aligned_alloc(base::kLargePage, static_cast<size_t>(bytes)))) {
    base::prefer_large_pages(start, static_cast<size_t>(bytes));
    std::memset(start, 1, static_cast<size_t>(bytes));
  }
  ~LargePages() { std::free(start); }
  LargePages(const LargePages&) = delete;
  LargePages& operator=(const LargePages&) = delete;
  char* data() const { return start; }
  char* const start;
};

struct Bench {
  base::ThreadPool pool{kThreads}, one_thread{1};
  LargePages memory{kMemory};
  const std::vector<const char*> pieces = bench::cut(memory.data(), kMemory, kPiece);
  base::Rng rng{1};
  double bandwidth = 0, ceiling = 0;

  void machine() {
    for (int i = 0; i < kRepeats; ++i) bandwidth = std::max(bandwidth, bench::read_rate(pool, pieces, kPiece));
#ifdef __x86_64__
    double operations = 0;
    const bool vnni = kernels::active_isa() == kernels::Isa::kAvx512Bf16;
    const double seconds = best_seconds([&] {
      pool.run(kThreads, 1,
               [&](int64_t, int64_t) { operations = vnni ? vnni_products(20000000) : avx2_products(20000000); });
    });
    ceiling = kThreads * operations / seconds / 1e9;
#endif
  }

  /// Bandwidth of a product that reads so many gigabytes, of that of reads in turns with it.
  double share_of_reads(base::ThreadPool& threads, const Work& product, double gigabytes) {
    std::vector<double> shares;
    for (int i = 0; i < kTurns; ++i) {
      const double reads = bench::read_rate(threads, pieces, kPiece);
      shares.push_back(gigabytes / bench::seconds_of(product) / reads);
    }
    std::nth_element(shares.begin(), shares.begin() + kTurns / 2, shares.end());
    return shares[kTurns / 2];
  }

  /// Fills memory with copies of 64 rows of random weights; matrices of `type` that it holds.
  std::vector<kernels::Matrix> fill(WeightType type) {
    const int64_t bytes = kernels::row_bytes(type, kCols);
    std::vector<float> values(64 * kCols);
    for (float& value : values) value = static_cast<float>(rng.normal());
    if (kernels::is_quantised(type)) {
      kernels::quantise_ref(kernels::block_type(type), values.data(), 64 * kCols, memory.data());
    } else {
      std::memcpy(memory.data(), values.data(), static_cast<size_t>(64 * bytes));
      if (type != WeightType::kF32) std::memset(memory.data(), 0x3c, static_cast<size_t>(64 * bytes));
    }
    const int64_t piece = 64 * bytes;
    for (int64_t at = piece; at < kMemory; at += piece) {
      std::memcpy(memory.data() + at, memory.data(), static_cast<size_t>(std::min(piece, kMemory - at)));
    }
    std::vector<kernels::Matrix> matrices;
    for (int64_t at = 0; at + kRows * bytes <= kMemory; at += kRows * bytes) {
      matrices.push_back({type, memory.data() + at, kRows, kCols});
    }
    return matrices;
  }

  struct Operands {
    std::vector<float> x, out;
    kernels::ActivationRows activations;
    std::vector<kernels::Product> products;
  };
  /// `tokens` tokens through all matrices, whenever it is called.
  Work product(std::span<const kernels::Matrix> matrices, int64_t tokens, base::ParallelFor parallel_for) {
    const auto a = std::make_shared<Operands>();
    a->x.resize(static_cast<size_t>(tokens * kCols));
    for (float& value : a->x) value = static_cast<float>(rng.normal());
    a->activations.resize(tokens, kCols);
    a->activations.quantise(base::serial_for, a->x);
    a->out.resize(matrices.size() * static_cast<size_t>(tokens * kRows));
    for (const auto& matrix : matrices) {
      float* to = a->out.data() + std::ssize(a->products) * tokens * kRows;
      a->products.push_back(
          {matrix, 0, matrix.rows, a->x.data(), kCols, nullptr, tokens, to, kRows, a->activations.view()});
    }
    return [a, parallel_for] { kernels::matmul(parallel_for, a->products); };
  }

  /// One thread, one matrix of 256 rows: the arithmetic alone, in the nearest caches.
  double cached_seconds(kernels::Matrix matrix, int64_t tokens) {
    matrix.rows = 256;
    return best_seconds(product({&matrix, 1}, tokens, base::serial_for), 20 * kRepeats);
  }

  void type(int i) {
    const auto weights = static_cast<WeightType>(i);
    const auto matrices = fill(weights);
    const auto some = std::span(matrices).first(std::min<size_t>(kExperts, matrices.size()));
    const auto gigabytes = [&](double rows) {
      return rows * static_cast<double>(kernels::row_bytes(weights, kCols)) / 1e9;
    };
    const auto operations = [&](double rows, double tokens) { return 2e-9 * rows * tokens * kCols; };
    const double rows = static_cast<double>(std::ssize(matrices) * kRows);
    double rates[std::size(kFew)];
    for (size_t few = 0; few < std::size(kFew); ++few) {
      rates[few] = gigabytes(rows) / best_seconds(product(matrices, kFew[few], pool.parallel_for()));
    }
    const auto share = [&](base::ThreadPool& threads) {
      return share_of_reads(threads, product(matrices, 1, threads.parallel_for()), gigabytes(rows));
    };
    const double together = share(pool), alone = share(one_thread);
    const double many = operations(static_cast<double>(std::ssize(some) * kRows), kTokens) /
                        best_seconds(product(some, kTokens, pool.parallel_for()));
    std::printf("%-6s", kNames[i]);
    for (const double rate : rates) std::printf(" %6.1f", rate);
    std::printf(" %4.0f %% %3.0f %% %6.0f %4.0f %% %10.1f %6.0f\n", 100 * together, 100 * alone, many,
                100 * many / ceiling, gigabytes(256) / cached_seconds(matrices[0], 1),
                operations(256, kTokens) / cached_seconds(matrices[0], kTokens));
    std::fflush(stdout);
  }
};

}  // namespace
}  // namespace dsmoe

int main(int argc, char** argv) {
  dsmoe::Bench bench;
  bench.machine();
  std::printf("%s, %d threads: reads %.1f GB/s, integer products %.0f GOP/s\n",
              std::string(dsmoe::kernels::isa_name(dsmoe::kernels::active_isa())).c_str(), dsmoe::kThreads,
              bench.bandwidth, bench.ceiling);
  std::printf(
      "       two threads, from memory: GB/s, and share of reads (two threads, one); GOP/s          one, from its "
      "cache\n");
  std::printf("tokens");
  for (const int64_t few : dsmoe::kFew) std::printf(" %6d", static_cast<int>(few));
  std::printf("  1 token: two, one %4d  of peak     1: GB/s %2d:GOP/s\n", static_cast<int>(dsmoe::kTokens),
              static_cast<int>(dsmoe::kTokens));
  for (int i = 0; i < dsmoe::kernels::kWeightTypes; ++i) {
    const bool wanted =
        std::any_of(argv + 1, argv + argc, [&](const char* name) { return !strcmp(name, dsmoe::kNames[i]); });
    if (argc == 1 || wanted) bench.type(i);
  }
}
