// The K largest of a row are a stable sort's; fused with the softmax, on every instruction set, over odd sizes and all
// that logits can be.
#include "kernels/topk.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <numeric>

#include "kernels/rows.h"
#include "kernels/testing.h"

namespace dsmoe::kernels {
namespace {

RC_GTEST_PROP(TopK, IsAStableSortByValue, ()) {
  // Few distinct values make ties frequent.
  const auto small = *rc::gen::nonEmpty(rc::gen::container<std::vector<int>>(rc::gen::inRange(-3, 4)));
  std::vector<float> values(small.begin(), small.end());
  if (values.size() > 3) values[2] = std::nanf("");
  std::vector<int32_t> got(*rc::gen::inRange<size_t>(0, values.size() + 1)), want(got.size());
  top_k(values, got);
  top_k_ref(values, want);
  RC_ASSERT(got == want);
}

TEST(TopK, EqualValuesGoToTheLowerIndex) {
  std::vector<int32_t> ids(3);
  top_k(std::vector<float>{1, 5, 5, 0, 5, 5}, ids);
  EXPECT_EQ(ids, (std::vector<int32_t>{1, 2, 4}));
}

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr size_t kSizes[] = {1, 3, 15, 16, 17, 64, 65, 160, 257};

class SoftmaxTopK : public testing::EveryIsa {
 protected:
  std::vector<int32_t> best(std::vector<float> row, size_t K) {
    std::vector<int32_t> ids(K);
    softmax_top_k(row, ids);
    return ids;
  }
  base::Rng rng_{20240611};
};
DSMOE_ON_EVERY_ISA(SoftmaxTopK);

/// Rows of E logits by what is hard about them.
std::vector<std::pair<std::string, std::vector<float>>> rows_of(base::Rng& rng, size_t E) {
  std::vector<std::pair<std::string, std::vector<float>>> rows;
  const auto add = [&](const char* name, const std::function<float(size_t e)>& logit) {
    std::vector<float> row(E);
    for (size_t e = 0; e < E; ++e) row[e] = logit(e);
    rows.emplace_back(name, std::move(row));
  };
  const auto normal = [&](size_t) { return static_cast<float>(rng.normal()); };
  const auto one_of = [&](int64_t n) { return static_cast<float>(rng.below(static_cast<uint64_t>(n))); };
  const auto with = [&](float odd, size_t at) {
    return [=, &rng](size_t e) { return e == at ? odd : static_cast<float>(rng.normal()); };
  };
  add("normal", normal);
  add("close together", [&](size_t) { return 1 + 1e-6f * static_cast<float>(rng.normal()); });
  add("four values", [&](size_t) { return one_of(4); });
  add("all equal", [](size_t) { return -0.5f; });
  add("ascending", [](size_t e) { return 0.1f * static_cast<float>(e); });
  add("descending", [](size_t e) { return -0.1f * static_cast<float>(e); });
  // Distinct, and far enough below the best for one and the same affinity.
  add("far below one", [&](size_t e) { return e == E / 2 ? 3.0f : -200 - 10 * one_of(9); });
  add("on the way down", [&](size_t) { return -12 * one_of(12); });
  add("minus infinity but for some", [&](size_t e) { return e % 3 == 1 ? normal(e) : -kInf; });
  add("all minus infinity", [](size_t) { return -kInf; });
  add("the greatest there are", [&](size_t) { return (one_of(2) * 2 - 1) * std::numeric_limits<float>::max(); });
  for (const float odd : {std::nanf(""), -std::nanf(""), kInf, -kInf}) {
    for (const size_t at : {size_t{0}, E / 2, E - 1}) add("one is odd", with(odd, at));
  }
  add("all NaN", [](size_t) { return std::nanf(""); });
  return rows;
}

TEST_P(SoftmaxTopK, IsTheSoftmaxToTheBitAndAStableSortOfIt) {
  const auto same = [](float a, float b) {
    return std::isnan(a) ? std::isnan(b) : __builtin_bit_cast(uint32_t, a) == __builtin_bit_cast(uint32_t, b);
  };
  for (const size_t E : kSizes) {
    for (const auto& [name, logits] : rows_of(rng_, E)) {
      for (const size_t K : {size_t{0}, size_t{1}, size_t{2}, size_t{6}, size_t{8}, E - 1, E}) {
        if (K > E) continue;
        auto want_row = logits, got_row = logits;
        got_row.insert(got_row.end(), 16, 42.0f);
        std::vector<int32_t> want(K), got(K + 16, 42);
        softmax_top_k_ref(want_row, want);
        softmax_top_k(std::span(got_row).first(E), std::span(got).first(K));
        const std::string what = name + ", E " + std::to_string(E) + ", K " + std::to_string(K);
        ASSERT_TRUE(std::equal(want_row.begin(), want_row.end(), got_row.begin(), same)) << what;
        ASSERT_TRUE(std::equal(want.begin(), want.end(), got.begin())) << what << ": " << ::testing::PrintToString(got);
        const auto untouched = [](float x) { return x == 42; };
        ASSERT_TRUE(std::all_of(got_row.begin() + static_cast<int64_t>(E), got_row.end(), untouched)) << what;
        ASSERT_TRUE(std::all_of(got.begin() + static_cast<int64_t>(K), got.end(), untouched)) << what;
      }
    }
  }
}

// What the two share could be wrong in both: some choices by hand.
TEST_P(SoftmaxTopK, OfEqualsTheLowerIdComesFirst) {
  std::vector<float> row(160, -1);
  for (const size_t e : {5u, 15u, 16u, 63u, 64u, 159u}) row[e] = 2;
  row[100] = 3;
  EXPECT_EQ(best(row, 6), (std::vector<int32_t>{100, 5, 15, 16, 63, 64}));
  EXPECT_EQ(best(row, 9), (std::vector<int32_t>{100, 5, 15, 16, 63, 64, 159, 0, 1}));
  EXPECT_EQ(best({-400, -200, 0, -300}, 4), (std::vector<int32_t>{2, 0, 1, 3}));  // of three that are e^-87.3
  std::vector<int32_t> ascending(17);
  std::iota(ascending.begin(), ascending.end(), 0);
  EXPECT_EQ(best(std::vector<float>(17, 1e30f), 17), ascending);
  row[7] = std::nanf("");  // and with it every affinity
  EXPECT_EQ(best(row, 3), (std::vector<int32_t>{0, 1, 2}));
}

}  // namespace
}  // namespace dsmoe::kernels
