// Attention of the training step against its reference, on every instruction set, over odd shapes; its order of sums.
#include "kernels/train_attention.h"

#include <algorithm>
#include <vector>

#include "kernels/rows.h"
#include "kernels/train_testing.h"

namespace dsmoe::kernels {
namespace {

using namespace testing;  // NOLINT

struct Shape {
  std::vector<int64_t> lengths;
  int64_t heads, kv_heads, head_size;
  int64_t longest() const { return *std::max_element(lengths.begin(), lengths.end()); }
  std::string text() const {
    std::string text;
    for (const int64_t length : lengths) text += std::to_string(length) + " ";
    return text + "heads " + std::to_string(heads) + "/" + std::to_string(kv_heads) + " of " +
           std::to_string(head_size);
  }
};
// One position; less than a block; the block's border from both sides; several blocks; few problems, cut into pieces;
// sequences of unequal length.
const Shape kShapes[] = {{{1}, 1, 1, 2},           {{5, 5}, 4, 2, 6},
                         {{63}, 2, 1, 16},         {{64, 64, 64}, 3, 3, 32},
                         {{65}, 6, 2, 10},         {std::vector<int64_t>(9, 70), 1, 1, 16},
                         {{200}, 4, 2, 64},        {{130, 130}, 5, 5, 128},
                         {{3, 200, 64}, 2, 1, 16}, {{130, 2, 2, 65, 40, 7}, 4, 2, 16}};

/// One layer's attention with all it reads and writes; outputs begin as rubbish.
struct Trial {
  Trial(Number t, const Shape& s) : type(t), table(s.head_size, 10000, s.longest()), begins{0} {
    for (const int64_t length : s.lengths) begins.push_back(begins.back() + length);
    base::Rng rng(5);
    a.type = t;
    a.begins = begins, a.heads = s.heads, a.kv_heads = s.kv_heads, a.head_size = s.head_size;
    a.cosines = table.cosines(0).data(), a.sines = table.sines(0).data();
    const int64_t tokens = begins.back();
    qkv = numbers(t, normal_values(rng, tokens * a.width()));
    grad_out = numbers(t, normal_values(rng, tokens * s.heads * s.head_size));
    out = rubbish(t, tokens * s.heads * s.head_size);
    grad_qkv = rubbish(t, tokens * a.width());
    log_sum.assign(static_cast<size_t>(tokens * s.heads), 77);
    a.qkv = qkv.data(), a.out = out.data(), a.log_sum = log_sum.data();
  }
  Trial& run(const base::ParallelFor& parallel_for) {
    attention_forward(parallel_for, a);
    attention_backward(parallel_for, a, grad_out.data(), grad_qkv.data());
    return *this;
  }
  Trial& run_ref() {
    attention_forward_ref(base::serial_for, a);
    attention_backward_ref(base::serial_for, a, grad_out.data(), grad_qkv.data());
    return *this;
  }
  Number type;
  RopeTable table;
  std::vector<int64_t> begins;
  TrainAttention a;
  std::vector<uint8_t> qkv, grad_out, out, grad_qkv;
  std::vector<float> log_sum;
};

class TrainAttentionTest : public EveryIsa {};
DSMOE_ON_EVERY_ISA(TrainAttentionTest);

// With inputs of deviation 1, scores have deviation 1 and stay below 6 in size; |q| |k| / sqrt(A) is below 2 sqrt(A).
//
// float32: a score errs by at most dot_bound(A) times that, plus a rounding each of q, k and their angles; the
// exponential has 6 roundings more; every product after it adds its own dot bound over S or A. What a difference
// dP - delta loses is relative to |dP|, which is sqrt(A) large as |dS| / P is.
double float_bound(const Shape& s) {
  const double score = (dot_bound(s.head_size) + 4 * kRound) * 2 * std::sqrt(static_cast<double>(s.head_size));
  return 4 * (score + 8 * kRound + dot_bound(s.longest()));
}
// bf16 rounds q, k, P, dS and results to 2^-9, each of them independently; a score of size 1 then errs by about 2^-9
// and makes P err likewise. Against random gradients all this adds up as squares do: below 4 * 2^-9 of the norm. Rows
// of one or two keys, whose dS is a difference of near equals, count double.
constexpr double kBf16Bound = 8 * 0x1p-9;

TEST_P(TrainAttentionTest, MatchesItsDefinition) {
  for (const Number type : {Number::kF32, Number::kBf16}) {
    for (const Shape& shape : kShapes) {
      Trial fast(type, shape), exact(type, shape);
      fast.run(base::serial_for);
      exact.run_ref();
      const double bound = type == Number::kF32 ? float_bound(shape) : kBf16Bound;
      const std::string what = shape.text() + type_label(type);
      expect_near(floats(type, fast.out), floats(type, exact.out), bound, "out of " + what);
      expect_near(fast.log_sum, exact.log_sum, bound, "log_sum of " + what);
      // With one key to see, dS is zero and dQ, dK are what rounding leaves of it.
      if (shape.longest() == 1) continue;
      expect_near(floats(type, fast.grad_qkv), floats(type, exact.grad_qkv), bound, "gradients of " + what);
    }
  }
}

TEST_P(TrainAttentionTest, HugeScoresStayFinite) {
  Trial trial(Number::kF32, {{70}, 2, 1, 4});
  auto* values = reinterpret_cast<float*>(trial.qkv.data());
  for (int64_t i = 0; i < 70 * trial.a.width(); ++i) values[i] *= i % 7 == 0 ? 1e4F : 1.0F;
  trial.run(base::serial_for);
  for (const float x : floats(trial.type, trial.out)) ASSERT_TRUE(std::isfinite(x));
  for (const float x : floats(trial.type, trial.grad_qkv)) ASSERT_TRUE(std::isfinite(x));
}

TEST_P(TrainAttentionTest, BitsDependOnNeitherThreadsNorRuns) {
  base::ThreadPool two(2), three(3);
  for (const Number type : {Number::kF32, Number::kBf16}) {
    for (const Shape& shape :
         {Shape{{150, 150, 150}, 4, 2, 16}, Shape{{300}, 2, 1, 16}, Shape{{3, 200, 64}, 2, 1, 16}}) {
      Trial one(type, shape);
      one.run(base::serial_for);
      for (base::ThreadPool* pool : {&two, &three, &three}) {
        Trial other(type, shape);
        other.run(pool->parallel_for());
        EXPECT_EQ(one.out, other.out) << shape.text();
        EXPECT_EQ(one.grad_qkv, other.grad_qkv) << shape.text();
        EXPECT_EQ(one.log_sum, other.log_sum) << shape.text();
      }
    }
  }
}

TEST_P(TrainAttentionTest, LaterPositionsChangeNoBit) {
  Trial whole(Number::kBf16, {{190}, 2, 2, 16}), cut(Number::kBf16, {{190}, 2, 2, 16});
  const size_t seen = 101 * static_cast<size_t>(whole.a.width()) * 2;
  std::fill(cut.qkv.begin() + static_cast<int64_t>(seen), cut.qkv.end(), uint8_t{0x41});
  attention_forward(base::serial_for, whole.a);
  attention_forward(base::serial_for, cut.a);
  const size_t bytes = 101 * 2 * 16 * 2;
  EXPECT_TRUE(std::equal(whole.out.begin(), whole.out.begin() + static_cast<int64_t>(bytes), cut.out.begin()));
  EXPECT_NE(whole.out, cut.out);
}

// A sequence among others: outputs and sums of exponentials to the bit; gradients within their bound, since keys' and
// values' are summed in other pieces.
TEST_P(TrainAttentionTest, ASequenceIsAsItWouldBeAlone) {
  for (const Number type : {Number::kF32, Number::kBf16}) {
    const Shape shape{{3, 200, 64, 65}, 2, 1, 16};
    Trial packed(type, shape);
    packed.run(base::serial_for);
    for (size_t b = 0; b < shape.lengths.size(); ++b) {
      const int64_t first = packed.begins[b], length = shape.lengths[b];
      Trial alone(type, {{length}, 2, 1, 16});
      const auto rows = [&](const std::vector<uint8_t>& bytes, int64_t width) {
        const auto size = bytes.begin() + first * width * number_bytes(type);
        return std::vector<uint8_t>(size, size + length * width * number_bytes(type));
      };
      alone.qkv = rows(packed.qkv, alone.a.width()), alone.grad_out = rows(packed.grad_out, 2 * 16);
      alone.a.qkv = alone.qkv.data();
      alone.run(base::serial_for);
      EXPECT_EQ(rows(packed.out, 2 * 16), alone.out) << b;
      EXPECT_TRUE(std::equal(alone.log_sum.begin(), alone.log_sum.end(), packed.log_sum.begin() + first * 2)) << b;
      const double bound = type == Number::kF32 ? float_bound(shape) : kBf16Bound;
      expect_near(floats(type, rows(packed.grad_qkv, alone.a.width())), floats(type, alone.grad_qkv), bound,
                  "gradients");
    }
  }
}

}  // namespace
}  // namespace dsmoe::kernels
