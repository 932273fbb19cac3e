// Cross entropy of the head against its reference, on every instruction set; ignored targets; its order of sums.
#include "kernels/train_loss.h"

#include <algorithm>

#include "kernels/train_testing.h"

namespace dsmoe::kernels {
namespace {

using namespace testing;  // NOLINT

struct Shape {
  int64_t tokens, width, vocabulary;
};

struct Trial {
  Trial(Number t, const Shape& s) : type(t) {
    base::Rng rng(4);
    x = numbers(t, normal_values(rng, s.tokens * s.width));
    const auto head = numbers(t, normal_values(rng, s.vocabulary * s.width, 1 / std::sqrt(double(s.width))));
    for (int64_t i = 0; i < s.tokens; ++i) {
      targets.push_back(i % 7 == 3 ? -100 : static_cast<int64_t>(rng.below(static_cast<uint64_t>(s.vocabulary))));
    }
    forward = rubbish(t, packed_numbers(s.width, s.vocabulary));
    backward = rubbish(t, packed_numbers(s.vocabulary, s.width));
    pack_right(t, {head.data(), s.width, nullptr}, Along::kOutput, s.width, s.vocabulary, t, forward.data());
    pack_right(t, {head.data(), s.width, nullptr}, Along::kDepth, s.vocabulary, s.width, t, backward.data());
    grad_x = rubbish(t, s.tokens * s.width);
    logits = rubbish(t, head_loss_rows(s.tokens) * s.vocabulary);
    losses.assign(static_cast<size_t>(s.tokens), 77);
    grad_head.assign(static_cast<size_t>(s.vocabulary * s.width), 77);
    loss = {t,
            s.tokens,
            s.width,
            s.vocabulary,
            x.data(),
            targets.data(),
            in_parts(forward, s.width, s.vocabulary),
            in_parts(backward, s.vocabulary, s.width),
            0.3f,
            losses.data(),
            grad_x.data(),
            grad_head.data(),
            logits.data()};
  }
  /// Three panels at a time.
  HeadParts in_parts(const std::vector<uint8_t>& packed, int64_t k, int64_t n) const {
    return [this, &packed, k, n](const std::function<void(const HeadPart&)>& work) {
      constexpr int64_t kTogether = 3 * kPanel;
      for (int64_t first = 0; first < n; first += kTogether) {
        work({first, std::min(kTogether, n - first), packed.data() + packed_numbers(k, first) * number_bytes(type)});
      }
    };
  }
  Trial& run(const base::ParallelFor& parallel_for) {
    head_loss(parallel_for, loss);
    return *this;
  }
  Number type;
  std::vector<uint8_t> x, forward, backward, grad_x, logits;
  std::vector<int64_t> targets;
  std::vector<float> losses, grad_head;
  HeadLoss loss;
};

class TrainLossTest : public EveryIsa {};
DSMOE_ON_EVERY_ISA(TrainLossTest);

// Logits have deviation 1 and err by dot_bound(D) times some |x| |w| < 2 sqrt(D); sums over V and T add their own
// bounds, exponential and logarithm some 16 roundings. bf16 rounds logits, of a size around 1, to 2^-9 of themselves,
// and gradients and results once more.
TEST_P(TrainLossTest, MatchesItsDefinition) {
  for (const Number type : {Number::kF32, Number::kBf16}) {
    for (const Shape& s : {Shape{1, 1, 1}, Shape{5, 3, 2}, Shape{10, 16, 15}, Shape{33, 20, 100}, Shape{1100, 7, 33}}) {
      Trial fast(type, s), exact(type, s);
      fast.run(base::serial_for);
      head_loss_ref(base::serial_for, exact.loss);
      const double logits = dot_bound(s.width) * 2 * std::sqrt(static_cast<double>(s.width));
      double bound = 2 * (logits + dot_bound(s.vocabulary) + dot_bound(s.tokens) + 16 * kRound);
      if (type == Number::kBf16) bound += 4 * 0x1p-9;
      const std::string what = std::to_string(s.tokens) + " tokens, " + std::to_string(s.vocabulary) + type_label(type);
      if (s.vocabulary == 1) {  // nothing to choose from
        EXPECT_EQ(fast.losses, std::vector<float>(1));
        EXPECT_EQ(norm(fast.grad_head), 0);
        continue;
      }
      expect_near(fast.losses, exact.losses, bound, "losses of " + what);
      expect_near(floats(type, fast.grad_x), floats(type, exact.grad_x), bound, "grad_x of " + what);
      expect_near(fast.grad_head, exact.grad_head, bound, "grad_head of " + what);
    }
  }
}

TEST_P(TrainLossTest, LossesAloneAreTheSame) {
  Trial with(Number::kBf16, {30, 8, 50}), without(Number::kBf16, {30, 8, 50});
  without.loss.grad_x = nullptr, without.loss.grad_head = nullptr, without.loss.head_backward = nullptr;
  EXPECT_EQ(with.run(base::serial_for).losses, without.run(base::serial_for).losses);
}

TEST_P(TrainLossTest, IgnoredTargetsHaveNeitherLossNorGradient) {
  Trial trial(Number::kF32, {20, 8, 12});
  trial.run(base::serial_for);
  const auto grad = floats(trial.type, trial.grad_x);
  EXPECT_EQ(trial.losses[3], 0);
  EXPECT_EQ(norm({grad.begin() + 24, grad.begin() + 32}), 0);
  EXPECT_NE(norm({grad.begin() + 32, grad.begin() + 40}), 0);
  std::fill(trial.targets.begin(), trial.targets.end(), -100);
  trial.run(base::serial_for);
  EXPECT_EQ(norm(trial.losses) + norm(trial.grad_head) + norm(floats(trial.type, trial.grad_x)), 0);
}

TEST_P(TrainLossTest, HugeLogitsStayFinite) {
  Trial trial(Number::kF32, {9, 8, 40});
  for (int64_t i = 0; i < 72; ++i) reinterpret_cast<float*>(trial.x.data())[i] *= 1e5F;
  trial.run(base::serial_for);
  for (const float loss : trial.losses) EXPECT_TRUE(std::isfinite(loss) && loss >= 0);
  for (const float g : trial.grad_head) EXPECT_TRUE(std::isfinite(g));
}

TEST_P(TrainLossTest, BitsDependOnNeitherThreadsNorRuns) {
  base::ThreadPool two(2), three(3);
  Trial one(Number::kBf16, {1500, 20, 70});
  one.run(base::serial_for);
  for (base::ThreadPool* pool : {&two, &three, &three}) {
    Trial other(Number::kBf16, {1500, 20, 70});
    other.run(pool->parallel_for());
    EXPECT_EQ(one.losses, other.losses);
    EXPECT_EQ(one.grad_x, other.grad_x);
    EXPECT_EQ(one.grad_head, other.grad_head);
  }
}

}  // namespace
}  // namespace dsmoe::kernels
