// Tokens to experts and back: grouping is a stable sort, the bank is its reference, combining is a weighted sum.
#include "kernels/bank.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <atomic>
#include <numeric>

#include "kernels/product.h"
#include "kernels/rows.h"
#include "kernels/testing.h"

namespace dsmoe::kernels {
namespace {

using testing::kRound;
using testing::normal_values;

RC_GTEST_PROP(ExpertRows, AreAStableSortOfSlots, ()) {
  const auto experts = *rc::gen::inRange<int32_t>(1, 20);
  const auto slots = *rc::gen::inRange<int64_t>(1, 5), tokens = *rc::gen::inRange<int64_t>(0, 40);
  const auto ids = *rc::gen::container<std::vector<int32_t>>(static_cast<size_t>(slots * tokens),
                                                             rc::gen::inRange<int32_t>(-1, experts));
  ExpertRows got, want;
  rows_by_expert(ids, slots, experts, got);
  rows_by_expert_ref(ids, slots, experts, want);
  RC_ASSERT(got.offsets == want.offsets);
  RC_ASSERT(got.tokens == want.tokens);
  RC_ASSERT(got.place == want.place);
}

/// FFNs of given widths over random rows.
struct Bank {
  Bank(base::Rng& rng, int64_t D, int64_t tokens, const std::vector<int64_t>& widths,
       const std::vector<std::vector<int32_t>>& rows_of)
      : D(D), x(normal_values(rng, tokens * D)), rows(rows_of) {
    for (const int64_t F : widths) {
      for (const int64_t size : {F * D, F * D, D * F}) weights.push_back(normal_values(rng, size, 0.3));
      const auto* w = &weights[weights.size() - 3];
      ffns.push_back({{WeightType::kF32, w[0].data(), F, D},
                      {WeightType::kF32, w[1].data(), F, D},
                      {WeightType::kF32, w[2].data(), D, F}});
    }
    for (size_t i = 0; i < ffns.size(); ++i) {
      jobs.push_back({&ffns[i], rows[i], out_rows});
      out_rows += static_cast<int64_t>(rows[i].size());
    }
  }
  template <class Kernel>
  std::vector<float> run(Kernel kernel, const base::ParallelFor& parallel_for) {
    std::vector<float> out(static_cast<size_t>(out_rows * D), -7);
    kernel(parallel_for, jobs, {x.data(), {}}, out.data(), scratch);
    return out;
  }

