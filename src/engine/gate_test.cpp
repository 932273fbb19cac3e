// Gates: the paper's golden vectors, the reference on random logits, ties, and interventions.
#include "engine/gate.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "engine/engine.h"
#include "engine/reference.h"
#include "engine/testing.h"
#include "kernels/topk.h"

namespace dsmoe::engine {
namespace {

using spec::ModelConfig, spec::RouterType, spec::ScoringFunc, spec::TopkMethod;

struct Routed {
  std::vector<int32_t> ids;
  std::vector<float> weights, affinities;
  std::vector<std::vector<float>> outputs = {};
};

Routed route(const ModelConfig& config, std::vector<float> logits, std::span<const float> bias = {},
             const Intervention& intervention = {}) {
  const auto K = static_cast<size_t>(intervention.slots(config, 0));
  Routed routed{std::vector<int32_t>(K), std::vector<float>(K), std::move(logits)};
  Gate::Scratch scratch;
  Gate{config, 0, bias, {}}.route(0, routed.affinities, intervention, routed.ids, routed.weights, scratch);
  return routed;
}

// Paper section 1.4: six tokens, eight experts.
const std::vector<std::vector<float>> kLogits = {{0.942f, -1.397f, -0.680f, 0.371f, -1.016f, -0.072f, 0.179f, -0.831f},
                                                 {-1.309f, 0.194f, 0.993f, -0.647f, -0.334f, 1.646f, -0.559f, -0.514f},
                                                 {2.404f, -1.531f, 0.796f, -2.004f, -0.597f, 1.504f, 1.221f, -0.901f},
                                                 {-0.454f, 0.080f, -1.258f, 0.552f, 2.228f, -1.355f, -1.982f, 0.288f},
                                                 {-0.119f, 1.804f, -0.160f, -0.051f, -0.191f, -0.991f, 0.673f, -1.324f},
                                                 {1.166f, 0.008f, 0.504f, -0.553f, -0.920f, 1.800f, 0.469f, 1.207f}};

ModelConfig eight_experts() {
  ModelConfig config = testing::small_config();
  config.n_routed_experts = 8;
  return config;
}

using Ids = std::vector<std::vector<int32_t>>;
using Gates = std::vector<std::vector<double>>;
void expect_golden(const ModelConfig& config, const Ids& ids, const Gates& gates, std::span<const float> bias = {}) {
  for (size_t t = 0; t < kLogits.size(); ++t) {
    const Routed got = route(config, kLogits[t], bias);
    EXPECT_EQ(got.ids, ids[t]) << "token " << t;
    for (size_t k = 0; k < 2; ++k) EXPECT_NEAR(got.weights[k], gates[t][k], 1.1e-6) << "token " << t;
  }
}

const Ids kTopTwo = {{0, 3}, {5, 2}, {0, 5}, {4, 3}, {1, 6}, {5, 7}};
const Gates kRenormalised = {{.638994, .361006}, {.657686, .342314}, {.710950, .289050},
                             {.842374, .157626}, {.756023, .243977}, {.644053, .355947}};

TEST(GoldenGates, SoftmaxTopTwo) {
  expect_golden(eight_experts(), kTopTwo,
                {{.333458, .188390},
                 {.440282, .229159},
                 {.492277, .200145},
                 {.629235, .117743},
                 {.498365, .160828},
                 {.339149, .187437}});
}

TEST(GoldenGates, Renormalised) {
  ModelConfig config = eight_experts();
  config.norm_topk_prob = true;
  config.routed_scaling_factor = 16;  // DeepSeek-V2: normalise or scale, never both
  expect_golden(config, kTopTwo, kRenormalised);
  config.router_type = RouterType::kGshard;
  config.norm_topk_prob = false;
  expect_golden(config, kTopTwo, kRenormalised);
}

TEST(GoldenGates, DeepSeekV3WithBias) {
  ModelConfig config = eight_experts();
  config.scoring_func = ScoringFunc::kSigmoid;
  config.topk_method = TopkMethod::kNoauxTc;
  config.norm_topk_prob = true;
  const Ids ids = {{0, 7}, {2, 7}, {0, 6}, {4, 7}, {1, 6}, {7, 0}};
  Gates gates = {{.703370, .296630}, {.660980, .339020}, {.542884, .457116},
                 {.612339, .387661}, {.564591, .435409}, {.502397, .497603}};
  const std::vector<float> bias = {0, 0, 0, 0, 0, -.5f, 0, .3f};
  expect_golden(config, ids, gates, bias);
  config.routed_scaling_factor = 2.5;  // normalised, then scaled
  for (auto& pair : gates) pair = {2.5 * pair[0], 2.5 * pair[1]};
  for (size_t t = 0; t < kLogits.size(); ++t) {
    const Routed got = route(config, kLogits[t], bias);
    for (size_t k = 0; k < 2; ++k) EXPECT_NEAR(got.weights[k], gates[t][k], 2.6e-6);
  }
}

/// Interventions that any model with a router and K experts of E can do.
std::vector<Intervention> interventions(const ModelConfig& config) {
  std::vector<Intervention> all(6);
  const auto E = static_cast<int32_t>(config.n_routed_experts);
  all[1].experts_per_tok = 1;
  all[2].experts_per_tok = config.n_routed_experts;
  all[3].forced[0] = {E - 1, 0};
  all[4].masked_top_fraction = 1.0 / E;
  all[4].experts_per_tok = 1;
  all[5].masked[Intervention::kEveryLayer] = {0};
  all[5].masked[0] = {1};
  all[5].experts_per_tok = 1;
  return all;
}

class EveryRouter : public ::testing::TestWithParam<testing::NamedConfig> {};
std::vector<testing::NamedConfig> routers() {
  auto configs = testing::odd_configs();
  std::erase_if(configs, [](const auto& named) {
    return !named.config.is_moe() || !named.config.has_router_weight() || named.config.n_routed_experts < 3;
  });
  return configs;
}
INSTANTIATE_TEST_SUITE_P(Odd, EveryRouter, ::testing::ValuesIn(routers()), testing::config_label);

TEST_P(EveryRouter, PicksAndWeighsAsDefined) {
  const ModelConfig& config = GetParam().config;
  base::Rng rng(31);
  int compared = 0;
  for (int round = 0; round < 300; ++round) {
    std::vector<float> logits, bias;
    for (int64_t e = 0; e < config.n_routed_experts; ++e) {
      logits.push_back(static_cast<float>(1.5 * rng.normal()));
      if (config.has_router_bias()) bias.push_back(static_cast<float>(0.1 * rng.normal()));
    }
    for (const Intervention& intervention : interventions(config)) {
      double margin = 1;
      const auto want =
          reference_choice(config, std::vector<double>(logits.begin(), logits.end()), bias, 0, intervention, margin);
      const Routed got = route(config, logits, bias, intervention);
      if (margin < 1e-6) continue;
      ++compared;
      for (size_t k = 0; k < got.ids.size(); ++k) {
        ASSERT_EQ(got.ids[k], k < want.experts.size() ? want.experts[k] : -1) << "slot " << k;
        // An affinity carries the few dozen roundings of a softmax; a normalised gate the double of that.
        const double gate = k < want.gates.size() ? want.gates[k] : 0;
        ASSERT_NEAR(got.weights[k], gate, 100 * 0x1p-24 * std::abs(gate));
      }
    }
  }
  EXPECT_GT(compared, 1500);
}

TEST(GateTies, GoToTheLowerIndex) {
  for (const auto& [name, config] : routers()) {
    if (config.topk_method == TopkMethod::kNoauxTc) continue;
    const Routed got = route(config, std::vector<float>(static_cast<size_t>(config.n_routed_experts), 0.5f));
    for (size_t k = 0; k < got.ids.size(); ++k) EXPECT_EQ(got.ids[k], static_cast<int32_t>(k)) << name;
  }
}

// A bias of zeros changes no score, but the choice is then made step by step.
TEST(GateOfASoftmax, InOneGoIsStepByStepToTheBit) {
  int compared = 0;
  for (const auto& [name, config] : routers()) {
    if (config.scoring_func != ScoringFunc::kSoftmax) continue;
    const auto E = static_cast<size_t>(config.n_routed_experts);
    base::Rng rng(32);
    for (int round = 0; round < 100; ++round) {
      std::vector<float> logits(E);
      // Ties in every other row.
      for (float& x : logits) x = static_cast<float>(round % 2 ? 3 * rng.normal() : 0.5 * double(rng.below(4)));
      const Routed got = route(config, logits), want = route(config, logits, std::vector<float>(E));
      ASSERT_EQ(got.ids, want.ids) << name;
      ASSERT_EQ(got.weights, want.weights) << name;
      ASSERT_EQ(got.affinities, want.affinities) << name;
      ++compared;
    }
  }
  EXPECT_GE(compared, 100);
}

TEST(GateGroups, OnlyTheBestGroupsAreVisited) {
  ModelConfig config = eight_experts();
  config.topk_method = TopkMethod::kGroupLimitedGreedy;
  config.n_group = 4, config.topk_group = 1;
  // Group 2 holds the best expert, so the second best overall (in group 0) is out of reach.
  EXPECT_EQ(route(config, {4, 0, 0, 0, -3, 5, 0, 0}).ids, (std::vector<int32_t>{5, 4}));
  // By the sum of two, group 0 wins although the best single expert is in group 2.
  config.topk_method = TopkMethod::kNoauxTc;
  config.scoring_func = ScoringFunc::kSigmoid;
  EXPECT_EQ(route(config, {1, 1, 0, 0, -9, 3, 0, 0}, std::vector<float>(8)).ids, (std::vector<int32_t>{0, 1}));
}

std::string refusal(const ModelConfig& config, const Intervention& intervention) {
  try {
    intervention.validate(config);
  } catch (const base::Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(InterventionRules, ImpossibleOnesAreRefusedByName) {
  using ::testing::HasSubstr;
  ModelConfig config = testing::small_config();
  config.first_k_dense_replace = 1;
  const auto with = [](auto change) {
    Intervention intervention;
    change(intervention);
    return intervention;
  };
  EXPECT_EQ(refusal(config, {}), "no error");
  EXPECT_THAT(refusal(config, with([](auto& i) { i.masked[0] = {1}; })), HasSubstr("no such mixture layer: 0"));
  EXPECT_THAT(refusal(config, with([](auto& i) { i.masked[1] = {6}; })), HasSubstr("from 0 to 5: 6"));
  EXPECT_THAT(refusal(config, with([](auto& i) { i.forced[1] = {2, 2}; })), HasSubstr("named once"));
  EXPECT_THAT(refusal(config, with([](auto& i) { i.experts_per_tok = 7; })), HasSubstr("from 1 to 6: 7"));
  EXPECT_THAT(refusal(config, with([](auto& i) { i.masked_top_fraction = 1; })), HasSubstr("from 0 to below 1"));
  EXPECT_THAT(refusal(config, with([](auto& i) {
                        i.masked[1] = {0, 1, 2, 3, 4};
                      })),
              HasSubstr("5 of 6 masked, 2 visited"));
  EXPECT_THAT(refusal(config, with([](auto& i) { i.masked_top_fraction = 0.8; })), HasSubstr("5 of 6 masked"));
  EXPECT_EQ(refusal(config, with([](auto& i) { i.masked[1] = {0, 1, 2, 3}; })), "no error");
  config.router_type = RouterType::kHash;
  EXPECT_THAT(refusal(config, with([](auto& i) { i.experts_per_tok = 3; })), HasSubstr("from 1 to 2: 3"));
  EXPECT_THAT(refusal(config, with([](auto& i) { i.masked_top_fraction = 0.5; })), HasSubstr("no affinities"));
  EXPECT_THAT(
      refusal(testing::odd_config("dense_llama_grouped_heads").config, with([](auto& i) { i.drop_shared = true; })),
      HasSubstr("a dense model has no experts"));
}

/// Records everything; checks what must hold of any routing.
struct Recorder : RoutingProbe {
  void on_routing(int64_t layer, const RoutingView& view) override {
    auto& rows = routings[layer];
    const auto K = static_cast<size_t>(view.slots), E = static_cast<size_t>(view.experts);
    EXPECT_EQ(view.ids_TK.size(), view.tokens.size() * K);
    EXPECT_EQ(view.weights_TK.size(), view.ids_TK.size());
    EXPECT_EQ(static_cast<size_t>(view.first_position), rows.size()) << "pieces come in order";
    for (size_t t = 0; t < view.tokens.size(); ++t) {
      Routed routed;
      for (size_t k = 0; k < K; ++k) {
        if (view.ids_TK[t * K + k] < 0) continue;
        routed.ids.push_back(view.ids_TK[t * K + k]);
        routed.weights.push_back(view.weights_TK[t * K + k]);
      }
      if (!view.affinities_TE.empty()) {
        const auto row = view.affinities_TE.subspan(t * E, E);
        routed.affinities.assign(row.begin(), row.end());
      }
      rows.push_back(std::move(routed));
    }
  }
  void on_expert_outputs(int64_t layer, const RoutingView& view, const ExpertOutputsView& outputs) override {
    auto& rows = routings[layer];
    const auto K = static_cast<size_t>(view.slots);
    ASSERT_EQ(static_cast<size_t>(view.first_position) + view.tokens.size(), rows.size()) << "after its routing";
    for (size_t slot = 0; slot < view.ids_TK.size(); ++slot) {
      EXPECT_EQ(view.ids_TK[slot] < 0, outputs.place_TK[slot] < 0);
      if (view.ids_TK[slot] < 0) continue;
      const auto output = outputs.output(slot);
      rows[static_cast<size_t>(view.first_position) + slot / K].outputs.emplace_back(output.begin(), output.end());
    }
  }
  std::map<int64_t, std::vector<Routed>> routings;
};

void expect_outputs(const Routed& got, const Reference::Choice& want, double bound, const std::string& name) {
  ASSERT_EQ(got.outputs.size(), want.outputs.size()) << name;
  for (size_t k = 0; k < got.outputs.size(); ++k) {
    ASSERT_EQ(got.outputs[k].size(), want.outputs[k].size()) << name;
    double largest = 0, worst = 0;
    for (size_t d = 0; d < want.outputs[k].size(); ++d) {
      largest = std::max(largest, std::abs(want.outputs[k][d]));
      worst = std::max(worst, std::abs(want.outputs[k][d] - got.outputs[k][d]));
    }
    EXPECT_LE(worst, bound * largest) << name << " slot " << k;
  }
}

TEST(Probe, SeesEveryTokenOnceInEveryMixtureLayerAsDefined) {
  for (const auto& [name, config] : testing::odd_configs()) {
    Engine engine(testing::random_weights(config), {.threads = 2, .chunk = 6});
    const auto ids = testing::random_ids(config, 20);
    Session session(engine);
    Recorder recorder;
    session.probe = &recorder;
    session.append(std::span(ids).first(9));
    session.append(std::span(ids).subspan(9));
    const Reference want = reference_forward(engine.weights(), ids);
    EXPECT_EQ(static_cast<int64_t>(recorder.routings.size()), config.moe_layers()) << name;
    for (const auto& [layer, rows] : recorder.routings) {
      ASSERT_EQ(rows.size(), ids.size()) << name;
      for (size_t t = 0; t < ids.size() && want.margins_T[t] > 1e-5; ++t) {
        const Reference::Choice& choice = want.choices[static_cast<size_t>(layer)][t];
        EXPECT_EQ(rows[t].ids, choice.experts) << name << " token " << t;
        expect_outputs(rows[t], choice, testing::engine_bound(config, std::ssize(ids)), name);
        if (rows[t].affinities.empty() || config.scoring_func != ScoringFunc::kSoftmax) continue;
        EXPECT_NEAR(std::accumulate(rows[t].affinities.begin(), rows[t].affinities.end(), 0.0), 1, 1e-5);
      }
    }
  }
}

TEST(Probe, LeavesNoTraceInTheLogits) {
  Engine engine(testing::random_weights(testing::small_config()), {.threads = 1});
  const auto ids = testing::random_ids(engine.config(), 12);
  Session plain(engine), watched(engine);
  Recorder recorder;
  watched.probe = &recorder;
  const auto a = plain.append_all(ids), b = watched.append_all(ids);
  EXPECT_TRUE(std::equal(a.begin(), a.end(), b.begin(), b.end()));
}

// Whole passes under interventions: the reference agrees, in batches where every sequence has its own.
TEST(Interventions, ActAsDefinedEachOnItsOwnSequence) {
  for (const auto& [name, config] : testing::odd_configs()) {
    if (!config.is_moe() || config.n_routed_experts < 3) continue;
    const auto E = static_cast<int32_t>(config.n_routed_experts);
    std::vector<Intervention> all(4);
    all[1].drop_shared = true;
    all[2].masked[Intervention::kEveryLayer] = {0};
    all[2].experts_per_tok = 1;
    all[3].forced[Intervention::kEveryLayer] = {1, E - 1, 0};
    if (config.has_router_weight()) {
      all.emplace_back().masked_top_fraction = 1.0 / E;
      all.back().experts_per_tok = 1;
    }
    Engine engine(testing::random_weights(config), {.threads = 2, .chunk = 17});
    const auto ids = testing::random_ids(config, 12);
    std::vector<std::vector<float>> logits(all.size(), std::vector<float>(ids.size() * size_t(config.vocab_size)));
    std::vector<KvCache> caches;
    for (size_t i = 0; i < all.size(); ++i) caches.emplace_back(config);
    std::vector<BatchItem> items;
    for (size_t i = 0; i < all.size(); ++i) items.push_back({&caches[i], ids, logits[i], &all[i]});
    engine.pass(items);
    for (size_t i = 0; i < all.size(); ++i) {
      const Reference want = reference_forward(engine.weights(), ids, all[i]);
      if (*std::min_element(want.margins_T.begin(), want.margins_T.end()) < 1e-5) continue;
      const double largest = std::abs(*std::max_element(want.logits_TV.begin(), want.logits_TV.end()));
      const double allowed = testing::engine_bound(config, 12) * std::max(largest, 1.0);
      double worst = 0;
      for (size_t j = 0; j < logits[i].size(); ++j) worst = std::max(worst, std::abs(logits[i][j] - want.logits_TV[j]));
      EXPECT_LE(worst, allowed) << name << ", intervention " << i;
      EXPECT_EQ(logits[i] == logits[0], i == 0 || (i == 1 && config.n_shared_experts == 0)) << name << " " << i;
    }
  }
}

// Forcing what the gate picks anyway changes nothing, to the bit: the experts come back in the same order.
TEST(Interventions, ForcingTheNaturalChoiceIsNoChange) {
  const auto config = testing::small_config();
  Engine engine(testing::random_weights(config), {.threads = 1});
  Session natural(engine);
  Recorder recorder;
  natural.probe = &recorder;
  const std::vector<int32_t> ids = {11};
  const auto logits = natural.append(ids);
  const std::vector<float> want(logits.begin(), logits.end());
  Session forced(engine);
  for (const auto& [layer, rows] : recorder.routings) forced.intervention.forced[layer] = rows[0].ids;
  const auto got = forced.append(ids);
  EXPECT_TRUE(std::equal(got.begin(), got.end(), want.begin()));
}

}  // namespace
}  // namespace dsmoe::engine
