// Attention over cache blocks against its reference, around block borders, and independent of its neighbours.
#include "kernels/attend.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "kernels/testing.h"

namespace dsmoe::kernels {
namespace {

using testing::kRound;
using testing::normal_values;

/// A cache of one head and some queries into it.
struct Scene {
  Scene(base::Rng& rng, CacheType type, int64_t head_dim, std::vector<int64_t> sees, double spread = 1)
      : visible(std::move(sees)), head_dim(head_dim), type(type) {
    const int64_t positions = *std::max_element(visible.begin(), visible.end());
    for (int64_t j = 0; j < positions; ++j) {
      if (j % kCacheBlock == 0) storage.emplace_back(static_cast<size_t>(2 * plane()));
      store_cached_ref(type, normal_values(rng, head_dim), storage.back().data(), j % kCacheBlock);
      store_cached_ref(type, normal_values(rng, head_dim), storage.back().data() + plane(), j % kCacheBlock);
    }
    for (auto& block : storage) blocks.push_back({block.data(), 0});
    queries = normal_values(rng, static_cast<int64_t>(visible.size()) * head_dim, spread);
  }
  int64_t plane() const { return plane_bytes(type, head_dim); }

  /// Calls with(arguments) for some of the rows, whose results go to `out`.
  template <class With>
  std::vector<float> with_rows(size_t first, size_t rows, With with) const {
    std::vector<float> out(rows * static_cast<size_t>(head_dim), -7);
    std::vector<const float*> q;
    std::vector<float*> o;
    for (size_t r = 0; r < rows; ++r) {
      q.push_back(queries.data() + (first + r) * static_cast<size_t>(head_dim));
      o.push_back(out.data() + r * static_cast<size_t>(head_dim));
    }
    with(Attention{q.data(), visible.data() + first, o.data(), static_cast<int64_t>(rows), head_dim, scale(), type,
                   blocks.data()});
    return out;
  }
  std::vector<float> run(void (*kernel)(const Attention&), size_t first, size_t rows) const {
    return with_rows(first, rows, kernel);
  }
  float stored(int64_t at, int64_t j, int64_t d) const {
    return cached_at(type, blocks[static_cast<size_t>(j / kCacheBlock)].first + at, head_dim, j % kCacheBlock, d);
  }
  float scale() const { return 1 / std::sqrt(static_cast<float>(head_dim)); }

  std::vector<int64_t> visible;
  int64_t head_dim;
  CacheType type;
  std::vector<std::vector<char>> storage;
  std::vector<BlockPlace> blocks;
  std::vector<float> queries;
};

constexpr CacheType kTypes[] = {CacheType::kF32, CacheType::kF16, CacheType::kQ8};

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
      double sum = 0;
      for (int64_t d = 0; d < scene.head_dim; ++d) {
        const double q = scene.queries[r * static_cast<size_t>(scene.head_dim) + static_cast<size_t>(d)];
        sum += std::abs(q * scene.stored(0, j, d));
        largest_value = std::max(largest_value, double{std::abs(scene.stored(scene.plane(), j, d))});
      }
      largest_product = std::max(largest_product, sum * scene.scale());
    }
  }
  const double score = (testing::dot_bound(scene.head_dim) + 2 * kRound) * largest_product;
  const double exponentials = (6 + 2 * largest_product) * kRound * (positions / kCacheBlock + 2);
  return (2 * (score + exponentials) + 3 * positions * kRound) * largest_value;
}

TEST_P(Attend, MatchesTheDefinitionAroundBordersOfBlocksAndSpans) {
  for (const CacheType type : kTypes) {
    for (const int64_t head_dim : {2, 6, 16, 32, 40, 64, 100, 128}) {
      for (const double spread : {1.0, 12.0}) {  // 12: one position takes nearly all
        const Scene scene(rng_, type, head_dim, {1, 2, 17, 63, 64, 65, 127, 128, 129, 200, 511, 512, 513, 1100},
                          spread);
        const auto got = scene.run(attention, 0, scene.visible.size());
        const auto want = scene.run(attention_ref, 0, scene.visible.size());
        const double allowed = bound(scene);
        testing::expect_within(
            got, want, [&](size_t) { return allowed; },
            "attention " + std::to_string(head_dim) + " type " + std::to_string(static_cast<int>(type)));
      }
    }
  }
}

