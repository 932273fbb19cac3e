// Attention over cache blocks against its definition, around block borders, and independent of its neighbours.
#include "kernels/attend.h"

#include <cstring>

#include "kernels/testing.h"

namespace dsmoe::kernels {
namespace {

using testing::kRound;
using testing::normal_values;

/// A cache of one head and some queries into it.
struct Scene {
  Scene(base::Rng& rng, int64_t head_dim, std::vector<int64_t> sees, double spread = 1)
      : visible(std::move(sees)), head_dim(head_dim) {
    const int64_t positions = *std::max_element(visible.begin(), visible.end());
    const int64_t count = (positions + kCacheBlock - 1) / kCacheBlock;
    for (int64_t b = 0; b < count; ++b) storage.push_back(normal_values(rng, 2 * kCacheBlock * head_dim));
    for (const auto& block : storage) blocks.push_back(block.data());
    queries = normal_values(rng, static_cast<int64_t>(visible.size()) * head_dim, spread);
  }

  std::vector<float> run(void (*kernel)(const Attention&), size_t first, size_t rows) const {
    std::vector<float> out(rows * static_cast<size_t>(head_dim), -7);
    std::vector<const float*> q;
    std::vector<float*> o;
    for (size_t r = 0; r < rows; ++r) {
      q.push_back(queries.data() + (first + r) * static_cast<size_t>(head_dim));
      o.push_back(out.data() + r * static_cast<size_t>(head_dim));
    }
    kernel({q.data(), visible.data() + first, o.data(), static_cast<int64_t>(rows), head_dim, scale(), blocks.data(), 0,
            kCacheBlock * head_dim});
    return out;
  }
  float scale() const { return 1 / std::sqrt(static_cast<float>(head_dim)); }

  std::vector<int64_t> visible;
  int64_t head_dim;
  std::vector<std::vector<float>> storage;
  std::vector<const float*> blocks;
  std::vector<float> queries;
};

class Attend : public testing::EveryIsa {
 protected:
  base::Rng rng_{7};
};
DSMOE_ON_EVERY_ISA(Attend);

// A score is off by ds = (dot_bound + 2 roundings) * largest sum |q k| * scale, which changes e^score by that factor,
// as does the rounding of score - top (relative to the spread of scores) and the exponential (6); each block may
// rescale what came before by another such exponential. Numerator and denominator both carry it. Sums over n positions
// add n product and sum roundings. All relative to sum p |v|, at most the largest |v|.
double bound(const Scene& scene) {
  double largest_product = 0, largest_value = 0, positions = 0;
  for (const int64_t seen : scene.visible) positions = std::max(positions, static_cast<double>(seen));
  for (size_t r = 0; r < scene.visible.size(); ++r) {
    for (int64_t j = 0; j < scene.visible[r]; ++j) {
      const float* key = scene.blocks[static_cast<size_t>(j / kCacheBlock)] + j % kCacheBlock * scene.head_dim;
      const float* value = key + kCacheBlock * scene.head_dim;
      double sum = 0;
      for (int64_t d = 0; d < scene.head_dim; ++d) {
        sum +=
            std::abs(double{scene.queries[r * static_cast<size_t>(scene.head_dim) + static_cast<size_t>(d)]} * key[d]);
        largest_value = std::max(largest_value, double{std::abs(value[d])});
      }
      largest_product = std::max(largest_product, sum * scene.scale());
    }
  }
  const double score = (testing::dot_bound(scene.head_dim) + 2 * kRound) * largest_product;
  const double exponentials = (6 + 2 * largest_product) * kRound * (positions / kCacheBlock + 2);
  return (2 * (score + exponentials) + 3 * positions * kRound) * largest_value;
}

TEST_P(Attend, MatchesTheDefinitionAroundBlockBorders) {
  for (const int64_t head_dim : {2, 6, 16, 32, 40, 64, 100, 128}) {
    for (const double spread : {1.0, 12.0}) {  // 12: one position takes nearly all
      const Scene scene(rng_, head_dim, {1, 2, 17, 63, 64, 65, 127, 128, 129, 200}, spread);
      const auto got = scene.run(attention, 0, scene.visible.size());
      const auto want = scene.run(attention_ref, 0, scene.visible.size());
      const double allowed = bound(scene);
      testing::expect_within(
          got, want, [&](size_t) { return allowed; }, "attention " + std::to_string(head_dim));
    }
  }
}

TEST_P(Attend, OnePositionReturnsItsValue) {
  const Scene scene(rng_, 20, {1});
  const auto out = scene.run(attention, 0, 1);
  for (size_t d = 0; d < out.size(); ++d) EXPECT_EQ(out[d], scene.storage[0][kCacheBlock * 20 + d]);
}

TEST_P(Attend, ARowsBitsDoNotDependOnTheOthers) {
  const Scene scene(rng_, 24, {200, 3, 64, 150, 65, 129, 1});
  const auto all = scene.run(attention, 0, scene.visible.size());
  for (size_t r = 0; r < scene.visible.size(); ++r) {
    const auto alone = scene.run(attention, r, 1);
    EXPECT_EQ(std::memcmp(alone.data(), all.data() + r * 24, 24 * sizeof(float)), 0) << r;
  }
}

// Positions that a row does not see may hold anything.
TEST_P(Attend, TheFutureIsNotRead) {
  Scene scene(rng_, 16, {70, 130});
  const auto before = scene.run(attention, 0, 1);
  for (int64_t j = 70; j < 130; ++j) {
    for (int64_t d = 0; d < 16; ++d) {
      float* key = scene.storage[static_cast<size_t>(j / kCacheBlock)].data() + j % kCacheBlock * 16 + d;
      key[0] = key[kCacheBlock * 16] = std::nanf("");
    }
  }
  EXPECT_EQ(scene.run(attention, 0, 1), before);
}

}  // namespace
}  // namespace dsmoe::kernels
