// Requests on one engine: nobody's text depends on anybody else, and whoever fails or leaves takes nobody along.
#include "serve/scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "engine/generate.h"
#include "formats/npy.h"
#include "serve/testing.h"

namespace dsmoe::serve {
namespace {

using engine::testing::random_ids;
using engine::testing::random_weights;
using engine::testing::small_config;
using std::chrono::seconds;
using testing::Ear;

const Clock::time_point kNow = {};

class Scheduling : public ::testing::Test {
 protected:
  engine::Engine engine_{random_weights(small_config()), {.threads = 1, .chunk = 64, .cache = engine::CacheType::kF16}};

  std::vector<int32_t> prompt(int64_t length, uint64_t seed) { return random_ids(engine_.config(), length, seed); }
  static engine::GenerateOptions greedy(int64_t tokens) {
    engine::GenerateOptions options;
    options.max_tokens = tokens;
    options.sampling.temperature = 0;
    return options;
  }
  std::vector<int32_t> alone(const std::vector<int32_t>& prompt, const engine::GenerateOptions& options) {
    engine::Session session(engine_);
    return engine::generate(session, engine_.config(), prompt, options, nullptr,
                            [](int32_t, std::string_view) { return true; })
        .tokens;
  }
  std::shared_ptr<Ear> ask(Scheduler& scheduler, uint64_t id, std::vector<SequenceWork> sequences) {
    auto ear = std::make_shared<Ear>();
    Work work;
    work.id = id;
    work.sequences = std::move(sequences);
    work.listener = ear;
    scheduler.add(std::move(work));
    return ear;
  }
  static void run(Scheduler& scheduler) {
    for (int pass = 0; !scheduler.idle(); ++pass) {
      ASSERT_LT(pass, 5000);
      scheduler.step(kNow);
    }
  }
};

// Alone, among 8, joined midway, read in pieces of any size, from a known beginning: the same tokens.
TEST_F(Scheduling, GreedyTextDoesNotDependOnTheNeighbours) {
  std::vector<std::vector<int32_t>> prompts, expected;
  for (uint64_t i = 0; i < 16; ++i) {
    prompts.push_back(prompt(static_cast<int64_t>(1 + i * 13 % 150), i));
    expected.push_back(alone(prompts.back(), greedy(25)));
  }
  for (const int64_t slots : {1, 3, 8}) {
    for (const int64_t piece : {1, 16, 64}) {
      Scheduler scheduler(engine_, nullptr, {slots, 300, 1 << 30, {64, piece}});
      std::vector<std::shared_ptr<Ear>> ears;
      for (size_t i = 0; i < prompts.size(); ++i) {
        ears.push_back(ask(scheduler, i, {{prompts[i], greedy(25)}}));
        for (size_t pass = 0; pass < i % 4; ++pass) scheduler.step(kNow);
      }
      run(scheduler);
      for (size_t i = 0; i < prompts.size(); ++i) {
        EXPECT_EQ(ears[i]->tokens[0], expected[i]) << "slots " << slots << ", pieces of " << piece << ", prompt " << i;
        EXPECT_TRUE(ears[i]->ended);
      }
      const auto again = ask(scheduler, 99, {{prompts[11], greedy(25)}});
      run(scheduler);
      EXPECT_EQ(again->tokens[0], expected[11]);
      EXPECT_EQ(again->cached_tokens[0], std::ssize(prompts[11]) - 1) << "the last token's logits have to be computed";
    }
  }
}

// Choices of one prompt read it once, and each is what its own seed says.
TEST_F(Scheduling, ChoicesOfOnePromptReadItOnce) {
  Scheduler scheduler(engine_, nullptr, {8, 300, 1 << 30, {}});
  const auto words = prompt(130, 3);
  std::vector<SequenceWork> choices;
  for (uint64_t seed = 0; seed < 4; ++seed) {
    choices.push_back({words, greedy(12)});
    choices.back().generate.sampling.temperature = 1;
    choices.back().generate.sampling.seed = seed;
  }
  const auto ear = ask(scheduler, 1, choices);
  run(scheduler);
  for (size_t i = 0; i < choices.size(); ++i) {
    EXPECT_EQ(ear->tokens[i], alone(words, choices[i].generate)) << i;
    EXPECT_EQ(ear->cached_tokens[i], i == 0 ? 0 : 129);
  }
}

TEST_F(Scheduling, PromptsAreScoredAsTheEngineScoresThem) {
  Scheduler scheduler(engine_, nullptr, {4, 300, 1 << 30, {}});
  const auto words = prompt(100, 3);
  SequenceWork work{words, greedy(0), true};
  work.generate.scores = 2;
  const auto ear = ask(scheduler, 1, {work});
  const auto other = ask(scheduler, 2, {{prompt(20, 4), greedy(9)}});
  run(scheduler);
  engine::Session session(engine_);
  const auto logits = session.append_all(words);
  const auto& scores = ear->prompt_scores[0];
  ASSERT_EQ(scores.size(), words.size() - 1);
  for (size_t t = 0; t < scores.size(); ++t) {
    const auto expected = engine::score_token(logits.subspan(t * 37, 37), words[t + 1], 2);
    EXPECT_EQ(scores[t].chosen.token, words[t + 1]);
    EXPECT_EQ(scores[t].chosen.value, expected.chosen.value);
    EXPECT_EQ(scores[t].best[0].token, expected.best[0].token);
  }
  EXPECT_TRUE(ear->tokens[0].empty());
  EXPECT_EQ(ear->finishes[0], engine::Finish::kLength);
}

// What is told of routing is what a probe sees, whatever the pieces; what an intervention makes of a prompt is nobody
// else's.
TEST_F(Scheduling, RoutingIsToldAndInterventionsAreNotShared) {
  const auto words = prompt(90, 3);
  Scheduler scheduler(engine_, nullptr, {4, 300, 1 << 30, {64, 16}});
  const auto before = ask(scheduler, 1, {{words, greedy(10)}});
  run(scheduler);
  SequenceWork changed{words, greedy(10)};
  changed.intervention.drop_shared = true;
  changed.intervention.masked[1] = {0, 3};
  changed.record_routing = true;
  const auto other = ask(scheduler, 2, {{prompt(50, 9), greedy(10)}});
  const auto with = ask(scheduler, 3, {changed});
  run(scheduler);
  const auto after = ask(scheduler, 4, {{words, greedy(10)}});
  run(scheduler);
  EXPECT_EQ(with->cached_tokens[0], 0);
  EXPECT_EQ(after->tokens[0], before->tokens[0]);

  RoutingRecord probe(engine_.config(), changed.intervention);
  engine::Session session(engine_);
  session.intervention = changed.intervention;
  session.probe = &probe;
  const auto expected = engine::generate(session, engine_.config(), words, greedy(10), nullptr,
                                         [](int32_t, std::string_view) { return true; });
  EXPECT_EQ(with->tokens[0], expected.tokens);
  const RoutedTokens routed = probe.take();
  EXPECT_EQ(routed.tokens(), 99) << "the last token is not read";
  EXPECT_EQ(with->routed[0].experts, routed.experts);
  EXPECT_EQ(with->routed[0].affinities, routed.affinities);
  for (int64_t t = 0; t < routed.tokens(); ++t) {
    for (int64_t k = 0; k < 2; ++k) {
      EXPECT_THAT(routed.experts[static_cast<size_t>((t * 2 + 1) * 2 + k)], ::testing::Not(::testing::AnyOf(0, 3)));
    }
  }
}

TEST(RoutedTokens, AsNumPysFiles) {
  const RoutedTokens routed{0, 1, 2, {3, -1}, {0.5f, 0}};
  EXPECT_EQ(base64("any carnal pleas"), "YW55IGNhcm5hbCBwbGVhcw==");
  EXPECT_EQ(base64("any carnal pleasu"), "YW55IGNhcm5hbCBwbGVhc3U=");
  EXPECT_EQ(base64(std::string("\0\xff", 2)), "AP8=");
  EXPECT_EQ(base64(""), "");
  EXPECT_EQ(routed.experts_npy(6), base64(formats::npy_header("|u1", {1, 1, 2}) + "\x03\xff"));
  EXPECT_EQ(routed.experts_npy(300), base64(formats::npy_header("<u2", {1, 1, 2}) + std::string("\x03\0\xff\xff", 4)));
}

TEST_F(Scheduling, OneRequestOfManyPromptsLeavesRoomForOthers) {
  Scheduler scheduler(engine_, nullptr, {2, 300, 1 << 30, {}});
  std::vector<SequenceWork> many;
  for (uint64_t i = 0; i < 20; ++i) many.push_back({prompt(5, i), greedy(10)});
  const auto first = ask(scheduler, 1, many);
  scheduler.step(kNow);
  const auto second = ask(scheduler, 2, {{prompt(5, 50), greedy(10)}});
  int passes = 0;
  while (!second->ended && ++passes < 1000) scheduler.step(kNow);
  EXPECT_LT(first->finishes.size(), 5u) << "it did not wait for all of the others";
  run(scheduler);
  EXPECT_EQ(first->finishes.size(), 20u);
}

TEST_F(Scheduling, WhoLeavesTakesNobodyAlong) {
  const auto stays = prompt(40, 1), leaves = prompt(40, 2);
  const auto expected = alone(stays, greedy(30));
  for (int passes = 0; passes < 12; ++passes) {
    Scheduler scheduler(engine_, nullptr, {2, 300, 1 << 30, {64, 8}});
    const auto gone = ask(scheduler, 1, {{leaves, greedy(30)}, {prompt(9, 4), greedy(30)}});
    const auto there = ask(scheduler, 2, {{stays, greedy(30)}});
    for (int pass = 0; pass < passes; ++pass) scheduler.step(kNow);
    scheduler.cancel(1);
    EXPECT_EQ(scheduler.load().waiting + scheduler.load().running, 1);
    run(scheduler);
    EXPECT_EQ(there->tokens[0], expected);
    EXPECT_FALSE(gone->ended);
  }
}

TEST_F(Scheduling, DeadlinesEndWhatWaitsAndWhatRuns) {
  Scheduler scheduler(engine_, nullptr, {1, 300, 1 << 30, {}});
  const auto add = [&](uint64_t id, Clock::time_point start_by, Clock::time_point finish_by) {
    auto ear = std::make_shared<Ear>();
    scheduler.add({id, {{prompt(5, id), greedy(50)}}, ear, start_by, finish_by});
    return ear;
  };
  const auto runs = add(1, kNow + seconds(1), kNow + seconds(20));
  const auto waits = add(2, kNow + seconds(10), kNow + seconds(600));
  const auto comes = add(3, kNow + seconds(600), kNow + seconds(600));
  scheduler.step(kNow);
  scheduler.step(kNow + seconds(9));
  EXPECT_EQ(waits->failure, 0);
  scheduler.step(kNow + seconds(10));
  EXPECT_EQ(waits->failure, 503);
  EXPECT_EQ(runs->failure, 0) << "it has started in time";
  scheduler.step(kNow + seconds(20));
  EXPECT_EQ(runs->failure, 503);
  run(scheduler);
  EXPECT_TRUE(comes->ended);
}

TEST_F(Scheduling, WhatCannotBeDoneIsRefusedAndChangesNothing) {
  Scheduler scheduler(engine_, nullptr, {2, 300, 1 << 30, {}});
  EXPECT_THROW(ask(scheduler, 1, {{{}, greedy(5)}}), ApiError);
  EXPECT_THROW(ask(scheduler, 1, {{{37}, greedy(5)}}), base::Error);
  EXPECT_THROW(ask(scheduler, 1, {{prompt(301, 1), greedy(5)}}), base::Error);
  EXPECT_TRUE(scheduler.idle());
  const int64_t one = engine::KvCache::bytes_for(engine_.config(), engine_.cache_type(), 100);
  Scheduler narrow(engine_, nullptr, {4, 300, one, {}});
  EXPECT_THROW(ask(narrow, 1, {{prompt(200, 1), greedy(5)}}), ApiError);
  const auto a = ask(narrow, 2, {{prompt(60, 1), greedy(30)}}), b = ask(narrow, 3, {{prompt(60, 2), greedy(30)}});
  narrow.step(kNow);
  EXPECT_EQ(narrow.load().running, 1) << "two do not fit together";
  run(narrow);
  EXPECT_TRUE(a->ended && b->ended);
  EXPECT_EQ(b->tokens[0], alone(prompt(60, 2), greedy(30)));
}

// A token whose embedding is damaged: who uses it fails, and nobody else.
TEST_F(Scheduling, WhoFailsTakesNobodyAlong) {
  auto tensors = engine::testing::random_tensors(small_config(), 1);
  auto& embedding = tensors.at("model.embed_tokens.weight");
  const auto D = static_cast<size_t>(small_config().hidden_size);
  std::fill_n(embedding.values.begin() + static_cast<int64_t>(7 * D), D, std::numeric_limits<float>::quiet_NaN());
  engine::Engine damaged(engine::Weights::from_tensors(small_config(), std::move(tensors)),
                         {.threads = 1, .cache = engine::CacheType::kF16});
  Scheduler scheduler(damaged, nullptr, {3, 300, 1 << 30, {}});
  engine::GenerateOptions options = greedy(8);
  options.sampling.forbidden = {7};
  auto words = prompt(20, 2);
  std::replace(words.begin(), words.end(), 7, 8);
  const auto bad = ask(scheduler, 1, {{{1, 7, 3}, options}, {words, options}});
  const auto good = ask(scheduler, 2, {{words, options}});
  run(scheduler);
  EXPECT_EQ(bad->failure, 500);
  EXPECT_TRUE(good->ended);
  EXPECT_EQ(good->tokens[0], alone(words, options));
}

TEST(PrefixStore, KeepsTheLongestBeginningsAndForgetsTheOldest) {
  const auto config = small_config();
  engine::Engine engine(random_weights(config), {.threads = 1});
  const auto ids = random_ids(config, 200);
  const auto cache_of = [&](size_t length) {
    engine::KvCache cache(config);
    const engine::BatchItem item{&cache, std::span(ids).first(length), {}};
    engine.pass({&item, 1});
    return cache;
  };
  const int64_t block = engine::KvCache::bytes_for(config, engine::CacheType::kF32, 1);
  PrefixStore store(4 * block);
  const auto known = [&](std::span<const int32_t> tokens) {
    return store.begin(tokens, engine::KvCache(config)).size();
  };
  EXPECT_EQ(known(ids), 0);
  store.put(cache_of(50), std::span(ids).first(50));
  EXPECT_EQ(known(std::span(ids).first(60)), 50);
  EXPECT_EQ(known(std::span(ids).first(50)), 49) << "less than all";
  EXPECT_EQ(known(std::span(ids).subspan(1)), 0);
  store.put(cache_of(100), std::span(ids).first(100));
  EXPECT_EQ(store.entries(), 1u) << "the longer one serves for the shorter one";
  EXPECT_EQ(known(std::span(ids).first(20)), 19);
  store.put(cache_of(200), std::span(ids).first(200));
  EXPECT_EQ(known(ids), 199);
  store.shrink(0);
  EXPECT_EQ(known(ids), 0);
}

}  // namespace
}  // namespace dsmoe::serve
