// A text that goes on row by row: the same whoever leads it, with scores that are the model's own.
#include "engine/continuation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "engine/generate.h"
#include "engine/testing.h"

namespace dsmoe::engine {
namespace {

const std::vector<float> kLogits = {0.5f, 2.f, -1.f, 2.f, 0.f};

TEST(ScoreToken, IsTheLogSoftmaxAndTheLikeliestInOrder) {
  double total = 0;
  for (const float x : kLogits) total += std::exp(static_cast<double>(x));
  const TokenScore score = score_token(kLogits, 2, 3);
  EXPECT_EQ(score.chosen.token, 2);
  EXPECT_NEAR(score.chosen.value, -1 - std::log(total), 1e-6);
  ASSERT_EQ(score.best.size(), 3u);
  EXPECT_EQ(score.best[0].token, 1) << "of equals the lower id first";
  EXPECT_EQ(score.best[1].token, 3);
  EXPECT_EQ(score.best[2].token, 0);
  EXPECT_EQ(score.best[0].value, score_token(kLogits, 1, 0).chosen.value) << "one number wherever it stands";
  EXPECT_EQ(score_token(kLogits, 0, 99).best.size(), kLogits.size());
  EXPECT_TRUE(score_token(kLogits, 0, 0).best.empty());
}

// Twice token 2 or 4, then an end or 2 once more.
class Twice : public TokenRule {
 public:
  std::span<const uint64_t> allowed() override { return {&kMasks[count_], 1}; }
  void accept(int32_t) override { ++count_; }
  bool may_end() const override { return count_ >= 2; }
  bool ends() override { return count_ == 3; }

 private:
  static constexpr uint64_t kMasks[] = {0b10100, 0b10100, 0b00100, 0};
  size_t count_ = 0;
};

TEST(Continuation, ARuleSaysWhichTokensMayComeAndWhenItEnds) {
  GenerateOptions options;
  options.sampling.temperature = 0;
  options.scores = 0;
  options.ends = {3};
  options.rule = [] { return std::make_unique<Twice>(); };
  const std::vector<int32_t> prompt = {0};
  Continuation text(options, prompt, 100, nullptr);
  const Step first = text.accept(kLogits);
  EXPECT_EQ(first.token, 4) << "the best of those that may come";
  EXPECT_EQ(first.score->chosen.value, score_token(kLogits, 4, 0).chosen.value) << "among all";
  EXPECT_EQ(text.accept(kLogits).token, 4);
  EXPECT_FALSE(text.finish());
  EXPECT_EQ(text.accept(kLogits).token, 3) << "an end, now that it may come";
  EXPECT_EQ(text.finish(), Finish::kEos);
  options.ignore_eos = true;
  Continuation longer(options, prompt, 100, nullptr);
  for (int i = 0; i < 3; ++i) longer.accept(kLogits);
  EXPECT_EQ(longer.finish(), Finish::kEos) << "nothing may follow";
  EXPECT_EQ(longer.tokens().back(), 2);
}

// Two texts led by turns through one engine are what generate() says of each alone.
TEST(Continuation, TextsLedByTurnsAreWhatEachIsAlone) {
  Engine engine(testing::random_weights(testing::small_config()), {.threads = 1});
  const auto ids = testing::random_ids(engine.config(), 12);
  GenerateOptions options;
  options.max_tokens = 15;
  options.sampling.repeat_penalty = 1.3;
  options.sampling.presence_penalty = 0.4;
  std::vector<std::vector<int32_t>> prompts = {{ids.begin(), ids.begin() + 7}, {ids.begin() + 7, ids.end()}};
  std::vector<std::vector<int32_t>> alone;
  for (const auto& prompt : prompts) {
    Session session(engine);
    alone.push_back(generate(session, engine.config(), prompt, options, nullptr, [](int32_t, std::string_view) {
                      return true;
                    }).tokens);
  }
  std::vector<Continuation> texts;
  std::vector<KvCache> caches;
  std::vector<std::vector<int32_t>> next = prompts;
  for (const auto& prompt : prompts) {
    texts.emplace_back(options, prompt, engine.config().max_position_embeddings, nullptr);
    caches.emplace_back(engine.config(), engine.cache_type());
  }
  std::vector<float> logits(static_cast<size_t>(engine.config().vocab_size));
  for (int turn = 0; turn < 15; ++turn) {
    for (size_t i = 0; i < texts.size(); ++i) {
      const BatchItem item{&caches[i], next[i], logits};
      engine.pass({&item, 1});
      next[i] = {texts[i].accept(logits).token};
    }
  }
  for (size_t i = 0; i < texts.size(); ++i) {
    EXPECT_EQ(texts[i].finish(), Finish::kLength);
    EXPECT_THAT(alone[i], ::testing::ElementsAreArray(texts[i].tokens()));
  }
}

TEST(Continuation, ScoresAreOfTheModelAndNotOfTheSampler) {
  GenerateOptions options;
  options.scores = 2;
  options.sampling.temperature = 0;
  options.sampling.bias = {{2, 10}, {77, 5}, {-1, 5}};
  Continuation text(options, std::vector<int32_t>{0}, 10, nullptr);
  const Step step = text.accept(kLogits);
  EXPECT_EQ(step.token, 2) << "the bias chose it";
  ASSERT_TRUE(step.score);
  EXPECT_EQ(step.score->chosen.value, score_token(kLogits, 2, 0).chosen.value);
  EXPECT_EQ(step.score->best[0].token, 1);
}

// An end is reported with its score, and is no part of the text.
TEST(Continuation, TheEndHasAScoreAndIsNoPartOfTheText) {
  GenerateOptions options;
  options.scores = 0;
  options.sampling.temperature = 0;
  options.ends = {1};
  Continuation text(options, std::vector<int32_t>{0}, 10, nullptr);
  const Step step = text.accept(kLogits);
  EXPECT_EQ(step.token, 1);
  EXPECT_TRUE(step.score);
  EXPECT_EQ(text.finish(), Finish::kEos);
  EXPECT_TRUE(text.tokens().empty());
  EXPECT_THROW(text.accept(kLogits), base::BrokenPromise);
}

TEST(Continuation, NothingIsChosenWhereNothingIsAskedFor) {
  GenerateOptions options;
  options.max_tokens = 0;
  EXPECT_EQ(Continuation(options, std::vector<int32_t>{0}, 10, nullptr).finish(), Finish::kLength);
}

}  // namespace
}  // namespace dsmoe::engine
