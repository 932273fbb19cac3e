// Tokens one after the other, in turns with plain reads of the same file: decode_bench MODEL.gguf [TOKENS [THREADS]].
// A machine's memory is not as fast in one moment as in the next, so a share of it is of the reads around a token: the
// median of many is a figure to compare two builds by. A token counts where the reads before and after it agree within
// a tenth. Each token reads the matrices that it must, from random ids; contexts stay short.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "base/file.h"
#include "base/rng.h"
#include "engine/engine.h"
#include "read_memory.h"

namespace {

using namespace dsmoe;

constexpr size_t kPiece = size_t{1} << 20, kRead = size_t{1} << 30;
constexpr int64_t kContext = 32;

struct Quartiles {
  explicit Quartiles(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    const auto at = [&](size_t quarter) { return values[(values.size() - 1) * quarter / 4]; };
    low = at(1), median = at(2), high = at(3);
  }
  double low, median, high;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return std::fprintf(stderr, "decode_bench MODEL.gguf [TOKENS [THREADS]]\n"), 2;
  const int tokens = argc > 2 ? std::atoi(argv[2]) : 200, threads = argc > 3 ? std::atoi(argv[3]) : 2;
  engine::Engine engine = engine::Engine::load(argv[1], {.threads = threads, .cache = engine::CacheType::kF16});
  const base::MappedFile file(argv[1]);
  base::ThreadPool pool(threads);
  const auto pieces = bench::cut(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size(), kPiece);
  bench::read_rate(pool, pieces, kPiece);  // into this mapping
  engine.weights().bring_into_memory();
  engine::Session session(engine);
  base::Rng rng(1);
  const auto step = [&] {
    if (session.size() == kContext) session.rewind(0);
    const auto id = static_cast<int32_t>(rng.below(static_cast<uint64_t>(engine.config().vocab_size)));
    session.append({&id, 1});
  };
  for (int i = 0; i < 16; ++i) step();
  // Windows that go round the file.
  const size_t window = std::min(pieces.size(), kRead / kPiece);
  size_t at = 0;
  const auto read = [&] {
    if (at + window > pieces.size()) at = 0;
    const std::vector<const char*> part(pieces.begin() + static_cast<int64_t>(at),
                                        pieces.begin() + static_cast<int64_t>(at + window));
    at += window;
    return bench::read_rate(pool, part, kPiece);
  };
  double gigabytes = 0;  // that a token must read
  engine.weights().for_each_matrix([&](const kernels::Matrix& m, double share) {
    gigabytes += share * static_cast<double>(kernels::matrix_bytes(m)) / 1e9;
  });
  std::vector<double> shares, seconds, rates;
  double before = read();
  for (int i = 0; i < tokens; ++i) {
    const double second = bench::seconds_of(step), after = read(), rate = (before + after) / 2;
    if (std::abs(after - before) < rate / 10) {
      seconds.push_back(second);
      rates.push_back(rate);
      shares.push_back(100 * gigabytes / second / rate);
    }
    before = after;
  }
  if (shares.empty()) return std::fprintf(stderr, "memory changed its speed at every token\n"), 1;
  const Quartiles share(shares), second(seconds), rate(rates);
  std::printf(
      "%zu tokens of %.3f GB: %.2f ms in the median, %.1f GB/s; reads %.1f GB/s; share %.1f %% (quartiles %.1f to "
      "%.1f)\n",
      shares.size(), gigabytes, 1e3 * second.median, gigabytes / second.median, rate.median, share.median, share.low,
      share.high);
  return 0;
}
