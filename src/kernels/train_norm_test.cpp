// RMSNorm of the training step against its reference, on every instruction set, over odd widths.
#include "kernels/train_norm.h"

#include "kernels/train_testing.h"

namespace dsmoe::kernels {
namespace {

using namespace testing;  // NOLINT

struct Trial {
  Trial(Number t, int64_t rows, int64_t width) : type(t) {
    base::Rng rng(3);
    x = numbers(t, normal_values(rng, rows * width, 2));
    weight = numbers(t, normal_values(rng, width));
    grad_y = numbers(t, normal_values(rng, rows * width));
    add = numbers(t, normal_values(rng, rows * width));
    y = rubbish(t, rows * width);
    grad_x = rubbish(t, rows * width);
    inverse.assign(static_cast<size_t>(rows), 77);
    grad_weight.assign(static_cast<size_t>(width), 77);
    norm = {t, rows, width, 1e-6, x.data(), weight.data(), inverse.data()};
    grad = {grad_y.data(), add.data(), grad_x.data(), grad_weight.data()};
  }
  Trial& run(const base::ParallelFor& parallel_for) {
    train_norm(parallel_for, norm, y.data());
    train_norm_backward(parallel_for, norm, grad);
    return *this;
  }
  Trial& run_ref() {
    train_norm_ref(base::serial_for, norm, y.data());
    train_norm_backward_ref(base::serial_for, norm, grad);
    return *this;
  }
  Number type;
  std::vector<uint8_t> x, weight, grad_y, add, y, grad_x;
  std::vector<float> inverse, grad_weight;
  TrainNorm norm;
  TrainNormGrad grad;
};

class TrainNormTest : public EveryIsa {};
DSMOE_ON_EVERY_ISA(TrainNormTest);

// float32: the bound of a dot product over D for the mean square and the mean of products, over T for the weight's
// gradient, and a handful of roundings. bf16: one more rounding of 2^-9 for results; y has two.
TEST_P(TrainNormTest, MatchesItsDefinition) {
  for (const Number type : {Number::kF32, Number::kBf16}) {
    for (const auto& [rows, width] : {std::pair{1, 1}, std::pair{3, 5}, std::pair{64, 16}, std::pair{65, 33},
                                      std::pair{200, 100}, std::pair{7, 1000}}) {
      const std::string what = std::to_string(rows) + "x" + std::to_string(width) + type_label(type);
      for (const bool with_add : {true, false}) {
        Trial fast(type, rows, width), exact(type, rows, width);
        if (!with_add) fast.grad.add = exact.grad.add = nullptr;
        fast.run(base::serial_for);
        exact.run_ref();
        const double sums = dot_bound(width) + 8 * kRound, results = type == Number::kF32 ? 0 : 0x1p-9;
        // With one column, grad_x without `add` is a difference of equals.
        const double grad_bound = (width == 1 && !with_add ? 1e9 : 4) * sums + results;
        expect_near(floats(type, fast.y), floats(type, exact.y), sums + 2 * results, "y " + what);
        expect_near(floats(type, fast.grad_x), floats(type, exact.grad_x), grad_bound, "grad_x " + what);
        expect_near(fast.grad_weight, exact.grad_weight, sums + 64 * kRound + dot_bound(rows), "grad_weight " + what);
        expect_near(fast.inverse, exact.inverse, sums, "inverse " + what);
      }
    }
  }
}

TEST_P(TrainNormTest, BitsDependOnNeitherThreadsNorRuns) {
  base::ThreadPool two(2), three(3);
  Trial one(Number::kBf16, 300, 40);
  one.run(base::serial_for);
  for (base::ThreadPool* pool : {&two, &three, &three}) {
    Trial other(Number::kBf16, 300, 40);
    other.run(pool->parallel_for());
    EXPECT_EQ(one.y, other.y);
    EXPECT_EQ(one.grad_x, other.grad_x);
    EXPECT_EQ(one.grad_weight, other.grad_weight);
  }
}

}  // namespace
}  // namespace dsmoe::kernels
