// The fast engine against the reference for every gate, and the promise of bits: chunks, batches, threads and the
// life of a cache never show in a sequence's logits.
#include "engine/engine.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "base/error.h"
#include "base/memory.h"
#include "engine/reference.h"
#include "engine/testing.h"
#include "kernels/isa.h"
#include "kernels/product.h"
#include "spec/counts.h"

namespace dsmoe::engine {
namespace {

using testing::changed;
using testing::odd_config;
using testing::odd_configs;
using testing::random_ids;
using testing::random_weights;
using testing::small_config;

std::vector<float> all_logits(Engine& engine, std::span<const int32_t> ids, const Intervention& intervention = {}) {
  Session session(engine);
  session.intervention = intervention;
  const auto logits = session.append_all(ids);
  return {logits.begin(), logits.end()};
}

/// Logits agree wherever no selection was nearly a tie; a token after such a one may rightly differ through attention,
/// so comparison stops there. Returns how many tokens were compared.
int64_t expect_as_reference(std::span<const float> got, const Reference& want, const spec::ModelConfig& config,
                            const std::string& what) {
  const auto V = static_cast<size_t>(config.vocab_size);
  const double largest = std::abs(*std::max_element(want.logits_TV.begin(), want.logits_TV.end(),
                                                    [](double a, double b) { return std::abs(a) < std::abs(b); }));
  const auto T = static_cast<int64_t>(want.margins_T.size());
  const double allowed = testing::engine_bound(config, T) * largest;
  double worst = 0;
  size_t worst_at = 0, compared = 0;
  for (size_t t = 0; t < want.margins_T.size() && want.margins_T[t] >= 1e-5; ++t, ++compared) {
    for (size_t i = t * V; i < (t + 1) * V; ++i) {
      const double error = std::abs(got[i] - want.logits_TV[i]);
      if (!(error <= worst)) worst = error, worst_at = i;
    }
  }
  EXPECT_LE(worst, allowed) << what << ": token " << worst_at / V << ", entry " << worst_at % V << ", got "
                            << got[worst_at] << ", want " << want.logits_TV[worst_at];
  EXPECT_LT(allowed, 0.1 * largest) << what << ": a bound this wide would not see a wrong gate";
  return static_cast<int64_t>(compared);
}

class EveryGate : public ::testing::TestWithParam<testing::NamedConfig> {};
INSTANTIATE_TEST_SUITE_P(Odd, EveryGate, ::testing::ValuesIn(odd_configs()), testing::config_label);

TEST_P(EveryGate, LogitsAreThoseOfTheDefinition) {
  const spec::ModelConfig& config = GetParam().config;
  int64_t compared = 0;
  for (const uint64_t seed : {1, 2, 3}) {
    Engine engine(random_weights(config, seed), {.threads = 1, .chunk = 7});
    const auto ids = random_ids(config, 20, seed);
    compared +=
        expect_as_reference(all_logits(engine, ids), reference_forward(engine.weights(), ids), config, "logits");
  }
  EXPECT_GE(compared, 40) << "too many near ties to have compared much";
}

TEST_P(EveryGate, PrefillInPiecesIsPrefillAtOnceToTheBit) {
  const spec::ModelConfig& config = GetParam().config;
  const auto ids = random_ids(config, 150);
  Engine whole(random_weights(config), {.threads = 1, .chunk = 4096});
  const auto want = all_logits(whole, ids);
  const auto V = static_cast<size_t>(config.vocab_size);
  for (const int64_t chunk : {1, 3, 64, 100}) {
    Engine engine(random_weights(config), {.threads = 1, .chunk = chunk});
    ASSERT_EQ(all_logits(engine, ids), want) << "chunks of " << chunk;
  }
  Session session(whole);
  for (size_t at = 0, step = 1; at < ids.size(); at += step, step = step * 2 + 1) {
    const auto part = std::span(ids).subspan(at, std::min(step, ids.size() - at));
    const auto last = session.append(part);
    ASSERT_EQ(std::memcmp(last.data(), want.data() + (at + part.size() - 1) * V, V * sizeof(float)), 0) << at;
  }
}

TEST_P(EveryGate, ThreadsDoNotShowInTheBits) {
  const spec::ModelConfig& config = GetParam().config;
  const auto ids = random_ids(config, 70);
  Engine one(random_weights(config), {.threads = 1});
  const auto want = all_logits(one, ids);
  for (const int threads : {2, 3, 5}) {
    Engine engine(random_weights(config), {.threads = threads});
    ASSERT_EQ(engine.threads(), threads);
    ASSERT_EQ(all_logits(engine, ids), want) << threads;
  }
}

// At this size every parallel region of the pass is really cut into several chunks.
TEST(Bits, ThreadsAndChunksDoNotShowInALargerModel) {
  auto config = small_config();
  config.hidden_size = 192, config.num_attention_heads = 6, config.num_key_value_heads = 2, config.vocab_size = 700;
  config.moe_intermediate_size = 96, config.intermediate_size = 300, config.n_routed_experts = 16;
  config.num_hidden_layers = 3, config.first_k_dense_replace = 1;
  const auto ids = random_ids(config, 200);
  Engine one(random_weights(config), {.threads = 1, .chunk = 200});
  const auto want = all_logits(one, ids);
  for (const int threads : {2, 3, 5}) {
    for (const int64_t chunk : {1, 48, 200}) {
      Engine engine(random_weights(config), {.threads = threads, .chunk = chunk});
      ASSERT_EQ(all_logits(engine, ids), want) << threads << " threads, chunks of " << chunk;
    }
  }
}

TEST(Bits, ASequenceInABatchIsItselfAlone) {
  for (const auto& [name, config] : odd_configs()) {
    Engine engine(random_weights(config), {.threads = 2, .chunk = 13});
    const auto V = static_cast<size_t>(config.vocab_size);
    std::vector<std::vector<int32_t>> prompts;
    std::vector<std::vector<float>> alone, together;
    for (const int64_t length : {1, 17, 5, 40}) {
      prompts.push_back(random_ids(config, length, static_cast<uint64_t>(length)));
      alone.push_back(all_logits(engine, prompts.back()));
      together.emplace_back(alone.back().size());
    }
    std::vector<KvCache> caches;
    for (size_t i = 0; i < prompts.size(); ++i) caches.emplace_back(config);
    std::vector<BatchItem> items;
    for (size_t i = 0; i < prompts.size(); ++i) items.push_back({&caches[i], prompts[i], together[i]});
    engine.pass(items);
    EXPECT_EQ(together, alone) << name;
    // One more token each, with the batch in another order and one sequence missing.
    std::vector<std::vector<float>> next(prompts.size(), std::vector<float>(V));
    const std::vector<int32_t> token = {3};
    engine.pass(std::vector<BatchItem>{{&caches[3], token, next[3]}, {&caches[0], token, next[0]}});
    for (const size_t i : {0u, 3u}) {
      auto longer = prompts[i];
      longer.push_back(3);
      const auto want = all_logits(engine, longer);
      EXPECT_TRUE(std::equal(next[i].begin(), next[i].end(), want.end() - static_cast<int64_t>(V))) << name;
    }
  }
}

constexpr CacheType kCacheTypes[] = {CacheType::kF32, CacheType::kF16, CacheType::kQ8};

// Past a span's border (kernels/cache_block.h), where one query's past is shared out and joined; a thread takes as many
// heads together as their number and that of threads allow.
TEST(Bits, LongContextsAreTheSameHoweverTheyAreComputed) {
  auto grouped = odd_config("softmax_with_bias").config, many = small_config();
  many.hidden_size = 112, many.num_attention_heads = many.num_key_value_heads = 7;
  for (auto config : {grouped, many}) {
    config.max_position_embeddings = 2000;
    const auto ids = random_ids(config, 1200);
    const auto V = static_cast<size_t>(config.vocab_size);
    for (const CacheType type : kCacheTypes) {
      Engine one(random_weights(config), {.threads = 1, .chunk = 256, .cache = type});
      const auto want = all_logits(one, ids);
      for (const int threads : {2, 3, 5}) {
        Engine engine(random_weights(config), {.threads = threads, .chunk = 100, .cache = type});
        ASSERT_EQ(all_logits(engine, ids), want) << threads;
        Session session(engine);
        session.append(std::span(ids).first(1100));
        for (size_t t = 1100; t < ids.size(); ++t) {
          const auto last = session.append(std::span(ids).subspan(t, 1));
          ASSERT_EQ(std::memcmp(last.data(), want.data() + t * V, V * sizeof(float)), 0) << t;
        }
      }
    }
  }
}

// Sequences join and leave a batch at random, some decoding, some prefilling; each is itself alone.
TEST(Bits, JoiningAndLeavingAtRandomChangesNobody) {
  auto config = odd_config("softmax_topk").config;
  config.max_position_embeddings = 900;
  base::Rng rng(4);
  for (const CacheType type : kCacheTypes) {
    Engine engine(random_weights(config), {.threads = 3, .chunk = 24, .cache = type});
    Engine alone(random_weights(config), {.threads = 1, .cache = type});
    const auto V = static_cast<size_t>(config.vocab_size);
    constexpr size_t kSequences = 5;
    std::vector<std::vector<int32_t>> histories;
    std::vector<std::vector<float>> want;
    std::vector<KvCache> caches;
    for (size_t i = 0; i < kSequences; ++i) {
      histories.push_back(random_ids(config, static_cast<int64_t>(60 + 160 * i), i));
      want.push_back(all_logits(alone, histories.back()));
      caches.emplace_back(config, type);
    }
    for (bool going = true; going;) {
      std::vector<BatchItem> items;
      std::vector<std::vector<float>> got(kSequences, std::vector<float>(V));
      going = false;
      for (size_t i = 0; i < kSequences; ++i) {
        const auto done = static_cast<size_t>(caches[i].size()), left = histories[i].size() - done;
        if (left == 0) continue;
        going = true;
        if (rng.below(3) == 0) continue;
        const size_t count = rng.below(2) == 0 ? 1 : 1 + rng.below(std::min<uint64_t>(left, 130));
        items.push_back({&caches[i], std::span(histories[i]).subspan(done, count), got[i]});
      }
      engine.pass(items);
      for (const BatchItem& item : items) {
        const auto i = static_cast<size_t>(item.cache - caches.data());
        ASSERT_EQ(std::memcmp(got[i].data(), want[i].data() + static_cast<size_t>(caches[i].size() - 1) * V,
                              V * sizeof(float)),
                  0)
            << "sequence " << i << " at " << caches[i].size();
      }
    }
  }
}

// Keys and values rounded to 11 bits or to 255 steps: relative to f32 the logits move, and by no more than a few
// roundings a layer.
TEST(CacheTypes, ANarrowerCacheLosesOnlyItsRounding) {
  const auto config = small_config();
  const auto ids = random_ids(config, 100);
  const auto logits = [&](CacheType type) {
    Engine engine(random_weights(config), {.threads = 1, .cache = type});
    return all_logits(engine, ids);
  };
  const auto exact = logits(CacheType::kF32);
  const float largest = *std::max_element(exact.begin(), exact.end());
  // An expert may be picked otherwise after a near tie, hence the mean and not the worst: scores move by rounding times
  // |q k| and outputs by rounding times |v|, both of the order of the stream, in each of two layers.
  for (const auto& [type, rounding] : {std::pair{CacheType::kF16, 0x1p-11}, std::pair{CacheType::kQ8, 1.0 / 254}}) {
    const auto got = logits(type);
    double sum = 0;
    for (size_t i = 0; i < got.size(); ++i) sum += std::abs(got[i] - exact[i]);
    const double mean = sum / static_cast<double>(got.size());
    EXPECT_GT(mean, 0) << "the type must be in use";
    EXPECT_LT(mean, 2 * 2 * rounding * largest) << cache_type_name(type);
  }
}

// The real cache and a toy (the list of tokens, recomputed from nothing) under the same random life.
TEST(KvCacheLife, AppendingAndRewindingAtRandomIsRecomputing) {
  const auto config = odd_config("first_layers_dense").config;
  for (const CacheType type : kCacheTypes) {
    Engine engine(random_weights(config), {.threads = 1, .chunk = 32, .cache = type});
    Engine toy(random_weights(config), {.threads = 1, .cache = type});
    base::Rng rng(99);
    std::vector<Session> sessions;
    std::vector<std::vector<int32_t>> histories(3);
    for (size_t i = 0; i < histories.size(); ++i) sessions.emplace_back(engine);
    for (int step = 0; step < 60; ++step) {
      const size_t who = rng.below(histories.size());
      auto& history = histories[who];
      if (!history.empty() && rng.below(4) == 0) {
        history.resize(rng.below(history.size() + 1));
        sessions[who].rewind(static_cast<int64_t>(history.size()));
      }
      const auto room = static_cast<uint64_t>(config.max_position_embeddings) - history.size();
      const auto more =
          random_ids(config, static_cast<int64_t>(1 + rng.below(std::min<uint64_t>(70, room))), rng.next());
      history.insert(history.end(), more.begin(), more.end());
      if (history.size() == static_cast<size_t>(config.max_position_embeddings)) history.pop_back();
      const auto fresh = std::span(history).subspan(static_cast<size_t>(sessions[who].size()));
      if (fresh.empty()) continue;
      const auto got = sessions[who].append(fresh);
      Session recomputed(toy);
      const auto want = recomputed.append(history);
      ASSERT_TRUE(std::equal(got.begin(), got.end(), want.begin(), want.end())) << "step " << step;
      ASSERT_EQ(sessions[who].size(), static_cast<int64_t>(history.size()));
    }
  }
}

// The sanitizer refuses what the C library lets pass.
// Copies share their memory until one of them stores, and none ever shows in another: what each holds is what it would
// hold alone. Lengths around the ends of blocks, pieces and spans.
TEST(KvCacheLife, CopiesGoTheirOwnWays) {
  const spec::ModelConfig config = testing::small_config();
  for (const CacheType type : {CacheType::kF32, CacheType::kQ8}) {
    Engine engine(testing::random_weights(config), {.threads = 1, .cache = type});
    const auto ids = testing::random_ids(config, 300), other = testing::random_ids(config, 40, 77);
    const auto V = static_cast<size_t>(config.vocab_size);
    std::vector<float> logits(V), expected(V);
    const auto read = [&](KvCache& cache, std::span<const int32_t> tokens, std::span<float> into) {
      const BatchItem item{&cache, tokens, into};
      engine.pass({&item, 1});
    };
    for (const int64_t shared : {1, 63, 64, 65, 128, 130, 200, 256}) {
      const auto common = std::span(ids).first(static_cast<size_t>(shared));
      KvCache first(config, type);
      read(first, std::span(ids).first(270), logits);
      KvCache second = first;
      const int64_t bytes = first.bytes();
      EXPECT_EQ(second.bytes(), bytes);
      second.truncate(shared);
      EXPECT_GT(second.growth(1), 0) << "the piece it goes on in belongs to both";
      read(second, std::span(other).first(40), logits);
      EXPECT_EQ(second.growth(1), KvCache::bytes_for(config, type, shared + 41) - second.bytes());
      KvCache alone(config, type);
      read(alone, common, expected);
      read(alone, std::span(other).first(40), expected);
      EXPECT_EQ(logits, expected) << shared;
      read(first, std::span(ids).subspan(270, 20), logits);
      KvCache undisturbed(config, type);
      read(undisturbed, std::span(ids).first(290), expected);
      EXPECT_EQ(logits, expected) << shared;
    }
  }
}

TEST(KvCacheLife, LargePiecesNeedNotBeWholeLargePages) {
  auto config = small_config();
  config.hidden_size = 16 * 128;
  config.num_attention_heads = config.num_key_value_heads = 16;
  config.num_hidden_layers = 28;
  KvCache cache(config, CacheType::kQ8);
  cache.extend(1);
  EXPECT_GT(cache.bytes(), 2 * static_cast<int64_t>(base::kLargePage));
  EXPECT_NE(cache.bytes() % static_cast<int64_t>(base::kLargePage), 0);
}

TEST(KvCacheLife, MemoryFollowsTheLength) {
  const auto config = small_config();
  for (const auto& [type, head] : {std::pair{CacheType::kF32, 4 * 8}, {CacheType::kF16, 2 * 8}, {CacheType::kQ8, 10}}) {
    KvCache cache(config, type);
    EXPECT_EQ(cache.bytes(), 0);
    cache.extend(1);
    const int64_t block = cache.bytes();
    EXPECT_EQ(block, 2 * 2 * 3 * 64 * head);  // layers, key and value, heads, positions, bytes
    cache.extend(64);
    EXPECT_EQ(cache.bytes(), 2 * block);
    EXPECT_EQ(KvCache::bytes_for(config, type, 65), 2 * block);
    // Pieces of 1, 1, 2, 4 and then 8 blocks.
    for (const auto& [positions, blocks] : {std::pair{129, 4}, {257, 8}, {512, 8}, {513, 16}, {1100, 24}}) {
      cache.extend(positions - cache.size());
      EXPECT_EQ(cache.bytes(), blocks * block) << positions;
      EXPECT_EQ(KvCache::bytes_for(config, type, positions), blocks * block) << positions;
    }
    for (const auto& [positions, blocks] : {std::pair{1025, 24}, {1024, 16}, {200, 4}, {64, 1}}) {
      cache.truncate(positions);
      EXPECT_EQ(cache.bytes(), blocks * block) << positions;
    }
    cache.truncate(0);
    EXPECT_EQ(cache.bytes(), block) << "kept for what comes next";
  }
}

TEST(Isas, EveryInstructionSetAgreesWithTheDefinition) {
  for (const auto& [name, config] :
       {odd_config("softmax_topk"), odd_config("deepseek_v3_groups"), odd_config("odd_sizes")}) {
    Engine engine(random_weights(config), {.threads = 1});
    const auto ids = random_ids(config, 16);
    const Reference want = reference_forward(engine.weights(), ids);
    for (const auto isa : kernels::available_isas()) {
      kernels::use_isa(isa);
      expect_as_reference(all_logits(engine, ids), want, config, name + " on " + std::string(kernels::isa_name(isa)));
    }
  }
  kernels::use_isa(kernels::isa_from(""));
}

TEST(Errors, NameTheRuleAndTheFigures) {
  const auto config = small_config();
  Engine engine(random_weights(config), {.threads = 1});
  Session session(engine);
  const auto message = [&](const std::vector<int32_t>& ids) -> std::string {
    try {
      session.append(ids);
    } catch (const base::Error& error) {
      EXPECT_EQ(error.kind(), base::ErrorKind::kInvalid);
      return error.what();
    }
    return "no error";
  };
  EXPECT_THAT(message({}), ::testing::HasSubstr("at least one token"));
  EXPECT_THAT(message({1, 37}), ::testing::HasSubstr("token ids must be from 0 to 36: 37"));
  EXPECT_THAT(message({-1}), ::testing::HasSubstr("token ids must be from 0 to 36: -1"));
  EXPECT_EQ(session.size(), 0) << "a refused call changes nothing";
  session.append(random_ids(config, 290));
  EXPECT_THAT(message(random_ids(config, 11)),
              ::testing::HasSubstr("at most max_position_embeddings = 300 tokens: 290 so far and 11 more"));
  EXPECT_EQ(session.size(), 290);
  EXPECT_EQ(message(random_ids(config, 10)), "no error");
}

TEST(Errors, ACacheThatIsThereTwiceIsRefusedBeforeAnythingChanges) {
  const auto config = small_config();
  Engine engine(random_weights(config), {.threads = 1});
  KvCache one(config), two(config);
  const auto ids = random_ids(config, 3);
  for (const auto& caches : {std::vector<KvCache*>{&one, &one}, {&one, &two, &one}}) {
    std::vector<BatchItem> items;
    for (KvCache* cache : caches) items.push_back({cache, ids, {}});
    try {
      engine.pass(items);
      ADD_FAILURE() << "taken";
    } catch (const base::Error& error) {
      EXPECT_EQ(error.kind(), base::ErrorKind::kInvalid);
      EXPECT_THAT(error.what(), ::testing::HasSubstr("a cache may be in a pass once"));
    }
    EXPECT_EQ(one.size(), 0);
    EXPECT_EQ(one.bytes() + two.bytes(), 0);
  }
}

// Throws at the n-th routing that it sees.
class FailingProbe : public RoutingProbe {
 public:
  explicit FailingProbe(int n) : left_(n) {}
  void on_routing(int64_t, const RoutingView&) override {
    if (--left_ == 0) throw std::runtime_error("the probe gives up");
  }

