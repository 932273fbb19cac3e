// The order of training as laws: a pure function, every window once an epoch, weights kept, and tokens where the
// definition says.
#include "corpus/batches.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <numeric>
#include <set>
#include <thread>

#include "base/rng.h"
#include "corpus/keyed_permutation.h"
#include "corpus/lattice.h"
#include "corpus/test_corpus.h"

namespace dsmoe::corpus {
namespace {

using Ids = std::vector<int32_t>;

TEST(KeyedPermutation, IsOneForEverySizeAndKey) {
  for (uint64_t size = 1; size <= 300; ++size) {
    const KeyedPermutation shuffle(size, size * 77);
    std::set<uint64_t> seen;
    for (uint64_t i = 0; i < size; ++i) seen.insert(shuffle(i));
    ASSERT_EQ(seen.size(), size);
    ASSERT_EQ(*seen.rbegin(), size - 1);
  }
}

TEST(KeyedPermutation, KeysGiveDifferentUnrelatedOrders) {
  const uint64_t size = 1000;
  const KeyedPermutation one(size, 1), two(size, 2);
  uint64_t equal = 0, ascending = 0;
  for (uint64_t i = 0; i + 1 < size; ++i) {
    equal += one(i) == two(i);
    ascending += one(i) < one(i + 1);
  }
  EXPECT_LT(equal, 10U);                                      // Poisson of mean 1
  EXPECT_NEAR(static_cast<double>(ascending), 500, 5 * 9.2);  // standard deviation sqrt(size / 12)
}

RC_GTEST_PROP(Lattice, FloorSumIsTheSum, ()) {
  const auto n = *rc::gen::inRange<uint64_t>(0, 60), m = *rc::gen::inRange<uint64_t>(1, 1000);
  const auto a = *rc::gen::inRange<uint64_t>(0, 2000), b = *rc::gen::inRange<uint64_t>(0, 2000);
  uint64_t sum = 0;
  for (uint64_t i = 0; i < n; ++i) sum += (a * i + b) / m;
  RC_ASSERT(static_cast<uint64_t>(floor_sum(n, m, a, b)) == sum);
}

RC_GTEST_PROP(Lattice, VisitsAreCountedAndEveryResidueComesOnce, ()) {
  const auto modulus = *rc::gen::inRange<uint64_t>(1, 200);
  const Lattice lattice = Lattice::golden(modulus, *rc::gen::arbitrary<uint64_t>());
  const auto begin = *rc::gen::inRange<uint64_t>(0, modulus + 1), end = *rc::gen::inRange(begin, modulus + 1);
  uint64_t visits = 0;
  std::set<uint64_t> seen;
  for (uint64_t n = 0; n < 2 * modulus; ++n) {
    RC_ASSERT(lattice.visits(n, begin, end) == visits);
    const uint64_t residue = lattice.residue(n);
    visits += residue >= begin && residue < end;
    if (n < modulus) seen.insert(residue);
  }
  RC_ASSERT(seen.size() == modulus);
}

TEST(Lattice, CountsAtTheFarEndOfItsRange) {
  const Lattice lattice = Lattice::golden((uint64_t{1} << 40) - 87, 12345);
  const uint64_t n = uint64_t{1} << 50, half = lattice.modulus / 2;
  const uint64_t low = lattice.visits(n, 0, half), high = lattice.visits(n, half, lattice.modulus);
  EXPECT_EQ(low + high, n);
  EXPECT_NEAR(static_cast<double>(low) / static_cast<double>(n), 0.5, 1e-9);
  EXPECT_EQ(lattice.visits(n + 1, 0, half) - low, lattice.residue(n) < half);
}

// Corpora whose every token is known by its value: document d of domain k holds its own run of numbers.
class Batches : public ::testing::Test {
 protected:
  // Tokens of a document count up from `next_`; no frames, so that streams can be told apart by value.
  TokenDataset corpus(const std::vector<std::vector<int>>& lengths) {
    CorpusEncoder encoder{[](std::string_view text) {
                            Ids ids;
                            int first = 0, count = 0;
                            std::sscanf(std::string(text).c_str(), "%d+%d", &first, &count);
                            for (int i = 0; i < count; ++i) ids.push_back(first + i);
                            return ids;
                          },
                          1 << 20,
                          -1,
                          -1,
                          "numbers",
                          {}};
    NamedTexts texts;
    int next = 0;
    for (size_t domain = 0; domain < lengths.size(); ++domain) {
      texts.push_back({"d" + std::to_string(domain), {}});
      for (const int length : lengths[domain]) {
        texts.back().second.push_back(std::to_string(next) + "+" + std::to_string(length));
        next += length;
      }
    }
    BuildOptions options;
    options.valid_share = 0;
    folders_.push_back(std::make_unique<base::TestFolder>());
    build_test_corpus(*folders_.back(), texts, encoder, options);
    return TokenDataset::open(*folders_.back() / "out", "train");
  }
  static std::vector<int> lengths(int documents, int longest, uint64_t seed) {
    base::Rng rng(seed);
    std::vector<int> out;
    for (int i = 0; i < documents; ++i) out.push_back(1 + static_cast<int>(rng.below(static_cast<uint64_t>(longest))));
    return out;
  }
  static Ids sequence(const BatchOrder& order, int64_t step, int64_t row, int64_t batch) {
    Ids out(static_cast<size_t>(order.sequence_length()) + 1);
    int domain = -1;
    order.sequence(step, row, batch, out, domain);
    EXPECT_EQ(domain, order.pick(step * batch + row).domain);
    return out;
  }
  std::vector<std::unique_ptr<base::TestFolder>> folders_;
};

TEST_F(Batches, AnEpochShowsEveryWindowOnceAndEveryTokenButTheTails) {
  const TokenDataset dataset = corpus({lengths(40, 30, 1), lengths(7, 90, 2), lengths(1, 50, 3), {500}});
  for (const int64_t length : {1, 2, 7, 16, 64}) {
    const BatchOrder order(dataset, 5, length);
    const int64_t epoch = order.sequences_per_epoch();
    for (int64_t start : {int64_t{0}, epoch, 3 * epoch}) {
      std::set<std::pair<int, int64_t>> windows;
      std::vector<int> targets(static_cast<size_t>(dataset.total_tokens()));
      for (int64_t n = start; n < start + epoch; ++n) {
        const auto pick = order.pick(n);
        ASSERT_EQ(pick.epoch, start / epoch);
        ASSERT_TRUE(windows.emplace(pick.domain, pick.window).second) << "a window came twice";
        const Ids ids = sequence(order, n / 4, n % 4, 4);
        for (size_t i = 1; i < ids.size(); ++i) ++targets[static_cast<size_t>(ids[i])];
      }
      int64_t missed = 0, allowed = 0;
      for (const int count : targets) {
        ASSERT_LE(count, 1);
        missed += count == 0;
      }
      for (int d = 0; d < 4; ++d) {
        const int64_t tokens = dataset.counts(d).tokens;
        EXPECT_EQ(order.windows(d), (tokens - 1) / length);
        allowed += 1 + (tokens - 1) % length;
      }
      EXPECT_EQ(missed, allowed);
    }
  }
}

TEST_F(Batches, WindowsAreCutFromWholeDocumentsInARow) {
  const TokenDataset dataset = corpus({lengths(30, 25, 4)});
  std::set<int32_t> firsts, lasts;
  for (int64_t d = 0, at = 0; d < dataset.documents(); at += dataset.tokens_in(d++)) {
    firsts.insert(static_cast<int32_t>(at));
    lasts.insert(static_cast<int32_t>(at + dataset.tokens_in(d)) - 1);
  }
  const BatchOrder order(dataset, 6, 16);
  std::map<int64_t, Ids> by_window;
  for (int64_t n = 0; n < order.sequences_per_epoch(); ++n) by_window[order.pick(n).window] = sequence(order, n, 0, 1);
  Ids stream(1, by_window[0][0]);
  for (const auto& [window, ids] : by_window) {
    ASSERT_EQ(ids.front(), stream.back()) << "neighbours share one id";
    stream.insert(stream.end(), ids.begin() + 1, ids.end());
  }
  ASSERT_TRUE(firsts.count(stream.front()));
  for (size_t i = 1; i < stream.size(); ++i) {
    if (stream[i] == stream[i - 1] + 1 && !lasts.count(stream[i - 1])) continue;
    ASSERT_TRUE(lasts.count(stream[i - 1]) && firsts.count(stream[i])) << "cut inside a document at " << i;
  }
}

TEST_F(Batches, RowsDependOnNothingButSeedStepAndRow) {
  const TokenDataset dataset = corpus({lengths(20, 30, 1), lengths(20, 30, 2)});
  const std::map<std::string, double> weights = {{"d0", 1}, {"d1", 3}};
  const BatchOrder forward(dataset, 7, 8, weights), backward(dataset, 7, 8, weights), other(dataset, 8, 8, weights);
  constexpr int64_t kCount = 400;
  std::vector<Ids> wanted;
  for (int64_t n = 0; n < kCount; ++n) wanted.push_back(sequence(forward, n / 10, n % 10, 10));
  int64_t differ = 0;
  for (int64_t n = kCount; n-- > 0;) {
    ASSERT_EQ(sequence(backward, n / 10, n % 10, 10), wanted[static_cast<size_t>(n)]);
    ASSERT_EQ(sequence(backward, n / 40, n % 40, 40), wanted[static_cast<size_t>(n)]) << "only n counts";
    differ += sequence(other, n / 10, n % 10, 10) != wanted[static_cast<size_t>(n)];
  }
  EXPECT_GT(differ, kCount * 9 / 10);
  std::vector<std::thread> threads;
  std::atomic<int> wrong = 0;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int64_t n = t; n < kCount; n += 4)
        wrong += sequence(backward, 0, n, kCount) != wanted[static_cast<size_t>(n)];
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST_F(Batches, EpochsAreShuffledAnew) {
  const TokenDataset dataset = corpus({lengths(200, 20, 1)});
  const BatchOrder order(dataset, 9, 8);
  const int64_t epoch = order.sequences_per_epoch();
  std::set<Ids> first;
  int64_t again = 0, same_place = 0;
  for (int64_t n = 0; n < epoch; ++n) first.insert(sequence(order, n, 0, 1));
  for (int64_t n = 0; n < epoch; ++n) {
    again += static_cast<int64_t>(first.count(sequence(order, n + epoch, 0, 1)));
    same_place += order.pick(n).window == order.pick(n + epoch).window;
  }
  EXPECT_LT(again, epoch / 4) << "documents are shuffled, so most windows hold other tokens";
  EXPECT_LT(same_place, epoch / 10);
}

TEST_F(Batches, WeightsAreKeptInEveryStretch) {
  const TokenDataset dataset = corpus({lengths(9, 99, 1), lengths(9, 99, 2), lengths(9, 99, 3), lengths(9, 99, 4)});
  const std::map<std::string, double> weights = {{"d0", 0.5}, {"d1", 2.25}, {"d3", 7.25}};
  const BatchOrder order(dataset, 1, 16, weights);
  const double expected[] = {0.05, 0.225, 0, 0.725};
  for (const auto& [start, count] : {std::pair{0, 20000}, std::pair{777, 1000}, std::pair{5, 40}}) {
    int seen[4] = {};
    for (int64_t n = start; n < start + count; ++n) ++seen[order.pick(n).domain];
    for (int d = 0; d < 4; ++d) {
      EXPECT_NEAR(order.share(d), expected[d], 1e-9);
      EXPECT_EQ(order.draws(d, start + count) - order.draws(d, start), seen[d]);
      const double deviation = std::sqrt(count * expected[d] * (1 - expected[d]));
      EXPECT_NEAR(seen[d], count * expected[d], 3 * deviation) << "no worse than independent draws";
      EXPECT_NEAR(seen[d], count * expected[d], 4) << "far better: the mixture is even";
    }
  }
  // a domain drawn k times has shown its first k windows, epoch by epoch, each once
  std::map<int64_t, std::set<int64_t>> epochs;
  for (int64_t n = 0; n < 2000; ++n) {
    if (const auto pick = order.pick(n); pick.domain == 3) {
      ASSERT_TRUE(epochs[pick.epoch].insert(pick.window).second);
      ASSERT_EQ(epochs.rbegin()->first, pick.epoch);
    }
  }
  for (const auto& [epoch, windows] : epochs) {
    const bool last = epoch == epochs.rbegin()->first;
    EXPECT_TRUE(last || static_cast<int64_t>(windows.size()) == order.windows(3));
  }
}

TEST_F(Batches, WithoutWeightsDomainsComeInProportionToTokens) {
  const TokenDataset dataset = corpus({{300}, {600}, {100}});
  const BatchOrder order(dataset, 1, 10);
  EXPECT_NEAR(order.share(0), 0.3, 0.01);
  EXPECT_NEAR(order.share(1), 0.6, 0.01);
  EXPECT_EQ(order.sequences_per_epoch(), 29 + 59 + 9);
}

TEST_F(Batches, BadRequestsAreNamed) {
  const TokenDataset dataset = corpus({{300}, {5}});
  const auto error = [&](int64_t length, const std::map<std::string, double>& weights) {
    return base::message_of([&] { BatchOrder(dataset, 1, length, weights); });
  };
  const auto has = [](const std::string& text, const std::string& part) {
    EXPECT_NE(text.find(part), std::string::npos) << text;
  };
  has(error(0, {}), "sequence_length must be at least 1");
  has(error(300, {}), "no domain has sequence_length + 1 tokens");
  has(error(8, {{"d0", 1}, {"x0", 1}}), "no such domain: \"x0\"; dsmoe data show lists them");
  has(error(8, {{"d0", -1}}), "weight must be a number from 0 up: d0 = -1");
  has(error(8, {{"d0", std::nan("")}}), "weight must be a number");
  has(error(8, {{"d0", INFINITY}}), "weight must be a number");
  has(error(8, {{"d0", 0}}), "positive, finite sum");
  has(error(8, {{"d0", 1}, {"d1", 1}}), "too small for one window of sequence_length + 1 tokens: d1 has 5");
  EXPECT_EQ(error(8, {{"d0", 1}, {"d1", 0}}), "(no error)");
  EXPECT_EQ(BatchOrder(dataset, 1, 8).share(1), 0) << "too small, so left out";
  EXPECT_EQ(BatchOrder(dataset, 1, 299).sequences_per_epoch(), 1);
}

}  // namespace
}  // namespace dsmoe::corpus
