// Adapters beside the engine's weights: the definition's logits and the merged model's, the same bits however computed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/test_files.h"
#include "engine/engine.h"
#include "engine/reference.h"
#include "engine/testing.h"
#include "formats/merge_adapters.h"
#include "spec/adapter.h"

namespace dsmoe::engine {
namespace {

using namespace testing;  // NOLINT

/// Of most matrices, with ranks of 1 to 3.
formats::Adapter random_adapter(const spec::ModelConfig& config, uint64_t seed) {
  base::Rng rng(seed);
  formats::Adapter adapter;
  spec::for_each_tensor(config, [&](const spec::TensorSpec& tensor) {
    if (!spec::takes_adapter(tensor) || rng.below(4) == 0) return;
    const auto rank = static_cast<int64_t>(1 + rng.below(3));
    formats::AdapterModule m{spec::module_of(tensor.name), rank, tensor.shape[1], tensor.shape[0], 0.7, {}, {}};
    const double size = 1 / std::sqrt(static_cast<double>(m.inputs));
    for (int64_t i = 0; i < rank * m.inputs; ++i) m.a.push_back(static_cast<float>(size * rng.normal()));
    for (int64_t i = 0; i < rank * m.outputs; ++i) m.b.push_back(static_cast<float>(0.5 * rng.normal()));
    adapter.modules.push_back(std::move(m));
  });
  return adapter;
}

class EveryAdaptedModel : public ::testing::TestWithParam<NamedConfig> {
 protected:
  EveryAdaptedModel() : one_(random_adapter(config(), 3)), two_(random_adapter(config(), 4)) {}
  const spec::ModelConfig& config() const { return GetParam().config; }
  std::vector<formats::ScaledAdapter> both() const { return {{&one_, 1}, {&two_, -0.5}}; }
  Weights unmerged() const {
    Weights weights = random_weights(config());
    weights.add_adapters(both());
    return weights;
  }
  Weights merged() const {
    FloatTensors tensors = random_tensors(config(), 1);
    spec::for_each_tensor(config(), [&](const spec::TensorSpec& tensor) {
      formats::add_adapters(both(), tensor, tensors.at(tensor.name).values, base::serial_for);
    });
    return Weights::from_tensors(config(), std::move(tensors));
  }
  // An adapter adds two products to the chain that engine_bound counts as one.
  double bound(size_t positions) const { return 3 * engine_bound(config(), static_cast<int64_t>(positions)); }

  formats::Adapter one_, two_;
};

std::vector<float> logits_of(Weights weights, const std::vector<int32_t>& ids, int threads = 2, int64_t chunk = 512) {
  Engine engine(std::move(weights), {.threads = threads, .chunk = chunk});
  Session session(engine);
  const auto logits = session.append_all(ids);
  return {logits.begin(), logits.end()};
}

INSTANTIATE_TEST_SUITE_P(Odd, EveryAdaptedModel,
                         ::testing::Values(odd_config("softmax_topk"), odd_config("dense_llama_grouped_heads"),
                                           odd_config("first_layers_dense"), odd_config("hash_two"),
                                           odd_config("odd_sizes")),
                         config_label);

TEST_P(EveryAdaptedModel, LogitsAreTheDefinitionsAndTheMergedModels) {
  const auto ids = random_ids(config(), 20, 6);
  const std::vector<float> got = logits_of(unmerged(), ids), merged_logits = logits_of(merged(), ids);
  const Reference want = reference_forward(unmerged(), ids);
  const std::vector<float> base_logits = logits_of(random_weights(config()), ids);
  ASSERT_GT(*std::ranges::min_element(want.margins_T), 1e-5) << "a near tie: take another seed";
  double largest = 0, from_definition = 0, from_merged = 0, from_base = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    largest = std::max(largest, std::abs(want.logits_TV[i]));
    from_definition = std::max(from_definition, std::abs(got[i] - want.logits_TV[i]));
    from_merged = std::max(from_merged, std::abs(double{got[i]} - merged_logits[i]));
    from_base = std::max(from_base, std::abs(double{got[i]} - base_logits[i]));
  }
  EXPECT_LE(from_definition, bound(ids.size()) * largest);
  EXPECT_LE(from_merged, 2 * bound(ids.size()) * largest);
  EXPECT_GT(from_base, 10 * bound(ids.size()) * largest) << "adapters that do nothing prove nothing";
}

TEST_P(EveryAdaptedModel, BitsDoNotDependOnThreadsOrPieces) {
  const auto ids = random_ids(config(), 33);
  const std::vector<float> want = logits_of(unmerged(), ids, 1);
  EXPECT_EQ(logits_of(unmerged(), ids, 3), want);
  EXPECT_EQ(logits_of(unmerged(), ids, 2, 7), want);
}

TEST(Adapters, ThatDoNotFitAreRefused) {
  formats::Adapter adapter = random_adapter(small_config(), 1);
  adapter.modules[0].module = "model.layers.7.self_attn.q_proj";
  Weights weights = random_weights(small_config());
  const formats::ScaledAdapter all{&adapter};
  EXPECT_THAT(base::message_of([&] { weights.add_adapters({&all, 1}); }), ::testing::HasSubstr("layers.7"));
}

}  // namespace
}  // namespace dsmoe::engine
