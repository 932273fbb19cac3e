// The most that two threads read from memory: bandwidth_bench [GB | FILE [THREADS [KB]]], best and median of five
// passes over 4 GB on large pages, or over a file that is mapped, as models are. It bounds generation: tokens a second
// <= bandwidth / bytes that a token must read (dsmoe bench -o json says those). With KB in pieces of so many kilobytes
// in a random order: what jumping costs.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <vector>

#include "base/file.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "read_memory.h"

namespace {

struct Free {
  void operator()(void* memory) const { std::free(memory); }
};

}  // namespace

int main(int argc, char** argv) {
  using namespace dsmoe::base;
  const double gigabytes = argc > 1 ? std::atof(argv[1]) : 4.0;
  const int threads = argc > 2 ? std::atoi(argv[2]) : 2, kilobytes = argc > 3 ? std::atoi(argv[3]) : 0;
  std::optional<MappedFile> file;
  std::unique_ptr<void, Free> owned;
  size_t bytes = (static_cast<size_t>(gigabytes * 1e9) / kLargePage + 1) * kLargePage;
  if (gigabytes > 0) {
    owned.reset(std::aligned_alloc(kLargePage, bytes));
    if (!owned) return std::fprintf(stderr, "no memory for %zu bytes\n", bytes), 1;
    prefer_large_pages(owned.get(), bytes);
    std::memset(owned.get(), 1, bytes);
  } else {
    file.emplace(argv[1]);
    bytes = file->bytes().size();
  }
  const auto* memory = static_cast<const char*>(owned ? owned.get() : static_cast<const void*>(file->bytes().data()));
  ThreadPool pool(threads);
  const size_t piece = std::min(bytes, (kilobytes > 0 ? static_cast<size_t>(kilobytes) : size_t{1024}) << 10);
  auto pieces = dsmoe::bench::cut(memory, bytes, piece);
  if (file) dsmoe::bench::read_rate(pool, pieces, piece);  // into the page cache
  if (kilobytes > 0) Rng(1).shuffle(pieces);
  std::vector<double> rates;
  for (int pass = 0; pass < 5; ++pass) rates.push_back(dsmoe::bench::read_rate(pool, pieces, piece));
  std::sort(rates.begin(), rates.end());
  std::printf("%d threads read %.1f GB/s at best, %.1f in the median\n", threads, rates.back(), rates[2]);
  return 0;
}
