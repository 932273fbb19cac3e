// A router's row: softmax, copy of the affinities and top K one after another, against all of it at once, on every
// instruction set.
//
// gate_bench: nanoseconds a row, medians of the runs; both include the copy of the logits that are overwritten.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "base/rng.h"
#include "kernels/isa.h"
#include "kernels/rows.h"
#include "kernels/topk.h"

using namespace dsmoe;

namespace {

constexpr size_t kRows = 1024;  // more than a branch predictor learns by heart

double median_nanoseconds(const std::function<void(size_t row)>& run) {
  std::vector<double> all;
  for (int i = 0; i < 201; ++i) {
    const auto start = std::chrono::steady_clock::now();
    for (size_t row = 0; row < kRows; ++row) run(row);
    all.push_back(std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count() / kRows);
  }
  std::nth_element(all.begin(), all.begin() + 100, all.end());
  return all[100];
}

void compare(size_t experts, size_t chosen) {
  base::Rng rng(1);
  std::vector<float> logits(kRows * experts), row(experts), scores;
  std::vector<int32_t> ids(chosen);
  for (float& x : logits) x = static_cast<float>(rng.normal());
  const auto read = [&](size_t i) {
    std::copy_n(logits.begin() + static_cast<int64_t>(i * experts), experts, row.begin());
  };
  const double apart = median_nanoseconds([&](size_t i) {
    read(i);
    kernels::softmax(row, static_cast<int64_t>(experts), row);
    scores.assign(row.begin(), row.end());
    kernels::top_k(scores, ids);
  });
  const double fused = median_nanoseconds([&](size_t i) {
    read(i);
    kernels::softmax_top_k(row, ids);
  });
  const double softmax = median_nanoseconds([&](size_t i) {
    read(i);
    kernels::softmax(row, static_cast<int64_t>(experts), row);
  });
  std::printf("%10s  E %3zu K %zu: apart %6.1f ns, fused %6.1f ns, of that the softmax %5.1f ns\n",
              std::string(kernels::isa_name(kernels::active_isa())).c_str(), experts, chosen, apart, fused, softmax);
}

}  // namespace

int main() {
  for (const kernels::Isa isa : kernels::available_isas()) {
    kernels::use_isa(isa);
    compare(16, 2);
    compare(64, 6);
    compare(160, 6);
    compare(256, 8);
  }
}