TEST_P(Attend, OnePositionReturnsItsValue) {
  for (const CacheType type : kTypes) {
    const Scene scene(rng_, type, 20, {1});
    const auto out = scene.run(attention, 0, 1);
    for (size_t d = 0; d < out.size(); ++d) {
      EXPECT_EQ(out[d], scene.stored(scene.plane(), 0, static_cast<int64_t>(d)));
    }
  }
}

// Alone a row reads the cache itself, among others a widened copy, in tiles of rows or singly.
TEST_P(Attend, ARowsBitsDoNotDependOnTheOthers) {
  for (const CacheType type : kTypes) {
    for (const int64_t head_dim : {24, 128}) {
      std::vector<int64_t> visible = {200, 3, 64, 150, 65, 129, 1};
      for (int64_t i = 0; i < 20; ++i) visible.push_back(505 + i);  // a chunk of prefill over a span's border
      const Scene scene(rng_, type, head_dim, visible);
      const auto all = scene.run(attention, 0, scene.visible.size());
      const auto some = scene.run(attention, 2, 13);
      const auto n = static_cast<size_t>(head_dim), bytes = n * sizeof(float);
      EXPECT_EQ(std::memcmp(some.data(), all.data() + 2 * n, 13 * bytes), 0);
      for (size_t r = 0; r < scene.visible.size(); ++r) {
        const auto alone = scene.run(attention, r, 1);
        EXPECT_EQ(std::memcmp(alone.data(), all.data() + r * n, bytes), 0) << r;
      }
    }
  }
}

/// Scenes as the heads of one cache, side by side in pieces of so many blocks.
struct Heads {
  explicit Heads(std::vector<Scene> all, size_t together = 1) : scenes(std::move(all)) {
    const size_t count = scenes[0].storage.size(), bytes = scenes[0].storage[0].size();
    for (size_t begin = 0; begin < count; begin += together) {
      const size_t end = std::min(count, begin + together);
      std::vector<char>& piece = storage.emplace_back();
      for (const Scene& head : scenes) {
        for (size_t b = begin; b < end; ++b) piece.insert(piece.end(), head.storage[b].begin(), head.storage[b].end());
      }
      for (size_t b = begin; b < end; ++b) {
        blocks.push_back({piece.data() + (b - begin) * bytes, static_cast<int64_t>((end - begin) * bytes)});
      }
    }
  }
  /// Calls with(arguments) for `count` heads from `first` on.
  template <class With>
  std::vector<float> with_heads(size_t first, size_t count, With with) const {
    const Scene& scene = scenes[0];
    const size_t rows = scene.visible.size(), n = static_cast<size_t>(scene.head_dim);
    std::vector<float> out(count * rows * n, -7);
    std::vector<const float*> q;
    std::vector<float*> o;
    for (size_t i = 0; i < count * rows; ++i) {
      q.push_back(scenes[first + i / rows].queries.data() + i % rows * n);
      o.push_back(out.data() + i * n);
    }
    with(Attention{q.data(), scene.visible.data(), o.data(), static_cast<int64_t>(rows), scene.head_dim, scene.scale(),
                   scene.type, blocks.data(), static_cast<int64_t>(first), static_cast<int64_t>(count)});
    return out;
  }

  std::vector<Scene> scenes;
  std::vector<std::vector<char>> storage;
  std::vector<BlockPlace> blocks;
};

