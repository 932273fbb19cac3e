// Two implementations of one model: the training half in evaluation mode and the engine, on the same weights.
//
// The tests run twice. As the halves are, both compute with kernels of src/kernels: each has its own operations there,
// but the choice of the top K, the vector bodies under them and the conversions of numbers are the same code, and a
// fault in those would be on both sides. In parity_composed_test (DSMOE_COMPOSED=1) the training half computes with
// LibTorch's operations alone; then the two share the configuration, with the rules that it states (which gates are
// divided by their sum and scaled), and no arithmetic. Where they agree, both follow the paper or both err alike; the
// gates' golden vectors (src/moe, src/engine) settle which. Weights have deviation 1/sqrt(D), so that a wrong gate
// shows.
#include <gtest/gtest.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>

#include "engine/engine.h"
#include "engine/reference.h"
#include "engine/testing.h"
#include "model/transformer.h"

namespace dsmoe {
namespace {

using engine::testing::NamedConfig;

/// A pick that is nearly a tie may fall either way; what comes after it in the sequence sees it through attention.
constexpr double kNearTie = 1e-5;

class Parity : public ::testing::TestWithParam<NamedConfig> {
 protected:
  static void TearDownTestSuite() { EXPECT_LE(near_ties * 1000, tokens) << "at most 0.1 % of tokens may be near ties"; }
  static inline int64_t near_ties = 0, tokens = 0;
};
INSTANTIATE_TEST_SUITE_P(Odd, Parity, ::testing::ValuesIn(engine::testing::odd_configs()),
                         engine::testing::config_label);

void fill(const model::Transformer& transformer, const engine::FloatTensors& tensors) {
  const torch::NoGradGuard no_grad;
  ASSERT_EQ(transformer.tensors().size(), tensors.size());
  for (const model::NamedTensor& named : transformer.tensors()) {
    const engine::FloatTensor& from = tensors.at(named.spec.name);
    ASSERT_EQ(named.spec.shape, from.shape) << named.spec.name;
    const auto view = torch::from_blob(const_cast<float*>(from.values.data()), from.shape, torch::kFloat32);
    torch::Tensor target = named.value;  // a handle: the copy goes to the model's own memory
    target.copy_(view);
  }
}

torch::Tensor as_tensor(const std::vector<int32_t>& ids) {
  torch::Tensor ids_BS = torch::empty({1, static_cast<int64_t>(ids.size())}, torch::kInt64);
  std::copy(ids.begin(), ids.end(), ids_BS.data_ptr<int64_t>());
  return ids_BS;
}

TEST_P(Parity, LogitsAgree) {
  const spec::ModelConfig& config = GetParam().config;
  model::Transformer transformer(config, {}, {});
  for (const uint64_t seed : {11, 12, 13}) {
    const engine::FloatTensors tensors = engine::testing::random_tensors(config, seed);
    fill(transformer, tensors);
    engine::Engine engine(engine::Weights::from_tensors(config, tensors));
    const std::vector<int32_t> ids = engine::testing::random_ids(config, 33, seed);
    const auto margins = engine::reference_forward(engine.weights(), ids).margins_T;
    engine::Session session(engine);
    const auto got = session.append_all(ids);
    const torch::Tensor want_TV = transformer.logits(as_tensor(ids))[0].contiguous();
    const float* want = want_TV.data_ptr<float>();

    const auto tie = std::find_if(margins.begin(), margins.end(), [](double m) { return m < kNearTie; });
    const auto until = static_cast<size_t>(tie - margins.begin());
    near_ties += std::count_if(margins.begin(), margins.end(), [](double m) { return m < kNearTie; });
    tokens += static_cast<int64_t>(margins.size());
    const double largest = want_TV.abs().max().item<double>();
    // Both are float32 passes of the same depth, so each is within the engine's bound of the definition.
    const double allowed = 2 * engine::testing::engine_bound(config, static_cast<int64_t>(ids.size())) * largest;
    ASSERT_LT(allowed, 0.1 * largest) << "a bound this wide would not see a wrong gate";
    const auto V = static_cast<size_t>(config.vocab_size);
    for (size_t i = 0; i < until * V; ++i) {
      ASSERT_LE(std::abs(got[i] - want[i]), allowed) << "seed " << seed << ", token " << i / V << ", entry " << i % V;
    }
  }
}

TEST_P(Parity, GreedyTextIsEqual) {
  const spec::ModelConfig& config = GetParam().config;
  const engine::FloatTensors tensors = engine::testing::random_tensors(config, 21);
  model::Transformer transformer(config, {}, {});
  fill(transformer, tensors);
  engine::Engine engine(engine::Weights::from_tensors(config, tensors));
  engine::Session session(engine);
  std::vector<int32_t> ids = engine::testing::random_ids(config, 5, 21);
  std::vector<float> last;
  {
    const auto logits = session.append(ids);
    last.assign(logits.begin(), logits.end());
  }
  for (int step = 0; step < 24; ++step) {
    const auto best = static_cast<int32_t>(std::max_element(last.begin(), last.end()) - last.begin());
    ASSERT_EQ(best, transformer.logits(as_tensor(ids))[0][-1].argmax().item<int64_t>()) << "step " << step;
    ids.push_back(best);
    const auto logits = session.append(std::span(&best, 1));
    last.assign(logits.begin(), logits.end());
  }
}

/// The bound is only worth something if it sees mistakes: a changed gate rule must break it.
TEST(ParityBound, SeesAWrongGate) {
  spec::ModelConfig config = engine::testing::small_config();
  const engine::FloatTensors tensors = engine::testing::random_tensors(config, 31);
  const std::vector<int32_t> ids = engine::testing::random_ids(config, 33, 31);
  engine::Engine right(engine::Weights::from_tensors(config, tensors));
  config.norm_topk_prob = true;
  model::Transformer wrong(config, {}, {});
  fill(wrong, tensors);
  engine::Session session(right);
  const auto got = session.append_all(ids);
  const torch::Tensor want_TV = wrong.logits(as_tensor(ids))[0].contiguous();
  const double largest = want_TV.abs().max().item<double>();
  const auto view = torch::from_blob(const_cast<float*>(got.data()), want_TV.sizes(), torch::kFloat32);
  EXPECT_GT((view - want_TV).abs().max().item<double>(),
            10 * 2 * engine::testing::engine_bound(config, static_cast<int64_t>(ids.size())) * largest);
}

}  // namespace
}  // namespace dsmoe