 private:
  int left_;
};

// A pass of two sequences fails at any of its layers and chunks: neither cache has grown, and what comes next has the
// bits that it would have had.
TEST(Errors, AFailedPassLeavesCachesAsTheyWere) {
  const auto config = small_config();
  const auto prompt = random_ids(config, 70), more = random_ids(config, 20, 2);
  for (const CacheType type : {CacheType::kF32, CacheType::kF16, CacheType::kQ8}) {
    const EngineOptions options{.threads = 2, .chunk = 7, .cache = type};
    Engine engine(random_weights(config), options);
    Session undisturbed(engine);
    undisturbed.append(prompt);
    const auto expected = undisturbed.append_all(more);
    const std::vector<float> want(expected.begin(), expected.end());
    for (const int at : {1, 2, 5, 9}) {
      Session session(engine), neighbour(engine);
      session.append(prompt);
      const int64_t bytes = session.cache().bytes();
      FailingProbe probe(at);
      const std::vector<int32_t> lost = random_ids(config, 100, 3);
      const BatchItem items[] = {{&neighbour.cache(), prompt, {}}, {&session.cache(), lost, {}, nullptr, &probe}};
      EXPECT_THROW(engine.pass(items), std::runtime_error);
      EXPECT_EQ(session.size(), 70);
      EXPECT_EQ(neighbour.size(), 0);
      EXPECT_EQ(session.cache().bytes(), bytes);
      const auto got = session.append_all(more);
      EXPECT_TRUE(std::equal(got.begin(), got.end(), want.begin(), want.end())) << at;
      neighbour.append(prompt);
      const auto beside = neighbour.append_all(more);
      EXPECT_TRUE(std::equal(beside.begin(), beside.end(), want.begin(), want.end())) << at;
    }
  }
}

TEST(Logits, OfTheLastTokensAreThoseOfAll) {
  const auto config = small_config();
  Engine engine(random_weights(config), {.threads = 1, .chunk = 4});
  const auto ids = random_ids(config, 11);
  const auto all = all_logits(engine, ids);
  for (const size_t rows : {11u, 5u, 1u, 0u}) {
    Session session(engine);
    const auto last = session.append_last(ids, rows);
    ASSERT_EQ(last.size(), rows * static_cast<size_t>(config.vocab_size));
    EXPECT_TRUE(std::equal(last.rbegin(), last.rend(), all.rbegin()));
  }
}

TEST(Errors, WhatDoesNotFitIntoMemoryIsRefusedWithTheFigure) {
  const auto config = small_config();
  const auto message = [&](EngineOptions options, int64_t tokens, bool all = false) -> std::string {
    options.threads = 1;
    Engine engine(random_weights(config), options);
    Session session(engine);
    const auto ids = random_ids(config, tokens);
    try {
      session.check(ids);
      all ? session.append_all(ids) : session.append(ids);
    } catch (const base::Error& error) {
      EXPECT_EQ(error.kind(), base::ErrorKind::kInvalid);
      EXPECT_EQ(session.size(), 0) << "a refused call changes nothing";
      return error.what();
    }
    return "no error";
  };
  const int64_t block = KvCache::bytes_for(config, CacheType::kF32, 1);  // 24,576
  EXPECT_EQ(message({.chunk = 1, .memory = block}, 64), "no error");
  EXPECT_THAT(message({.chunk = 1, .memory = block}, 65),
              ::testing::HasSubstr("the keys and values of 65 tokens must fit into memory: needs 49152 bytes, free are "
                                   "24576 bytes; a shorter context"));
  EXPECT_EQ(message({.chunk = 1, .memory = block, .cache = CacheType::kF16}, 65), "no error");
  EXPECT_THAT(message({.chunk = 64, .memory = block}, 64), ::testing::HasSubstr("a batch of 64 tokens must fit"));
  EXPECT_THAT(message({.chunk = 1, .memory = 4 * block}, 290), ::testing::HasSubstr("the keys and values of 290"));
  EXPECT_THAT(message({.chunk = 1, .memory = block}, 64, true), "no error");
}

TEST(WeightsInMemory, ARouterIsReadAsBf16WhereThatLosesNothing) {
  const auto config = small_config();
  FloatTensors tensors = testing::random_tensors(config, 1);
  const std::string name = spec::layer_prefix(1) + "mlp.gate.weight";
  for (float& x : tensors.at(name).values) x = kernels::from_bf16(kernels::to_bf16(x));
  const auto type = [&] { return Weights::from_tensors(config, tensors).layers()[1].router.type; };
  EXPECT_EQ(type(), kernels::WeightType::kBf16);
  tensors.at(name).values.back() = 1 + 0x1p-8f;
  EXPECT_EQ(type(), kernels::WeightType::kF32);
}

TEST(WeightsInMemory, ATokenReadsItsShareOfEachMatrix) {
  const auto config = small_config();
  const Weights weights = random_weights(config);
  double all = 0, of_a_token = 0;
  weights.for_each_matrix([&](const kernels::Matrix& m, double share) {
    const auto values = static_cast<double>(m.rows * m.cols);
    all += values;
    of_a_token += share * values;
  });
  const auto whole = spec::count_parameters(config), activated = spec::count_activated(config);
  EXPECT_EQ(all, static_cast<double>(whole.total() - whole.norms));
  EXPECT_DOUBLE_EQ(of_a_token,
                   static_cast<double>(activated.total() - activated.norms - activated.embedding + config.hidden_size));
}

TEST(WeightsInMemory, MustBeExactlyTheModels) {
  const auto config = small_config();
  const auto refused = [&](auto change) -> std::string {
    FloatTensors tensors = testing::random_tensors(config, 1);
    change(tensors);
    try {
      Weights::from_tensors(config, std::move(tensors));
    } catch (const base::Error& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_EQ(refused([](FloatTensors&) {}), "no error");
  EXPECT_THAT(refused([](FloatTensors& t) { t.erase("lm_head.weight"); }),
              ::testing::HasSubstr("a tensor is missing: lm_head.weight"));
  EXPECT_THAT(refused([](FloatTensors& t) { t["lm_head.weight"].values.pop_back(); }),
              ::testing::HasSubstr("wrong shape: lm_head.weight"));
  EXPECT_THAT(refused([](FloatTensors& t) { t["extra"] = {}; }), ::testing::HasSubstr("does not have"));
}

}  // namespace
}  // namespace dsmoe::engine
