// Norm, rotary positions, attention, cross entropy and recomputation: each against its definition, with gradients.
#include <gtest/gtest.h>

#include <cmath>

#include "kernels/train_loss.h"
#include "model/attention.h"
#include "model/cross_entropy.h"
#include "model/recompute.h"
#include "model/rms_norm.h"
#include "moe/composed.h"
#include "moe/rows.h"
#include "moe/testing.h"
#include "spec/counts.h"

namespace dsmoe::model {
namespace {

using namespace moe::testing;  // NOLINT

/// |a - b| / |b| as vectors.
double distance(const Tensor& a, const Tensor& b) {
  return (a.to(torch::kFloat64) - b).norm().item<double>() / b.norm().item<double>();
}

using TypedFunction = std::function<Tensor(const std::vector<Tensor>&, torch::ScalarType)>;

/// Without AVX-512, LibTorch's own bf16 products round every partial sum to bf16, so that their errors grow with the
/// number of terms and the bounds below do not hold.
bool sums_in_bf16(torch::ScalarType type) {
  return type == torch::kBFloat16 && moe::composed(torch::zeros({1})) && !__builtin_cpu_supports("avx512bw");
}

/// The kernel's values and gradients against the composed expression's in float64, on inputs that the type holds.
void expect_near_float64(const TypedFunction& f, torch::ScalarType type, std::vector<Tensor> inputs, double bound) {
  if (sums_in_bf16(type)) GTEST_SKIP() << "LibTorch sums in bf16 on this processor";
  for (Tensor& input : inputs) input = input.to(type).to(torch::kFloat64);
  const auto at = [&](torch::ScalarType t) { return [&f, t](const std::vector<Tensor>& in) { return f(in, t); }; };
  EXPECT_LT(distance(at(type)(inputs), at(torch::kFloat64)(inputs)), bound);
  const auto fast = gradients_of(at(type), inputs), exact = gradients_of(at(torch::kFloat64), inputs);
  for (size_t i = 0; i < fast.size(); ++i) EXPECT_LT(distance(fast[i], exact[i]), bound) << "input " << i;
}

// Bounds of kernels/train_*_test.cpp for these sizes: sums of some hundred terms in float32; in bf16 a rounding of 2^-9
// each of the gradient that comes in, of what is made in between and of results.
constexpr double kFloatBound = 1e-5, kBf16Bound = 5 * 0x1p-9;

TEST(RowPieces, CoverEveryRowOnce) {
  for (const int64_t rows : {0, 1, 7, 100}) {
    std::vector<int> met(static_cast<size_t>(rows), 0);
    moe::for_row_pieces(torch::empty({1}), rows, 3, [&](int64_t piece, int64_t begin, int64_t end) {
      EXPECT_EQ(begin, piece * 3);
      for (int64_t r = begin; r < end; ++r) ++met[static_cast<size_t>(r)];
    });
    EXPECT_EQ(met, std::vector<int>(static_cast<size_t>(rows), 1));
  }
}

TEST(RmsNorm, IsItsDefinition) {
  const auto norm = [](const std::vector<Tensor>& in, torch::ScalarType type) {
    return rms_norm(in[0].to(type), in[1].to(type), 1e-6);
  };
  const auto in_double = [&](const std::vector<Tensor>& in) { return norm(in, torch::kFloat64); };
  expect_gradients(in_double, {random_tensor({3, 5}, 1), random_tensor({5}, 2)});
  for (const auto& sizes : {std::vector<int64_t>{2, 70, 33}, std::vector<int64_t>{500, 16}}) {
    const std::vector<Tensor> inputs{random_tensor(sizes, 3), random_tensor({sizes.back()}, 4)};
    expect_near_float64(norm, torch::kFloat32, inputs, kFloatBound);
    expect_near_float64(norm, torch::kBFloat16, inputs, kBf16Bound);
  }
}

TEST(RmsNorm, BranchAddsBothGradients) {
  const auto branched = [](const std::vector<Tensor>& in, torch::ScalarType type) {
    const NormedBranch branch = rms_norm_branch(in[0].to(type), in[1].to(type), 1e-6);
    return torch::cat({branch.x * 2, branch.normed}, 1);
  };
  const std::vector<Tensor> inputs{random_tensor({90, 33}, 3), random_tensor({33}, 4)};
  expect_near_float64(branched, torch::kFloat32, inputs, kFloatBound);
  expect_near_float64(branched, torch::kBFloat16, inputs, kBf16Bound);
}

TEST(RmsNorm, CastsBackBeforeTheWeight) {
  const Tensor x = random_tensor({40, 16}, 1).to(torch::kBFloat16), w = random_tensor({16}, 2).to(torch::kBFloat16);
  const Tensor wide = x.to(torch::kFloat32);
  const Tensor normed = (wide * torch::rsqrt(wide.square().mean(1, true) + 1e-6)).to(torch::kBFloat16);
  EXPECT_TRUE(rms_norm(x, w, 1e-6).equal(normed * w));
}

TEST(RmsNorm, OfZerosIsZero) {
  EXPECT_EQ(largest(rms_norm(torch::zeros({2, 4}, torch::kFloat64), torch::ones({4}, torch::kFloat64), 1e-6)), 0);
}

TEST(Rotate, TurnsPairsByPositionTimesFrequency) {
  const RotaryTable table = rotary_table(9, 4, 100.0, torch::kFloat64);
  const Tensor x = random_tensor({2, 9, 3, 4}, 1), y = rotate(x, table);
  for (int64_t s = 0; s < 9; ++s) {
    for (int64_t i = 0; i < 2; ++i) {
      const double angle = static_cast<double>(s) * std::pow(100.0, -2.0 * static_cast<double>(i) / 4);
      const Tensor low = x.select(1, s).select(2, i), high = x.select(1, s).select(2, i + 2);
      EXPECT_LT(largest_difference(y.select(1, s).select(2, i), low * std::cos(angle) - high * std::sin(angle)), 1e-14);
      EXPECT_LT(largest_difference(y.select(1, s).select(2, i + 2), high * std::cos(angle) + low * std::sin(angle)),
                1e-14);
    }
  }
}

TEST(Rotate, ScoresDependOnDistanceOnly) {
  const RotaryTable table = rotary_table(20, 8, 10000.0, torch::kFloat64);
  const Tensor q = random_tensor({1, 1, 1, 8}, 1).expand({1, 20, 1, 8}),
               k = random_tensor({1, 1, 1, 8}, 2).expand({1, 20, 1, 8});
  const Tensor scores = rotate(q, table).view({20, 8}).matmul(rotate(k, table).view({20, 8}).t());
  for (int64_t i = 3; i < 20; ++i) EXPECT_NEAR(scores[i][i - 3].item<double>(), scores[3][0].item<double>(), 1e-13);
}

class CausalAttention : public ::testing::TestWithParam<AttentionShape> {
 protected:
  Tensor input() const {
    const AttentionShape& s = GetParam();
    return random_tensor({s.sequences.tokens(), s.width()}, 1);
  }
  TypedFunction run() const {
    return [this](const std::vector<Tensor>& in, torch::ScalarType type) {
      const RotaryTable rotary = rotary_table(GetParam().sequences.longest() + 3, GetParam().head_size, 10000.0, type);
      return causal_attention(in[0].to(type), rotary, GetParam());
    };
  }
};

TEST_P(CausalAttention, GradientsByCentralDifferences) {
  const auto in_double = [&](const std::vector<Tensor>& in) { return run()(in, torch::kFloat64); };
  if (GetParam().sequences.longest() <= 8) expect_gradients(in_double, {input()});
}

// bf16 adds the roundings of probabilities, of their gradients and of angles to those of every operation here.
TEST_P(CausalAttention, IsItsDefinition) {
  if (GetParam().sequences.longest() ==
      1) {  // gradients of queries and keys are zero, and their rounding is no share of that
    EXPECT_LT(distance(run()({input()}, torch::kFloat32), run()({input()}, torch::kFloat64)), kFloatBound);
    return;
  }
  expect_near_float64(run(), torch::kFloat32, {input()}, kFloatBound);
  expect_near_float64(run(), torch::kBFloat16, {input()}, 2 * kBf16Bound);
}

// Neither ahead nor into another sequence: whatever those hold, each has the bits that it has alone.
TEST_P(CausalAttention, SeesThePastOfItsOwnSequenceOnly) {
  const AttentionShape& s = GetParam();
  const Tensor x = input();
  for (const auto type : {torch::kFloat32, torch::kBFloat16}) {
    const Tensor y = run()({x}, type);
    for (int64_t b = 0; b < s.sequences.count(); ++b) {
      const int64_t first = s.sequences.begins()[static_cast<size_t>(b)], length = s.sequences.length(b);
      const int64_t seen = length / 2 + 1;
      Tensor alone = x.narrow(0, first, length).clone();
      alone.narrow(0, seen, length - seen).fill_(1e3);
      const AttentionShape one{moe::Sequences::equal(1, length), s.heads, s.kv_heads, s.head_size};
      const Tensor z =
          causal_attention(alone.to(type), rotary_table(length, s.head_size, 10000.0, type), one).narrow(0, 0, seen);
      EXPECT_TRUE(y.narrow(0, first, seen).equal(z)) << "sequence " << b;
    }
  }
}

AttentionShape shape_of(const std::vector<int64_t>& lengths, int64_t heads, int64_t kv_heads, int64_t head_size) {
  return {moe::Sequences::of_lengths(lengths), heads, kv_heads, head_size};
}
INSTANTIATE_TEST_SUITE_P(Shapes, CausalAttention,
                         ::testing::Values(shape_of({1}, 1, 1, 2), shape_of({5, 5}, 2, 2, 4), shape_of({7, 7}, 4, 2, 2),
                                           shape_of({6}, 6, 1, 2), shape_of({4, 1, 8}, 2, 1, 2),
                                           shape_of({128, 128}, 2, 1, 4), shape_of({129}, 2, 2, 4),
                                           shape_of({300, 300}, 3, 1, 6), shape_of({3, 200, 64, 65}, 2, 1, 4)),
                         [](const auto& info) {
                           const AttentionShape& s = info.param;
                           std::string name;
                           for (const int64_t length : s.sequences.lengths()) name += std::to_string(length) + "_";
                           return name + "heads_" + std::to_string(s.heads) + "_on_" + std::to_string(s.kv_heads) +
                                  "_of_" + std::to_string(s.head_size);
                         });

TEST(HeadCrossEntropy, IsItsDefinition) {
  for (const int64_t rows : {1, 7, 2500}) {  // more than two chunks
    Tensor targets = torch::arange(rows, torch::kInt64).remainder(11);
    if (rows > 1) targets.narrow(0, rows / 2, 2).fill_(kIgnore);
    const auto loss = [&](const std::vector<Tensor>& in, torch::ScalarType type) {
      return head_cross_entropy(in[0].to(type), graph_weight(in[1].to(type)), targets, 0.3).view({1});
    };
    const std::vector<Tensor> inputs{random_tensor({rows, 5}, 1), random_tensor({11, 5}, 2)};
    expect_near_float64(loss, torch::kFloat32, inputs, kFloatBound);
    // A logit l that is rounded to bf16 makes e^l wrong by up to |l| roundings; the gradient that it becomes and the
    // products of that are rounded too.
    const double logit = largest(inputs[0].matmul(inputs[1].t()));
    expect_near_float64(loss, torch::kBFloat16, inputs, (2 + logit) * 0x1p-9);
    const auto in_double = [&](const std::vector<Tensor>& in) { return loss(in, torch::kFloat64); };
    if (rows < 10) expect_gradients(in_double, inputs);
  }
}

TEST(HeadCrossEntropy, AsManyRowsOfLogitsAreAliveAsThePlanCounts) {
  EXPECT_EQ(kernels::head_loss_rows(int64_t{1} << 40), spec::kHeadRows);
}

TEST(HeadCrossEntropy, WithoutGraphIsTheSameNumber) {
  const Tensor x = random_tensor({9, 4}, 1).to(torch::kFloat32);
  const Tensor head = random_tensor({6, 4}, 2).to(torch::kFloat32).requires_grad_();
  const Tensor targets = torch::tensor({0L, 1L, 2L, 3L, 4L, 5L, long{kIgnore}, 0L, 1L}, torch::kInt64);
  const double with = head_cross_entropy(x, graph_weight(head), targets, 1).item<double>();
  const torch::NoGradGuard no_grad;
  EXPECT_DOUBLE_EQ(head_cross_entropy(x, graph_weight(head), targets, 1).item<double>(), with);
  const Tensor losses = token_losses(x, graph_weight(head), targets);
  EXPECT_EQ(losses[6].item<double>(), 0);
  EXPECT_NEAR(losses.sum().item<double>(), with, 1e-6 * with);
}

TEST(HeadCrossEntropy, AllIgnoredIsZeroWithoutGradient) {
  const auto loss = [](const std::vector<Tensor>& in) {
    return head_cross_entropy(in[0], graph_weight(in[1]), torch::full({3}, kIgnore, torch::kInt64), 1).view({1});
  };
  const std::vector<Tensor> inputs{random_tensor({3, 4}, 1).to(torch::kFloat32),
                                   random_tensor({6, 4}, 2).to(torch::kFloat32)};
  EXPECT_EQ(loss(inputs).item<double>(), 0);
  for (const Tensor& gradient : gradients_of(loss, inputs)) EXPECT_EQ(largest(gradient), 0);
}

TEST(HeadCrossEntropy, HugeLogitsStayFinite) {
  const Tensor x = torch::full({2, 1}, 1e4, torch::kFloat32), head = torch::tensor({1.f, -1.f}).view({2, 1});
  const Tensor losses = token_losses(x, graph_weight(head), torch::tensor({0, 1}, torch::kInt64));
  EXPECT_FLOAT_EQ(losses[0].item<float>(), 0);
  EXPECT_FLOAT_EQ(losses[1].item<float>(), 2e4F);
}

TEST(Recomputed, GivesTheSameValuesAndGradientsAndRunsTwice) {
  const Tensor w = random_tensor({4, 4}, 1).requires_grad_();
  int runs = 0;
  const auto body = [&](const Tensor& x) {
    ++runs;
    const Tensor h = torch::tanh(x.matmul(w));
    return std::vector<Tensor>{h * h, h.sum(), torch::ones({2})};
  };
  const auto total = [](const std::vector<Tensor>& out) { return out[0].sum() + out[1] * 3; };
  const Tensor x = random_tensor({3, 4}, 2).requires_grad_();
  total(body(x)).backward();
  const Tensor x_grad = x.grad().clone(), w_grad = w.grad().clone();
  x.mutable_grad() = Tensor();
  w.mutable_grad() = Tensor();
  runs = 0;
  const auto out = recomputed(x, body);
  EXPECT_EQ(runs, 1);
  total(out).backward();
  EXPECT_EQ(runs, 2);
  EXPECT_TRUE(x.grad().equal(x_grad));
  EXPECT_TRUE(w.grad().equal(w_grad));
}

}  // namespace
}  // namespace dsmoe::model