// Whatever heads a thread takes together, each is itself alone: few rows read the cache, many a widened copy.
TEST_P(Attend, AHeadsBitsDoNotDependOnItsNeighbours) {
  constexpr size_t kHeads = 5;
  for (const CacheType type : kTypes) {
    for (const std::vector<int64_t>& visible :
         std::vector<std::vector<int64_t>>{{7}, {1900}, {600, 511}, {130, 1, 65, 64, 128, 129}}) {
      std::vector<Scene> scenes;
      for (size_t h = 0; h < kHeads; ++h) scenes.emplace_back(rng_, type, 40, visible);
      std::vector<float> alone;
      for (const Scene& head : scenes) {
        const auto out = head.run(attention, 0, visible.size());
        alone.insert(alone.end(), out.begin(), out.end());
      }
      const size_t n = alone.size() / kHeads;
      for (const size_t blocks : {1, 3, 8}) {
        const Heads heads(scenes, blocks);
        for (const size_t together : {1, 2, 3, 5}) {
          std::vector<float> all;
          for (size_t first = 0; first < kHeads; first += together) {
            const auto out = heads.with_heads(first, std::min(together, kHeads - first), attention);
            all.insert(all.end(), out.begin(), out.end());
          }
          EXPECT_EQ(std::memcmp(all.data(), alone.data(), kHeads * n * sizeof(float)), 0)
              << together << " heads, " << blocks << " blocks";
        }
      }
      const Heads heads(std::move(scenes), 2);
      const auto want = heads.with_heads(1, 3, attention_ref);
      testing::expect_within(
          heads.with_heads(1, 3, attention), want, [&](size_t i) { return bound(heads.scenes[1 + i / n]); }, "heads");
    }
  }
}

TEST_P(Attend, SpansOfSeveralHeadsJoinToTheWholeToTheBit) {
  for (const CacheType type : kTypes) {
    std::vector<Scene> scenes;
    for (int h = 0; h < 3; ++h) scenes.emplace_back(rng_, type, 32, std::vector<int64_t>{1100, 513});
    const Heads heads(std::move(scenes));
    const auto whole = heads.with_heads(0, 3, attention);
    std::vector<float> parts(6 * 3 * 32);  // [head, row, span]
    std::vector<AttentionState> states(6 * 3);
    for (size_t span = 0; span < 3; ++span) {
      AttentionState made[6];
      const auto part =
          heads.with_heads(0, 3, [&](const Attention& a) { attention_span(a, static_cast<int64_t>(span), made); });
      for (size_t i = 0; i < 6; ++i) {
        std::copy_n(part.begin() + static_cast<int64_t>(i * 32), 32,
                    parts.begin() + static_cast<int64_t>((i * 3 + span) * 32));
        states[i * 3 + span] = made[i];
      }
    }
    for (size_t i = 0; i < 6; ++i) {
      std::vector<float> joined(32);
      join_spans(std::span(parts).subspan(i * 3 * 32, 3 * 32), std::span(states).subspan(i * 3, 3), joined);
      EXPECT_TRUE(std::equal(joined.begin(), joined.end(), whole.begin() + static_cast<int64_t>(i * 32))) << i;
    }
  }
}

TEST_P(Attend, SpansMadeApartAndJoinedAreTheWholeToTheBit) {
  for (const CacheType type : kTypes) {
    for (const int64_t visible : {1, 512, 513, 1900}) {
      const Scene scene(rng_, type, 40, {visible});
      const auto spans = static_cast<size_t>((visible + kSpan - 1) / kSpan);
      std::vector<float> parts(spans * 40), joined(40);
      std::vector<AttentionState> states(spans);
      for (size_t s = spans; s-- > 0;) {  // in whatever order
        const auto part =
            scene.with_rows(0, 1, [&](const Attention& a) { attention_span(a, static_cast<int64_t>(s), &states[s]); });
        std::copy(part.begin(), part.end(), parts.begin() + static_cast<int64_t>(s * 40));
      }
      join_spans(parts, states, joined);
      EXPECT_EQ(joined, scene.run(attention, 0, 1)) << visible;
    }
  }
}

// Positions that a row does not see may hold anything.
TEST_P(Attend, TheFutureIsNotRead) {
  for (const size_t rows : {1, 5}) {
    Scene scene(rng_, CacheType::kF32, 16, {70, 70, 69, 70, 70, 130});
    const auto before = scene.run(attention, 0, rows);
    const std::vector<float> nothing(16, std::nanf(""));
    for (int64_t j = 70; j < 130; ++j) {
      char* block = scene.storage[static_cast<size_t>(j / kCacheBlock)].data();
      store_cached(scene.type, nothing, block, j % kCacheBlock);
      store_cached(scene.type, nothing, block + scene.plane(), j % kCacheBlock);
    }
    EXPECT_EQ(scene.run(attention, 0, rows), before);
  }
}

