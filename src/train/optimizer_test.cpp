// The optimiser over tensors: which decay, the norm, thread counts, versions.
#include "train/optimizer.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"

namespace dsmoe::train {
namespace {

torch::Tensor leaf(std::vector<int64_t> shape, int64_t seed) {
  const int64_t n = torch::empty(shape).numel();
  return ((torch::arange(n, torch::kFloat) + static_cast<double>(seed)) * 0.7).sin().reshape(shape).requires_grad_();
}

std::vector<Parameter> some_parameters() {
  return {{"matrix", leaf({300, 401}, 1), true}, {"norm", leaf({7}, 2), false}, {"bank", leaf({3, 200, 211}, 3), true}};
}

void set_gradients(const AdamW& optimizer) {
  for (const Parameter& p : optimizer.parameters()) p.value.mutable_grad().copy_(p.value.detach().cos());
}

TEST(AdamW, NormIsThatOfAllGradients) {
  AdamW optimizer(some_parameters(), {}, base::serial_for);
  EXPECT_EQ(optimizer.gradient_norm(), 0);
  set_gradients(optimizer);
  double squares = 0;
  for (const Parameter& p : optimizer.parameters())
    squares += p.value.detach().cos().to(torch::kDouble).square().sum().item<double>();
  EXPECT_NEAR(optimizer.gradient_norm(), std::sqrt(squares), 1e-9 * std::sqrt(squares));
}

TEST(AdamW, SameBitsForAnyNumberOfThreads) {
  base::ThreadPool pool(3);
  AdamW one(some_parameters(), {}, base::serial_for), three(some_parameters(), {}, pool.parallel_for());
  for (int step = 0; step < 3; ++step) {
    set_gradients(one);
    set_gradients(three);
    const double norm = one.gradient_norm();
    EXPECT_EQ(norm, three.gradient_norm());
    one.update(1e-2, 1 / norm);
    three.update(1e-2, 1 / norm);
  }
  for (size_t i = 0; i < one.parameters().size(); ++i) {
    EXPECT_TRUE(torch::equal(one.parameters()[i].value, three.parameters()[i].value));
    EXPECT_TRUE(torch::equal(one.second_moment(i), three.second_moment(i)));
  }
}

TEST(AdamW, WithoutGradientOnlyTheDecayedShrink) {
  AdamW optimizer(some_parameters(), {.weight_decay = 0.5}, base::serial_for);
  const torch::Tensor matrix = optimizer.parameters()[0].value.detach().clone();
  const torch::Tensor norm = optimizer.parameters()[1].value.detach().clone();
  optimizer.update(0.1, 1);
  EXPECT_TRUE(torch::allclose(optimizer.parameters()[0].value, matrix * 0.95, 1e-6, 0));
  EXPECT_TRUE(torch::equal(optimizer.parameters()[1].value, norm));
}

TEST(AdamW, GradientsAddUpAndAreZeroedAndVersionsMove) {
  AdamW optimizer({{"w", leaf({4, 5}, 4), true}}, {}, base::serial_for);
  torch::Tensor w = optimizer.parameters()[0].value;
  const void* place = w.grad().data_ptr();
  w.sum().backward();
  w.sum().backward();
  EXPECT_TRUE(torch::equal(w.grad(), torch::full({4, 5}, 2.0)));
  EXPECT_EQ(w.grad().data_ptr(), place) << "backward adds in place";
  const auto version = w._version();
  optimizer.update(1e-3, 1);
  EXPECT_GT(w._version(), version) << "copies of the values are refreshed by version";
  EXPECT_EQ(w.grad().abs().sum().item<float>(), 0);
  EXPECT_EQ(optimizer.updates(), 1);
  w.sum().backward();
  optimizer.zero_gradients();
  EXPECT_EQ(w.grad().abs().sum().item<float>(), 0);
}

TEST(AdamW, RefusesWhatItCannotMove) {
  EXPECT_THROW(AdamW({{"w", torch::zeros({2}, torch::kHalf), true}}, {}, base::serial_for), base::BrokenPromise);
  EXPECT_THROW(AdamW({{"w", torch::zeros({2, 3}).t(), true}}, {}, base::serial_for), base::BrokenPromise);
}

}  // namespace
}  // namespace dsmoe::train
