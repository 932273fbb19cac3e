// Balance terms and loss-free balancing: the paper's worked numbers, laws, gradients, accumulation and padding.
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "moe/bias_balancer.h"
#include "moe/golden.h"

namespace dsmoe::moe {
namespace {

using namespace testing;  // NOLINT
constexpr auto kPooled = BalanceScope::kPooled;
constexpr auto kSequence = BalanceScope::kSequence;

double value(const Tensor& loss) { return loss.item<double>(); }

TEST(Golden, FractionsAndAffinities) {
  const Routing routing = golden_routing(golden_config());
  const auto s = balance_statistics(routing, routing.experts_TK, kPooled);
  EXPECT_LT(largest_difference(s.f_BE, rows({4. / 3, 2. / 3, 2. / 3, 4. / 3, 2. / 3, 2, 2. / 3, 2. / 3}, 8)), 1e-12);
  EXPECT_LT(
      largest_difference(
          s.p_BE,
          rows({.190745324, .128860848, .095933710, .077799935, .141949940, .191414744, .102435220, .070860280}, 8)),
      1e-9);
}

TEST(Golden, Losses) {
  Routing routing = golden_routing(golden_config());
  EXPECT_NEAR(value(ExpertBalance(1, kPooled, false).loss(routing, 6)), 1.100916497792, 1e-12);
  EXPECT_NEAR(value(DeviceBalance(1, kPooled, 4).loss(routing, 6)), 1.053356394796, 1e-12);
  routing.sequences = Sequences::equal(2, 3);
  EXPECT_NEAR(value(ExpertBalance(1, kSequence, false).loss(routing, 6)), 1.416616267, 1e-9);
  routing.mask_T = torch::tensor({true, true, true, false, false, false});
  EXPECT_NEAR(value(ExpertBalance(1, kSequence, false).loss(routing, 3)), 1.712252709, 1e-9);
  routing.mask_T = routing.mask_T.logical_not();
  EXPECT_NEAR(value(ExpertBalance(1, kSequence, false).loss(routing, 3)), 1.120979825, 1e-9);
}

TEST(Golden, BiasStepAndViolation) {
  const Tensor counts = golden_routing(golden_config()).counts_E(8);
  EXPECT_TRUE(counts.equal(torch::tensor({2, 1, 1, 2, 1, 3, 1, 1}, torch::kInt64)));
  EXPECT_DOUBLE_EQ(max_violation(counts), 1.0);
  Tensor bias = torch::zeros({8}, torch::kFloat32);
  BiasBalancer(1e-3, BiasRule::kSign).update(bias, counts);
  const Tensor signs = torch::tensor({-1., 1., 1., -1., 1., -1., 1., 1.}, torch::kFloat32);
  EXPECT_LT(largest_difference(bias, signs * 1e-3), 1e-9);
}

TEST(BiasBalancer, ProportionalStepIsRelativeLoad) {
  Tensor bias = torch::ones({4}, torch::kFloat64);
  BiasBalancer(0.5, BiasRule::kProportional).update(bias, torch::tensor({0, 2, 2, 4}, torch::kInt64));
  EXPECT_LT(largest_difference(bias, torch::tensor({1.5, 1.0, 1.0, 0.5}, torch::kFloat64)), 1e-15);
}

TEST(BiasBalancer, EvenOrNoLoadLeavesTheBiasAlone) {
  for (const int64_t load : {0, 3}) {
    Tensor bias = random_tensor({5}, 1), before = bias.clone();
    BiasBalancer(0.1, BiasRule::kSign).update(bias, torch::full({5}, load, torch::kInt64));
    EXPECT_TRUE(bias.equal(before));
  }
}

TEST(MaxViolation, OfEvenAndOneSidedLoad) {
  EXPECT_DOUBLE_EQ(max_violation(torch::full({6}, 4, torch::kInt64)), 0);
  EXPECT_DOUBLE_EQ(max_violation(torch::tensor({8, 0, 0, 0}, torch::kInt64)), 3);
  EXPECT_DOUBLE_EQ(max_violation(torch::zeros({4}, torch::kInt64)), 0);
}

/// Each token prefers the next pair of experts: load and mean affinity are even.
Routing perfectly_balanced(int64_t devices, bool softmax = true) {
  const int64_t experts = 8;
  Tensor logits = torch::zeros({experts, experts}, torch::kFloat64);
  for (int64_t t = 0; t < experts; ++t) {
    logits[t][t] = 2;
    logits[t][(t + experts / devices) % experts] = 1;
  }
  Routing routing;
  routing.logits_TE = logits;
  routing.scores_TE = softmax ? torch::softmax(logits, -1) : torch::sigmoid(logits);
  routing.scores_sum_to_one = softmax;
  routing.experts_TK = std::get<1>(routing.scores_TE.topk(2, -1));
  routing.weights_TK = routing.scores_TE.gather(1, routing.experts_TK);
  routing.sequences = Sequences::equal(1, experts);
  return routing;
}

TEST(PerfectBalance, GivesExactlyAlphaForSigmoidAffinitiesToo) {
  const Routing routing = perfectly_balanced(4, false);
  EXPECT_NEAR(value(ExpertBalance(0.25, kPooled, false).loss(routing, 8)), 0.25, 1e-15);
  EXPECT_NEAR(value(DeviceBalance(0.25, kSequence, 4).loss(routing, 8)), 0.25, 1e-15);
}

TEST(PerfectBalance, GivesExactlyAlpha) {
  const Routing routing = perfectly_balanced(4);
  for (const BalanceScope scope : {kPooled, kSequence}) {
    EXPECT_NEAR(value(ExpertBalance(0.25, scope, false).loss(routing, 8)), 0.25, 1e-15);
    EXPECT_NEAR(value(ExpertBalance(0.25, scope, true).loss(routing, 8)), 0.25, 1e-15);
    EXPECT_NEAR(value(DeviceBalance(0.25, scope, 4).loss(routing, 8)), 0.25, 1e-15);
    // every token reaches two of the four devices, each device as often
    EXPECT_NEAR(value(CommunicationBalance(0.25, scope, 4, 2).loss(routing, 8)), 0.25, 1e-15);
  }
}

TEST(ExpertBalance, AtOneExpertIsTheSwitchLoss) {
  spec::ModelConfig config = golden_config();
  config.num_experts_per_tok = 1;
  const Routing routing = golden_routing(config);
  const Tensor fraction = routing.counts_E(8).to(torch::kFloat64) / 6;  // E * sum(fraction * mean probability)
  const double expected = 8 * value((fraction * routing.scores_TE.mean(0)).sum());
  EXPECT_NEAR(value(ExpertBalance(1, kPooled, false).loss(routing, 6)), expected, 1e-14);
}

TEST(ExpertBalance, FirstChoicesOnlyIsTheOriginalGshardLoss) {
  const Routing routing = golden_routing(golden_config());
  const Tensor density = torch::bincount(routing.experts_TK.select(1, 0), {}, 8).to(torch::kFloat64) / 6;
  const double expected = 8 * value((density * routing.scores_TE.mean(0)).sum());
  EXPECT_NEAR(value(ExpertBalance(1, kPooled, true).loss(routing, 6)), expected, 1e-14);
}

TEST(ExpertBalance, CountsChoicesWithoutBias) {
  spec::ModelConfig config = golden_config();
  const double unbiased = value(ExpertBalance(1, kPooled, false).loss(golden_routing(config), 6));
  config.topk_method = spec::TopkMethod::kNoauxTc;
  const Routing biased = golden_routing(config, random_tensor({8}, 3));
  EXPECT_FALSE(biased.experts_TK.equal(golden_routing(golden_config()).experts_TK));
  EXPECT_DOUBLE_EQ(value(ExpertBalance(1, kPooled, false).loss(biased, 6)), unbiased);
}

TEST(CommunicationBalance, AgreesWithLoops) {
  const Routing routing = golden_routing(golden_config());
  double expected = 0;
  for (int64_t device = 0; device < 4; ++device) {
    double sent = 0, affinity = 0;
    for (int64_t t = 0; t < 6; ++t) {
      bool here = false;
      for (int64_t k = 0; k < 2; ++k) here |= routing.experts_TK[t][k].item<int64_t>() / 2 == device;
      sent += here;
      for (int64_t e = 2 * device; e < 2 * device + 2; ++e) affinity += routing.scores_TE[t][e].item<double>() / 6;
    }
    expected += 4.0 / (2 * 6) * sent * affinity;
  }
  EXPECT_NEAR(value(CommunicationBalance(1, kPooled, 4, 2).loss(routing, 6)), expected, 1e-14);
}

TEST(ZLoss, AgreesWithLoops) {
  const Routing routing = golden_routing(golden_config());
  double expected = 0;
  for (int64_t t = 0; t < 6; ++t) {
    const double lse = std::log(routing.logits_TE[t].exp().sum().item<double>());
    expected += 0.5 * lse * lse / 6;
  }
  EXPECT_NEAR(value(ZLoss(0.5).loss(routing, 6)), expected, 1e-14);
}

std::vector<std::unique_ptr<BalanceTerm>> every_term(BalanceScope scope) {
  std::vector<std::unique_ptr<BalanceTerm>> terms;
  terms.push_back(std::make_unique<ExpertBalance>(0.7, scope, false));
  terms.push_back(std::make_unique<ExpertBalance>(0.7, scope, true));
  terms.push_back(std::make_unique<DeviceBalance>(0.7, scope, 4));
  terms.push_back(std::make_unique<CommunicationBalance>(0.7, scope, 4, 2));
  terms.push_back(std::make_unique<ZLoss>(0.7));
  return terms;
}

/// A routing from logits, softmax or sigmoid.
Routing routing_of(const Tensor& logits, bool softmax, int64_t sequences, const Tensor& mask_T = {}) {
  Routing routing;
  routing.logits_TE = logits;
  routing.scores_TE = softmax ? torch::softmax(logits, -1) : torch::sigmoid(logits);
  routing.scores_sum_to_one = softmax;
  routing.experts_TK = std::get<1>(routing.scores_TE.detach().topk(2, -1));
  routing.weights_TK = routing.scores_TE.gather(1, routing.experts_TK);
  routing.sequences = Sequences::equal(sequences, logits.size(0) / sequences);
  routing.mask_T = mask_T;
  return routing;
}

TEST(EveryTerm, Gradients) {
  const Tensor mask = torch::tensor({true, true, true, true, false, true});
  for (const BalanceScope scope : {kPooled, kSequence}) {
    for (const auto& term : every_term(scope)) {
      for (const bool softmax : {true, false}) {
        expect_gradients(
            [&](const std::vector<Tensor>& in) {
              return term->loss(routing_of(in[0], softmax, 2, mask), 11).view({1});
            },
            {random_tensor({6, 8}, 21)});
      }
    }
  }
}

TEST(EveryTerm, IgnoresPadding) {
  const Tensor logits = random_tensor({12, 8}, 5);
  Tensor other = logits.clone();
  const Tensor mask = torch::tensor({true, true, true, true, false, false, true, true, true, true, true, false});
  other.index_put_({mask.logical_not()}, random_tensor({3, 8}, 6));
  for (const BalanceScope scope : {kPooled, kSequence}) {
    for (const auto& term : every_term(scope)) {
      const double loss = value(term->loss(routing_of(logits, true, 2, mask), 9));
      EXPECT_DOUBLE_EQ(loss, value(term->loss(routing_of(other, true, 2, mask), 9)));
      EXPECT_GT(std::abs(loss - value(term->loss(routing_of(other, true, 2), 9))), 1e-3) << "padding would count";
      if (scope == kPooled) {  // and equals the loss of the real tokens alone
        EXPECT_NEAR(loss, value(term->loss(routing_of(logits.index({mask}), true, 1), 9)), 1e-14);
      }
    }
  }
}

TEST(EveryTerm, PerSequenceMicroBatchesAddUpToTheBigBatch) {
  const Tensor logits = random_tensor({24, 8}, 8);
  Tensor mask = torch::ones({24}, torch::kBool);
  mask.narrow(0, 16, 5).fill_(false);
  mask.narrow(0, 3, 1).fill_(false);
  for (const auto& term : every_term(kSequence)) {
    const auto whole = gradients_of(
        [&](const std::vector<Tensor>& in) { return term->loss(routing_of(in[0], true, 4, mask), 18).view({1}); },
        {logits});
    // micro-batches of one, two and one sequences of six tokens
    const auto pieces = gradients_of(
        [&](const std::vector<Tensor>& in) {
          Tensor sum = torch::zeros({1}, torch::kFloat64);
          for (const auto& [first, count] : {std::pair{0, 1}, std::pair{1, 2}, std::pair{3, 1}}) {
            const Tensor part = in[0].narrow(0, first * 6, count * 6), real = mask.narrow(0, first * 6, count * 6);
            sum = sum + term->loss(routing_of(part, true, count, real), 18);
          }
          return sum;
        },
        {logits});
    EXPECT_LT(largest_difference(whole[0], pieces[0]), 1e-15);
  }
}

TEST(EveryTerm, PooledMicroBatchesAreTheTokenWeightedMean) {
  const Tensor logits = random_tensor({9, 8}, 9);
  for (const auto& term : every_term(kPooled)) {
    const Tensor a = logits.narrow(0, 0, 6), b = logits.narrow(0, 6, 3);
    const double mean =
        6. / 9 * value(term->loss(routing_of(a, true, 1), 6)) + 3. / 9 * value(term->loss(routing_of(b, true, 1), 3));
    const double sum = value(term->loss(routing_of(a, true, 1), 9)) + value(term->loss(routing_of(b, true, 1), 9));
    EXPECT_NEAR(sum, mean, 1e-15);
  }
}

TEST(EveryTerm, IsZeroWithoutARouter) {
  Routing hash;
  hash.experts_TK = ids({0, 1, 2, 3}, 2);
  hash.weights_TK = torch::ones({2, 2}, torch::kFloat32);
  for (const auto& term : every_term(kSequence)) EXPECT_EQ(term->loss(hash, 2).item<float>(), 0);
}

TEST(EveryTerm, OfAWhollyPaddedBatchIsZero) {
  for (const auto& term : every_term(kSequence)) {
    const Routing routing = routing_of(random_tensor({6, 8}, 1), true, 2, torch::zeros({6}, torch::kBool));
    EXPECT_EQ(value(term->loss(routing, 10)), 0);
  }
}

TEST(MakeBalanceTerms, RefusesGroupsThatDoNotDivide) {
  TrainingOptions training;
  training.device_aux_loss_alpha = 0.1;
  training.n_device_groups = 3;
  EXPECT_THROW(make_balance_terms(small_config(8, 2), training), base::Error);
  training.n_device_groups = 4;
  EXPECT_EQ(make_balance_terms(small_config(8, 2), training).size(), 1U);
}

}  // namespace
}  // namespace dsmoe::moe