// The reference in base/bits.h and every instruction set store the same bytes, subnormals and ties included.
TEST_P(Attend, StoringIsTheDefinitionToTheByte) {
  for (const CacheType type : kTypes) {
    for (const int64_t head_dim : {1, 6, 32, 33, 100, 128}) {
      std::vector<char> got(static_cast<size_t>(plane_bytes(type, head_dim))), want(got.size());
      for (int64_t j = 0; j < kCacheBlock; ++j) {
        auto row = normal_values(rng_, head_dim, std::exp(4 * rng_.normal() - 6));
        if (j % 8 == 0) row.assign(row.size(), 0.0f);
        if (j % 8 == 1) row[0] = 0x1.002p0f;      // half way between two float16
        if (j % 8 == 2) row.back() = 0x1.8p-25f;  // rounds up to the smallest float16
        store_cached(type, row, got.data(), j);
        store_cached_ref(type, row, want.data(), j);
      }
      EXPECT_EQ(got, want) << "type " << static_cast<int>(type) << ", head_dim " << head_dim;
    }
  }
}

// Zeros, values whose step has no finite inverse, and steps beyond float16: no number leaves the 8 bits on the way, and
// what is read is right as far as float16 has scales. A group that is not finite is NaN, and its neighbour as it was.
TEST_P(Attend, EightBitsHoldRowsOfAnySize) {
  constexpr float kMax = std::numeric_limits<float>::max(), kInf = std::numeric_limits<float>::infinity();
  for (const float size : {0.0f, 1e-45f, 1e-40f, 127 * 0x1p-126f, 127 * 0x1.fp-127f, 1e-30f, 1e-3f, 8e6f, 9e6f, 1e30f,
                           kMax, kInf, std::nanf("")}) {
    for (const float sign : {1.0f, -1.0f}) {
      std::vector<float> row = normal_values(rng_, 64);
      for (size_t d = 0; d < 32; ++d) row[d] = std::isfinite(size) ? size * (d % 2 == 0 ? sign : 0.25f) : row[d];
      if (!std::isfinite(size)) row[5] = sign * size;
      std::vector<char> got(static_cast<size_t>(plane_bytes(CacheType::kQ8, 64))), want(got.size());
      store_cached(CacheType::kQ8, row, got.data(), 3);
      store_cached_ref(CacheType::kQ8, row, want.data(), 3);
      EXPECT_EQ(got, want) << size;
      for (int64_t d = 0; d < 64; ++d) {
        const float read = cached_at(CacheType::kQ8, got.data(), 64, 3, d), x = row[static_cast<size_t>(d)];
        if (d < 32 && !std::isfinite(size)) {
          EXPECT_TRUE(std::isnan(read)) << size << " at " << d;
        } else if (d < 32) {
          const float held = std::clamp(x, -127 * kLargestCacheScale, 127 * kLargestCacheScale);
          const double top = std::min(size, 127 * kLargestCacheScale);
          // Half a step, the scale's own rounding, and for scales below float16's normal ones half of its smallest.
          EXPECT_NEAR(read, held, top / 127 * (0.5 + 127 * 0x1p-11 + 1e-5) + 127 * 0x1p-25) << size << " at " << d;
        } else {
          EXPECT_NEAR(read, x, 0.1) << size << " at " << d;
        }
      }
    }
  }
}

TEST_P(Attend, EightBitsAreWithinHalfAStep) {
  const auto row = normal_values(rng_, 100);
  std::vector<char> plane(static_cast<size_t>(plane_bytes(CacheType::kQ8, 100)));
  store_cached(CacheType::kQ8, row, plane.data(), 63);
  for (int64_t d = 0; d < 100; ++d) {
    float top = 0;
    for (int64_t i = d / 32 * 32; i < std::min<int64_t>(100, d / 32 * 32 + 32); ++i) {
      top = std::max(top, std::abs(row[static_cast<size_t>(i)]));
    }
    // Half a step, and the scale's own rounding (2^-11) of up to 127 steps.
    const double allowed = top / 127 * (0.5 + 127 * 0x1p-11 + 1e-5);
    EXPECT_NEAR(cached_at(CacheType::kQ8, plane.data(), 100, 63, d), row[static_cast<size_t>(d)], allowed);
  }
}

}  // namespace
}  // namespace dsmoe::kernels
