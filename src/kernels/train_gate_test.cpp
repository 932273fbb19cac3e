// The router's rows against their references, on every instruction set; sums over tokens and their order.
#include "kernels/train_gate.h"

#include <algorithm>

#include "kernels/train_testing.h"

namespace dsmoe::kernels {
namespace {

using namespace testing;  // NOLINT

struct Trial {
  Trial(int64_t tokens, int64_t experts, int64_t chosen) {
    base::Rng rng(6);
    const auto of = [&](int64_t columns) { return normal_values(rng, tokens * columns); };
    logits = of(experts), grad_scores = of(experts), grad_values = of(chosen);
    scores = grad_logits = std::vector<float>(logits.size(), 77);
    values = std::vector<float>(grad_values.size(), 77);
    best.assign(values.size(), 77);
    gate = {tokens, experts, chosen, logits.data(), scores.data(), best.data(), values.data()};
    grad = {grad_scores.data(), grad_values.data(), grad_logits.data()};
  }
  std::vector<float> logits, grad_scores, grad_values, scores, values, grad_logits;
  std::vector<int64_t> best;
  GateRows gate;
  GateRowsGrad grad;
};

class TrainGateTest : public EveryIsa {};
DSMOE_ON_EVERY_ISA(TrainGateTest);

TEST_P(TrainGateTest, MatchesItsDefinition) {
  for (const auto& [tokens, experts, chosen] :
       {std::tuple{1, 1, 1}, std::tuple{5, 3, 2}, std::tuple{70, 63, 7}, std::tuple{33, 100, 8}}) {
    for (const int without : {0, 1, 2}) {
      Trial fast(tokens, experts, chosen), exact(tokens, experts, chosen);
      if (without == 1) fast.grad.grad_scores = exact.grad.grad_scores = nullptr;
      if (without == 2) fast.grad.grad_values = exact.grad.grad_values = nullptr;
      gate_rows(base::serial_for, fast.gate);
      gate_rows_backward(base::serial_for, fast.gate, fast.grad);
      gate_rows_ref(base::serial_for, exact.gate);
      gate_rows_backward_ref(base::serial_for, exact.gate, exact.grad);
      // The bound of a softmax (rows_test.cpp) with logits some 8 apart, and that of one more sum over experts.
      const double bound = 20 * kRound + 2 * dot_bound(experts);
      EXPECT_EQ(fast.best, exact.best);
      expect_near(fast.scores, exact.scores, bound, "scores");
      expect_near(fast.values, exact.values, bound, "values");
      if (experts > 1) expect_near(fast.grad_logits, exact.grad_logits, 2 * bound, "grad_logits");
    }
  }
}

TEST_P(TrainGateTest, OfEqualsTheLowerExpertComesFirst) {
  Trial trial(2, 40, 3);
  std::fill(trial.logits.begin(), trial.logits.end(), 0.5f);
  trial.logits[40 + 30] = 1;
  gate_rows(base::serial_for, trial.gate);
  EXPECT_EQ(trial.best, (std::vector<int64_t>{0, 1, 2, 30, 0, 1}));
}

TEST_P(TrainGateTest, ScopeSumsAreSumsWhateverTheThreads) {
  base::Rng rng(7);
  base::ThreadPool three(3);
  for (const std::vector<int64_t>& begins :
       {std::vector<int64_t>{0, 1}, {0, 130, 260, 390}, {0, 64, 128}, {0, 3, 3, 203, 267}}) {
    const int64_t scopes = std::ssize(begins) - 1, rows = begins.back();
    const auto x = normal_values(rng, rows * 21);
    auto counts = std::make_unique<bool[]>(static_cast<size_t>(rows));
    for (int i = 0; i < rows; ++i) counts[static_cast<size_t>(i)] = i % 5 != 2;
    for (const bool* mask : {static_cast<const bool*>(nullptr), static_cast<const bool*>(counts.get())}) {
      const ScopeSums s{begins, 21, mask};
      std::vector<float> sums(static_cast<size_t>(scopes * 21), 77), exact = sums, others = sums;
      scope_sums(base::serial_for, s, x.data(), sums.data());
      scope_sums(three.parallel_for(), s, x.data(), others.data());
      scope_sums_ref(base::serial_for, s, x.data(), exact.data());
      EXPECT_EQ(sums, others);
      // Each sum passes at most 64 + rows / 64 additions of values below 5 in size.
      const auto bound = [&](size_t) {
        return (66 + static_cast<double>(rows) / 64) * kRound * 5 * static_cast<double>(rows);
      };
      expect_within(sums, exact, bound, "sums");
      std::vector<float> grad_x(x.size(), 77);
      scope_sums_backward(three.parallel_for(), s, exact.data(), grad_x.data());
      for (int64_t scope = 0; scope < scopes; ++scope) {
        for (int64_t i = begins[static_cast<size_t>(scope)]; i < begins[static_cast<size_t>(scope) + 1]; ++i) {
          const bool counted = !mask || mask[i];
          EXPECT_EQ(grad_x[static_cast<size_t>(i * 21 + 20)],
                    counted ? exact[static_cast<size_t>(scope * 21 + 20)] : 0);
        }
      }
    }
  }
}

}  // namespace
}  // namespace dsmoe::kernels