  int64_t D, out_rows = 0;
  std::vector<float> x;
  std::vector<std::vector<int32_t>> rows;
  std::vector<std::vector<float>> weights;
  std::vector<Ffn> ffns;
  std::vector<FfnJob> jobs;
  BankScratch scratch;
};

class ExpertBank : public testing::EveryIsa {
 protected:
  base::Rng rng_{11};
};
DSMOE_ON_EVERY_ISA(ExpertBank);

// dh, the error of one hidden value: gate and up are off by a dot product's bound g and u; silu's slope is below 1.1;
// silu_mul rounds 10 times. Then down adds its own dot product's bound to what dh becomes through |weights|.
double hidden_error(const Ffn& ffn, const float* x, int64_t f, double& hidden) {
  double gate = 0, up = 0, gate_sizes = 0, up_sizes = 0;
  for (int64_t k = 0; k < ffn.gate.cols; ++k) {
    const double g = double{weight_at(ffn.gate, f, k)} * x[k], u = double{weight_at(ffn.up, f, k)} * x[k];
    gate += g, up += u, gate_sizes += std::abs(g), up_sizes += std::abs(u);
  }
  const double silu = gate / (1 + std::exp(-gate)), dot = testing::dot_bound(ffn.gate.cols);
  hidden = silu * up;
  return 1.1 * dot * gate_sizes * std::abs(up) + std::abs(silu) * dot * up_sizes + 10 * kRound * std::abs(hidden);
}

TEST_P(ExpertBank, MatchesItsDefinition) {
  for (const int64_t D : {1, 5, 24, 33}) {
    Bank bank(rng_, D, 9, {7, 16, 1, 40}, {{0, 1, 2, 8}, {}, {3}, {0, 1, 2, 3, 4, 5, 6, 7, 8}});
    const auto got = bank.run(ffn_bank, base::serial_for), want = bank.run(ffn_bank_ref, base::serial_for);
    std::vector<double> allowed;
    for (size_t j = 0; j < bank.jobs.size(); ++j) {
      for (const int32_t row : bank.rows[j]) {
        const int64_t F = bank.ffns[j].gate.rows;
        std::vector<double> error(static_cast<size_t>(F)), hidden(error.size());
        for (int64_t f = 0; f < F; ++f) {
          const auto i = static_cast<size_t>(f);
          error[i] = hidden_error(bank.ffns[j], bank.x.data() + row * D, f, hidden[i]);
        }
        for (int64_t d = 0; d < D; ++d) {
          double total = 0;
          for (int64_t f = 0; f < F; ++f) {
            const auto i = static_cast<size_t>(f);
            total += std::abs(weight_at(bank.ffns[j].down, d, f)) *
                     (error[i] + (testing::dot_bound(F) + kRound) * std::abs(hidden[i]));
          }
          allowed.push_back(total);
        }
      }
    }
    testing::expect_within(
        got, want, [&](size_t i) { return allowed[i]; }, "bank of D " + std::to_string(D));
  }
}

TEST_P(ExpertBank, ThreadsAndCompanyDoNotShowInTheBits) {
  std::vector<int32_t> everyone(60);
  std::iota(everyone.begin(), everyone.end(), 0);
  Bank bank(rng_, 64, 60, {48, 96, 96}, {{5, 9, 30}, everyone, {59}});
  const auto alone = bank.run(ffn_bank, base::serial_for);
  for (const int threads : {2, 3, 5}) {
    base::ThreadPool pool(threads);
    EXPECT_EQ(bank.run(ffn_bank, pool.parallel_for()), alone) << threads;
  }
  Bank one = bank;
  for (size_t i = 0; i < one.ffns.size(); ++i) one.jobs[i] = {&bank.ffns[i], {}, 0};
  one.jobs[1].rows = std::span<const int32_t>(everyone).subspan(17, 1);
  one.out_rows = 1;
  const auto single = one.run(ffn_bank, base::serial_for);
  EXPECT_TRUE(std::equal(single.begin(), single.end(), alone.begin() + (3 + 17) * 64));
}

/// Random weights of a type; values keeps the bytes.
Matrix stored(base::Rng& rng, std::vector<std::vector<uint8_t>>& values, BlockType type, int64_t rows, int64_t cols) {
  values.emplace_back(static_cast<size_t>(blocks_bytes(type, rows * cols)));
  quantise_ref(type, normal_values(rng, rows * cols, 0.1).data(), rows * cols, values.back().data());
  return {weight_type(type), values.back().data(), rows, cols};
}

// A bank is its parts to the bit: products, silu_mul and quantised hidden rows, whatever the tiles and threads. Widths,
// rows and types differ; 256 columns serve every type.
TEST_P(ExpertBank, OfQuantisedWeightsIsItsPartsToTheBit) {
  using enum BlockType;
  const int64_t D = 256, tokens = 41;
  const auto x = normal_values(rng_, tokens * D);
  ActivationRows x_rows;
  x_rows.resize(tokens, D);
  x_rows.quantise(base::serial_for, x);
  const FfnInput input{x.data(), x_rows.view()};
  std::vector<int32_t> everyone(static_cast<size_t>(tokens));
  std::iota(everyone.begin(), everyone.end(), 0);
  std::vector<std::vector<uint8_t>> bytes;
  const auto ffn = [&](BlockType gate, BlockType down, int64_t F) {
    return Ffn{stored(rng_, bytes, gate, F, D), stored(rng_, bytes, gate, F, D), stored(rng_, bytes, down, D, F)};
  };
  const std::vector<Ffn> ffns = {ffn(kQ4_0, kQ4_0, 96), ffn(kQ4K, kQ6K, 512), ffn(kQ8_0, kQ5_1, 32),
                                 ffn(kQ5K, kQ4_1, 160)};
  const std::vector<FfnJob> jobs = {{&ffns[0], std::span(everyone).subspan(5, 1), 0},
                                    {&ffns[1], everyone, 1},
                                    {&ffns[2], std::span(everyone).subspan(7, 3), 1 + tokens},
                                    {&ffns[3], {}, 4 + tokens}};
  std::vector<float> want(static_cast<size_t>((4 + tokens) * D)), close(want.size());
  for (const FfnJob& job : jobs) {
    const auto R = std::ssize(job.rows), F = job.ffn->gate.rows;
    std::vector<float> rows, gate(static_cast<size_t>(R * F)), up(gate.size()), out(static_cast<size_t>(R * D));
    for (const int32_t row : job.rows) rows.insert(rows.end(), x.begin() + row * D, x.begin() + (row + 1) * D);
    matmul(base::serial_for, job.ffn->gate, rows, R, gate);
    matmul(base::serial_for, job.ffn->up, rows, R, up);
    silu_mul(gate, up, gate);
    matmul(base::serial_for, job.ffn->down, gate, R, out);
    std::copy(out.begin(), out.end(), want.begin() + job.out_row * D);
  }
  for (const int threads : {1, 2, 3, 5}) {
    base::ThreadPool pool(threads);
    BankScratch scratch;
    std::vector<float> got(want.size());
    ffn_bank(pool.parallel_for(), jobs, input, got.data(), scratch);
    EXPECT_EQ(got, want) << threads;
  }
  // The reference rounds hidden values in double: one in 10^5 may be on the other side of a half and so one int8 step
  // away. Two of them in one output are allowed: 2 steps of the largest hidden block times the largest weight. Float
  // roundings are far below that.
  BankScratch scratch;
  ffn_bank(base::serial_for, jobs, input, close.data(), scratch);
  float step = 0, weight = 0;
  for (const auto& block : scratch.hidden_blocks) step = std::max(step, block.scale);
  for (const FfnJob& job : jobs) {
    for (int64_t k = 0; k < job.ffn->down.cols; ++k)
      weight = std::max(weight, std::abs(weight_at(job.ffn->down, 0, k)));
  }
  ffn_bank_ref(base::serial_for, jobs, input, close.data(), scratch);
  testing::expect_within(
      want, close, [&](size_t) { return 2.0 * step * weight; }, "the reference");
}

// Jobs of two calls, and a product before them: the same bits, whatever the threads; and what follows the product sees
// all of it, once.
TEST_P(ExpertBank, JobsMayComeLaterAndAProductBefore) {
  std::vector<int32_t> everyone(9);
  std::iota(everyone.begin(), everyone.end(), 0);
  Bank bank(rng_, 64, 9, {96, 40, 64}, {everyone, {5}, {0, 3, 8}});
  const auto want = bank.run(ffn_bank, base::serial_for);
  const auto router = normal_values(rng_, 70 * 64);
  std::vector<float> logits(9 * 70), want_logits(9 * 70);
  const Matrix weights{WeightType::kF32, router.data(), 70, 64};
  matmul(base::serial_for, weights, bank.x, 9, want_logits);
  const Product product{weights, 0, 70, bank.x.data(), 64, nullptr, 9, logits.data(), 70};
  for (const int threads : {1, 2, 3, 5}) {
    base::ThreadPool pool(threads);
    std::ranges::fill(logits, -7.0f);
    std::vector<float> out(want.size(), -7);
    std::atomic<int> times = 0;
    const auto then = [&](int64_t begin, int64_t end) {
      ++times;
      EXPECT_EQ(begin, 0);
      EXPECT_EQ(end, 9);
      EXPECT_EQ(logits, want_logits) << threads;
    };
    const base::Body body(then);
    FfnBank two({bank.x.data(), {}}, bank.scratch);
    two.hidden(pool.parallel_for(), std::span(bank.jobs).first(1), {&product, &body});
    two.hidden(pool.parallel_for(), std::span(bank.jobs).subspan(1));
    two.down(pool.parallel_for(), out.data());
    EXPECT_EQ(out, want) << threads;
    EXPECT_EQ(times, 1);
  }
}

TEST_P(ExpertBank, CombineIsTheWeightedSum) {
  const int64_t slots = 3, D = 19, tokens = 21;
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < tokens * slots; ++i) ids.push_back(static_cast<int32_t>(rng_.below(6)) - 1);
  ExpertRows rows;
  rows_by_expert(ids, slots, 5, rows);
  const auto outputs = normal_values(rng_, static_cast<int64_t>(rows.tokens.size()) * D);
  const auto weights = normal_values(rng_, tokens * slots);
  const auto all = [&](auto kernel) {
    std::vector<float> out(static_cast<size_t>(tokens * D), -7);
    for (size_t t = 0; t < static_cast<size_t>(tokens); ++t) {
      const size_t K = static_cast<size_t>(slots), n = static_cast<size_t>(D);
      kernel(std::span(rows.place).subspan(t * K, K), std::span(weights).subspan(t * K, K), outputs.data(),
             std::span(out).subspan(t * n, n));
    }
    return out;
  };
  // Three products and sums of values around 1: six roundings of at most their sizes' sum, taken as 12.
  testing::expect_within(
      all(combine), all(combine_ref), [](size_t) { return 6 * 12 * kRound; }, "combine");
}

// Dispatch and combine undo each other: FFNs aside, each token meets its own row, whatever the ids.
TEST_P(ExpertBank, CombineAfterDispatchIsTheIdentity) {
  const auto x = normal_values(rng_, 30 * 8);
  std::vector<int32_t> ids;
  for (int i = 0; i < 30; ++i) ids.push_back(static_cast<int32_t>(rng_.below(4)));
  ExpertRows rows;
  rows_by_expert(ids, 1, 4, rows);
  std::vector<float> moved(x.size()), back(x.size());
  const float one = 1;
  for (size_t place = 0; place < 30; ++place) {
    std::copy_n(x.begin() + rows.tokens[place] * 8, 8, moved.begin() + static_cast<int64_t>(place) * 8);
  }
  for (size_t t = 0; t < 30; ++t)
    combine({&rows.place[t], 1}, {&one, 1}, moved.data(), std::span(back).subspan(t * 8, 8));
  EXPECT_EQ(back, x);
}

}  // namespace
}  // namespace dsmoe::kernels
