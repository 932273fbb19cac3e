// Sampling: every filter keeps what it says, draws follow the distribution, and the seed decides everything.
#include "engine/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "base/error.h"

namespace dsmoe::engine {
namespace {

/// No filter, temperature 1: the plain softmax.
SamplingOptions plain() { return {1.0, 0, 1.0, 0.0, 1.0, 64, 7}; }

std::vector<float> log_of(const std::vector<double>& probabilities) {
  std::vector<float> logits;
  for (const double p : probabilities) logits.push_back(static_cast<float>(std::log(p)) + 3);
  return logits;
}

std::map<int32_t, int> draw_many(const SamplingOptions& options, const std::vector<float>& logits, int draws,
                                 const std::vector<int32_t>& history = {}) {
  Sampler sampler(options);
  std::map<int32_t, int> counts;
  for (int i = 0; i < draws; ++i) ++counts[sampler.sample(logits, history)];
  return counts;
}

std::set<int32_t> kept(const SamplingOptions& options, const std::vector<float>& logits,
                       const std::vector<int32_t>& history = {}) {
  std::set<int32_t> ids;
  for (const auto& [id, count] : draw_many(options, logits, 3000, history)) ids.insert(id);
  return ids;
}

const std::vector<double> kProbabilities = {0.1, 0.4, 0.05, 0.3, 0.15};

TEST(Sampler, DrawsFollowTheDistribution) {
  const int draws = 20000;
  const auto counts = draw_many(plain(), log_of(kProbabilities), draws);
  for (size_t i = 0; i < kProbabilities.size(); ++i) {
    const double p = kProbabilities[i], deviation = std::sqrt(p * (1 - p) / draws);
    EXPECT_NEAR(counts.at(static_cast<int32_t>(i)) / double{draws}, p, 4.5 * deviation) << i;
  }
}

TEST(Sampler, TemperatureSharpens) {
  SamplingOptions options = plain();
  options.temperature = 0.5;  // probabilities squared and divided by their sum, 0.285
  const auto counts = draw_many(options, log_of(kProbabilities), 20000);
  EXPECT_NEAR(counts.at(1) / 20000.0, 0.16 / 0.285, 0.016);
  EXPECT_NEAR(counts.at(0) / 20000.0, 0.01 / 0.285, 0.006);
}

TEST(Sampler, ZeroTemperatureIsTheLikeliestAndOfEqualsTheFirst) {
  SamplingOptions options = plain();
  options.temperature = 0;
  EXPECT_EQ(kept(options, log_of(kProbabilities)), (std::set<int32_t>{1}));
  EXPECT_EQ(kept(options, {1, 2, 2, 2}), (std::set<int32_t>{1}));
}

TEST(Sampler, TopKTopPAndMinPKeepWhatTheySay) {
  const auto logits = log_of(kProbabilities);
  SamplingOptions options = plain();
  options.top_k = 2;
  EXPECT_EQ(kept(options, logits), (std::set<int32_t>{1, 3}));
  options = plain();
  options.top_p = 0.71;  // 0.4 + 0.3 do not reach it
  EXPECT_EQ(kept(options, logits), (std::set<int32_t>{1, 3, 4}));
  options.top_p = 0.69;
  EXPECT_EQ(kept(options, logits), (std::set<int32_t>{1, 3}));
  options.top_p = 1e-9;  // one always stays
  EXPECT_EQ(kept(options, logits), (std::set<int32_t>{1}));
  options = plain();
  options.min_p = 0.3;  // of 0.4: 0.12
  EXPECT_EQ(kept(options, logits), (std::set<int32_t>{1, 3, 4}));
  options.min_p = 1;
  EXPECT_EQ(kept(options, logits), (std::set<int32_t>{1}));
}

TEST(Sampler, RepetitionPenaltyWeakensRecentTokensOfEitherSign) {
  SamplingOptions options = plain();
  options.temperature = 0;
  options.repeat_penalty = 2;
  EXPECT_EQ(kept(options, {1.0f, 1.9f, -5.0f}, {1}), (std::set<int32_t>{0}));
  EXPECT_EQ(kept(options, {1.0f, 2.1f, -5.0f}, {1, 1, 1}), (std::set<int32_t>{1})) << "once, however often it came";
  EXPECT_EQ(kept(options, {-1.0f, -1.5f}, {0}), (std::set<int32_t>{1})) << "a negative logit moves down too";
  options.repeat_last_n = 2;
  EXPECT_EQ(kept(options, {1.0f, 1.9f, -5.0f}, {1, 2, 2}), (std::set<int32_t>{1})) << "out of the window";
  options.repeat_last_n = -1;
  EXPECT_EQ(kept(options, {1.0f, 1.9f, -5.0f}, {1, 2, 2}), (std::set<int32_t>{0}));
}

TEST(Sampler, TheSeedDecides) {
  const auto logits = log_of(kProbabilities);
  const auto run = [&](uint64_t seed) {
    SamplingOptions options = plain();
    options.seed = seed;
    Sampler sampler(options);
    std::vector<int32_t> ids;
    for (int i = 0; i < 50; ++i) ids.push_back(sampler.sample(logits, {}));
    return ids;
  };
  EXPECT_EQ(run(1), run(1));
  EXPECT_NE(run(1), run(2));
}

TEST(Sampler, BadOptionsAndLogitsAreRefused) {
  const auto refused = [](auto change) {
    SamplingOptions options = plain();
    change(options);
    try {
      Sampler sampler(options);
    } catch (const base::Error& error) {
      return error.kind() == base::ErrorKind::kUsage;
    }
    return false;
  };
  EXPECT_FALSE(refused([](auto&) {}));
  EXPECT_TRUE(refused([](auto& o) { o.temperature = -1; }));
  EXPECT_TRUE(refused([](auto& o) { o.temperature = std::nan(""); }));
  EXPECT_TRUE(refused([](auto& o) { o.top_k = -1; }));
  EXPECT_TRUE(refused([](auto& o) { o.top_p = 0; }));
  EXPECT_TRUE(refused([](auto& o) { o.top_p = 1.1; }));
  EXPECT_TRUE(refused([](auto& o) { o.min_p = -0.1; }));
  EXPECT_TRUE(refused([](auto& o) { o.repeat_penalty = 0; }));
  EXPECT_TRUE(refused([](auto& o) { o.repeat_last_n = -2; }));
  EXPECT_TRUE(refused([](auto& o) { o.presence_penalty = std::nan(""); }));
  EXPECT_TRUE(refused([](auto& o) { o.frequency_penalty = std::numeric_limits<double>::infinity(); }));
  EXPECT_TRUE(refused([](auto& o) { o.bias = {{1, std::nan("")}}; }));
  for (const float bad : {std::numeric_limits<float>::infinity(), std::nanf("")}) {
    try {
      Sampler(plain()).sample(std::vector<float>{0, bad}, {});
      ADD_FAILURE();
    } catch (const base::Error& error) {
      EXPECT_EQ(error.kind(), base::ErrorKind::kNonFinite);
      EXPECT_THAT(error.what(), ::testing::HasSubstr("token 1"));
    }
  }
}

// Presence counts once, frequency as often as the token is there, over the whole text.
TEST(Sampler, PresenceAndFrequencyWeakenWhatTheTextHas) {
  SamplingOptions options = plain();
  options.temperature = 0;
  const std::vector<float> logits = {2.0f, 1.5f, 0.4f};
  const std::vector<int32_t> history = {0, 1, 0, 0, 1};
  options.presence_penalty = 1;
  EXPECT_EQ(kept(options, logits, history), (std::set<int32_t>{0}));
  options.presence_penalty = 1.7;
  EXPECT_EQ(kept(options, logits, history), (std::set<int32_t>{2}));
  options.presence_penalty = 0, options.frequency_penalty = 0.5;
  EXPECT_EQ(kept(options, logits, history), (std::set<int32_t>{0}))
      << "2 - 3 * 0.5, 1.5 - 2 * 0.5, 0.4: of equals the first";
  options.frequency_penalty = 0.6;
  EXPECT_EQ(kept(options, logits, history), (std::set<int32_t>{2}));
  options.frequency_penalty = -1;
  EXPECT_EQ(kept(options, logits, history), (std::set<int32_t>{0}));
}

TEST(Sampler, ABiasIsAddedToTheLogit) {
  SamplingOptions options = plain();
  options.temperature = 0;
  options.bias = {{2, 3.0}};
  EXPECT_EQ(kept(options, {2.0f, 1.5f, 0.4f}), (std::set<int32_t>{2}));
  options.bias = {{0, -100}, {99, 100}, {-1, 100}};
  EXPECT_EQ(kept(options, {2.0f, 1.5f, 0.4f}), (std::set<int32_t>{1}));
}

TEST(Sampler, WhatIsForbiddenIsNeverChosen) {
  SamplingOptions options = plain();
  options.forbidden = {1, 3, 99, -1};
  EXPECT_EQ(kept(options, log_of(kProbabilities)), (std::set<int32_t>{0, 2, 4}));
  options.temperature = 0;
  EXPECT_EQ(kept(options, log_of(kProbabilities)), (std::set<int32_t>{4}));
  options.forbidden = {0, 1, 2, 3, 4};
  EXPECT_THROW(Sampler(options).sample(log_of(kProbabilities), {}), base::Error);
}

}  // namespace
}  // namespace dsmoe::engine
