// How models start: distributions, hash tables, and the same bytes for any number of threads.
#include "formats/initial_values.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "base/test_files.h"
#include "formats/manifest.h"
#include "formats/test_models.h"

namespace dsmoe::formats {
namespace {

namespace fs = base::fs;

const spec::TensorSpec kTensor{"model.layers.0.self_attn.q_proj.weight", {512, 512}, spec::TensorRole::kAttention};

std::vector<float> values_of(const spec::TensorSpec& tensor, uint64_t seed, double range = 0.02) {
  spec::ModelConfig config = small_mixture();
  config.initializer_range = range;
  std::vector<float> values(static_cast<size_t>(tensor.numel()));
  initial_values(tensor, config, seed, 0, values);
  return values;
}

TEST(InitialValues, AreNormalWithTheConfigsDeviation) {
  const std::vector<float> values = values_of(kTensor, 7);
  const auto n = static_cast<double>(values.size());
  double sum = 0, squares = 0, fourths = 0, neighbours = 0;
  int within = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    const double x = values[i] / 0.02;
    sum += x;
    squares += x * x;
    fourths += x * x * x * x;
    within += std::fabs(x) < 1;
    if (i > 0) neighbours += x * (values[i - 1] / 0.02);
  }
  // five standard errors of each estimate
  EXPECT_NEAR(sum / n, 0, 5 / std::sqrt(n));
  EXPECT_NEAR(squares / n, 1, 5 * std::sqrt(2 / n));
  EXPECT_NEAR(fourths / n, 3, 5 * std::sqrt(96 / n));
  EXPECT_NEAR(neighbours / n, 0, 5 / std::sqrt(n));
  EXPECT_NEAR(within / n, 0.6826895, 5 * std::sqrt(0.2166 / n));
}

TEST(InitialValues, ArePureFunctionsOfSeedNameAndIndex) {
  const std::vector<float> whole = values_of(kTensor, 7);
  std::vector<float> piece(100);
  spec::ModelConfig config = small_mixture();
  config.initializer_range = 0.02;
  initial_values(kTensor, config, 7, 1234, piece);
  EXPECT_TRUE(std::equal(piece.begin(), piece.end(), whole.begin() + 1234));
  EXPECT_NE(values_of(kTensor, 8), whole);
  spec::TensorSpec other = kTensor;
  other.name = "model.layers.1.self_attn.q_proj.weight";
  EXPECT_NE(values_of(other, 7), whole);
  // a change of these bits would change every run's start: they are part of the format
  EXPECT_EQ(values_of({"w", {3}, spec::TensorRole::kFfn}, 0, 1.0),
            (std::vector<float>{0x1.c29644p-3f, 0x1.60be86p-3f, -0x1.103066p+1f}));
}

TEST(InitialValues, NormsAreOneAndBiasesZero) {
  EXPECT_EQ(values_of({"n", {5}, spec::TensorRole::kNorm}, 1), std::vector<float>(5, 1.0f));
  EXPECT_EQ(values_of({"b", {5}, spec::TensorRole::kRouterBias}, 1), std::vector<float>(5, 0.0f));
}

spec::ModelConfig hash_config(spec::RouterType type, int64_t vocab, int64_t experts, int64_t chosen) {
  spec::ModelConfig config = small_mixture();
  config.router_type = type;
  config.vocab_size = vocab;
  config.n_routed_experts = experts;
  config.num_experts_per_tok = chosen;
  return config;
}

std::vector<int64_t> loads_of(const spec::ModelConfig& config, const std::vector<int32_t>& table,
                              const std::vector<int64_t>& frequencies) {
  const auto chosen = static_cast<size_t>(config.num_experts_per_tok);
  std::vector<int64_t> loads(static_cast<size_t>(config.n_routed_experts));
  for (size_t i = 0; i < table.size(); ++i) loads.at(static_cast<size_t>(table[i])) += frequencies[i / chosen];
  return loads;
}

TEST(HashTable, RandomOneCoversExpertsAndNeverRepeatsInAToken) {
  for (const int64_t chosen : {1, 2, 16}) {
    const spec::ModelConfig config = hash_config(spec::RouterType::kHash, 8192, 16, chosen);
    const std::vector<int32_t> table = initial_hash_table(config, 42);
    ASSERT_EQ(table.size(), static_cast<size_t>(8192 * chosen));
    for (const int64_t load : loads_of(config, table, std::vector<int64_t>(8192, 1))) {
      EXPECT_NEAR(static_cast<double>(load), 512.0 * static_cast<double>(chosen), 5 * std::sqrt(512.0 * 16));
    }
    for (size_t token = 0; token < 8192; ++token) {
      const auto begin = table.begin() + static_cast<ptrdiff_t>(token) * chosen;
      EXPECT_EQ(std::set<int32_t>(begin, begin + chosen).size(), static_cast<size_t>(chosen));
    }
    EXPECT_EQ(initial_hash_table(config, 42), table);
    EXPECT_NE(initial_hash_table(config, 43), table);
  }
}

TEST(HashTable, BalancedOneSharesTokensOrFrequenciesEvenly) {
  const spec::ModelConfig config = hash_config(spec::RouterType::kHashBalanced, 1003, 16, 1);
  std::vector<int64_t> loads = loads_of(config, initial_hash_table(config, 42), std::vector<int64_t>(1003, 1));
  std::sort(loads.begin(), loads.end());
  EXPECT_LE(loads.back() - loads.front(), 1);
  std::vector<int64_t> frequencies(1003);
  for (size_t i = 0; i < frequencies.size(); ++i) frequencies[i] = static_cast<int64_t>(100000 / (i + 1));  // Zipf
  loads = loads_of(config, initial_hash_table(config, 42, frequencies), frequencies);
  std::sort(loads.begin(), loads.end());
  // the two most frequent tokens alone outweigh a share; the other experts are even to within the smallest weight
  EXPECT_EQ(loads[15], 100000);
  EXPECT_EQ(loads[14], 50000);
  EXPECT_LE(loads[13] - loads[0], 100);
  const spec::ModelConfig two = hash_config(spec::RouterType::kHashBalanced, 100, 5, 2);
  for (const int64_t load : loads_of(two, initial_hash_table(two, 1), std::vector<int64_t>(100, 1))) {
    EXPECT_EQ(load, 40);
  }
}

TEST(InitialModel, SameBytesForAnyNumberOfThreads) {
  const base::TestFolder folder("initial_threads");
  spec::ModelConfig config = small_mixture();
  config.vocab_size = 9001;  // more than one grain of values
  std::string first;
  for (const int threads : {1, 2, 5}) {
    base::ThreadPool pool(threads);
    base::FolderWriter made(folder / std::to_string(threads), base::unsynced_files);
    ModelFolderWriter writer(made.path(), config, {.dtype = Dtype::kBf16}, base::unsynced_files);
    uint64_t last = 0;
    write_initial_model(writer, config, 3, pool.parallel_for(), [&](uint64_t written) {
      EXPECT_GE(written, last);
      last = written;
    });
    EXPECT_EQ(last, writer.total_size());
    writer.finish();
    made.commit();
    const std::string hash = hash_file(folder / std::to_string(threads) / std::string(kSingleFile));
    if (first.empty()) first = hash;
    EXPECT_EQ(hash, first) << threads << " threads";
  }
}

TEST(InitialModel, StoppingLeavesNothing) {
  const base::TestFolder folder("initial_stop");
  const auto stop = [&] {
    base::FolderWriter made(folder / "m", base::unsynced_files);
    ModelFolderWriter writer(made.path(), small_mixture(), {}, base::unsynced_files);
    write_initial_model(writer, small_mixture(), 3, base::serial_for, [&](uint64_t written) {
      if (written > 1000) base::fail(base::ErrorKind::kFailure, "test", "stopped");
    });
  };
  EXPECT_NE(base::message_of(stop).find("stopped"), std::string::npos);
  EXPECT_EQ(folder.count(), 0u);
}

}  // namespace
}  // namespace dsmoe::formats
