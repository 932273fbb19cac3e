// A layer whose experts are spread over ranks is the layer that has them all: outputs, balance losses and gradients of
// every rank's rows, whatever the gate, however the experts divide, wherever tokens go. Ranks are threads.
#include "moe/trip.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "comm/threads.h"
#include "moe/testing.h"

namespace dsmoe::moe {
namespace {

using namespace testing;  // NOLINT

struct Result {
  Tensor y_TD;
  double balance_loss;
  std::vector<Tensor> gradients;  ///< of x, and of random_weights
};

/// inputs: x, and random_weights with the experts that are here.
Result run(const spec::ModelConfig& config, const std::vector<Tensor>& inputs, const MoeContext& context,
           const comm::Group& ranks) {
  TrainingOptions training;
  training.aux_loss_alpha = 0.3;
  training.capacity_factor = 1.5;
  std::vector<Tensor> leaves;
  for (const Tensor& input : inputs) leaves.push_back(input.detach().clone().requires_grad_());
  const MoeOutput out =
      layer_of(config, training, {leaves.begin() + 1, leaves.end()}, ranks).forward(leaves[0], context, 0);
  const Tensor u = random_tensor(out.y_TD.sizes().vec(), 99).to(out.y_TD.scalar_type());
  torch::autograd::backward({(out.y_TD * u).sum() + out.balance_loss}, {});
  Result result{out.y_TD.detach(), out.balance_loss.item<double>(), {}};
  for (const Tensor& leaf : leaves) {
    result.gradients.push_back(leaf.grad().defined() ? leaf.grad() : torch::zeros_like(leaf));
  }
  return result;
}

/// Rows and context of a rank: each has as many of its own as it likes.
struct Rows {
  Tensor x_TD;
  MoeContext context;
};

void expect_as_one(const spec::ModelConfig& config, const std::vector<Rows>& rows, torch::ScalarType type,
                   double bound) {
  std::vector<Tensor> weights;
  for (const Tensor& weight : random_weights(config)) weights.push_back(weight.to(type));
  std::vector<Result> wanted;
  for (const Rows& own : rows) {
    std::vector<Tensor> inputs = weights;
    inputs.insert(inputs.begin(), own.x_TD.to(type));
    wanted.push_back(run(config, inputs, own.context, {}));
  }
  const auto whole = [&](size_t i) {  // of experts, from the rows of all ranks
    Tensor sum = wanted[0].gradients[i].clone();
    for (size_t r = 1; r < wanted.size(); ++r) sum += wanted[r].gradients[i];
    return sum;
  };
  comm::on_threads(static_cast<int>(rows.size()), [&](const comm::Group& group) {
    const auto rank = static_cast<size_t>(group.rank());
    const comm::Stretch own = Placement(config.n_routed_experts, group).own();
    std::vector<Tensor> inputs = weights;
    for (const size_t bank : {1, 2}) inputs[bank] = inputs[bank].narrow(0, own.begin, own.size());
    inputs.insert(inputs.begin(), rows[rank].x_TD.to(type));
    const Result result = run(config, inputs, rows[rank].context, group);
    SCOPED_TRACE("rank " + std::to_string(rank));
    EXPECT_LT(largest_difference(result.y_TD, wanted[rank].y_TD), bound);
    EXPECT_NEAR(result.balance_loss, wanted[rank].balance_loss, bound);
    for (size_t i = 0; i < result.gradients.size(); ++i) {
      const bool experts = i == 2 || i == 3;
      const Tensor& alone = wanted[rank].gradients[i];
      EXPECT_LT(largest_difference(result.gradients[i], experts ? whole(i).narrow(0, own.begin, own.size()) : alone),
                bound * std::max(1.0, largest(alone)))
          << "gradient of input " << i;
    }
  });
}

/// Of each rank other rows; the last rank's are all padding.
std::vector<Rows> some_rows(int ranks) {
  std::vector<Rows> rows;
  for (int r = 0; r < ranks; ++r) {
    const int64_t tokens = 5 + 3 * r;
    rows.push_back({random_tensor({tokens, 6}, 20 + static_cast<uint64_t>(r)), context_of(tokens, true)});
  }
  rows.back().context.mask_T = torch::zeros({rows.back().x_TD.size(0)}, torch::kBool);
  return rows;
}

class Spread : public ::testing::TestWithParam<GateKind> {
 protected:
  Spread() { at::set_num_threads(1); }
  ~Spread() override { at::set_num_threads(threads_before_); }
  int threads_before_ = at::get_num_threads();
};

TEST_P(Spread, EveryGatesLayerIsThatOfOneRank) {
  for (const int ranks : {2, 3}) {
    spec::ModelConfig config = small_config(8, 3);
    GetParam().configure(config);
    expect_as_one(config, some_rows(ranks), torch::kFloat64, 1e-12);
    expect_as_one(config, some_rows(ranks), torch::kFloat32, 1e-4);
  }
}

INSTANTIATE_TEST_SUITE_P(Registered, Spread, ::testing::ValuesIn(gate_kinds()),
                         [](const auto& info) { return info.param.name; });

TEST(Trip, SixtyThreeExpertsAreSpreadOverTwoRanks) {
  comm::on_threads(2, [](const comm::Group& group) {
    const Placement placement(63, group);
    EXPECT_EQ(placement.of(0).size() + placement.of(1).size(), 63);
    EXPECT_LE(std::abs(placement.of(0).size() - placement.of(1).size()), 1);
    for (int64_t e = 0; e < 63; ++e) {
      const comm::Stretch there = placement.of(placement.rank_of(e));
      EXPECT_TRUE(there.begin <= e && e < there.end);
    }
  });
  expect_as_one(small_config(63, 6), some_rows(2), torch::kFloat64, 1e-12);
}

// Every token chooses experts 0 and 3, which the first of two ranks has; the other's experts see no row at all.
TEST(Trip, AllTokensMayGoToOneRanksExperts) {
  spec::ModelConfig config = small_config(8, 2);
  config.router_type = spec::RouterType::kHash;
  std::vector<Rows> rows = some_rows(3);
  rows.pop_back();  // the padding
  for (Rows& own : rows) own.context.token_ids_T = torch::zeros({own.x_TD.size(0)}, torch::kInt64);
  expect_as_one(config, rows, torch::kFloat64, 1e-12);
  expect_as_one(config, rows, torch::kFloat32, 1e-4);
}

TEST(Trip, NobodyMayGoAnywhere) {
  std::vector<Rows> rows = some_rows(2);
  for (Rows& own : rows) own.context.mask_T = torch::zeros({own.x_TD.size(0)}, torch::kBool);
  expect_as_one(small_config(8, 2), rows, torch::kFloat64, 1e-12);
  expect_as_one(small_config(8, 2), rows, torch::kFloat32, 1e-4);
}

TEST(Trip, ARowGoesOnceToEachRankThatHasAChoiceOfIt) {
  comm::on_threads(2, [](const comm::Group& group) {
    const Tensor experts_TK = torch::tensor({0, 1, 3, 2, 1, 3}, torch::kInt64).view({3, 2});
    const Trip trip(Placement(4, group), experts_TK, {});
    EXPECT_EQ(trip.experts_RK().size(0), 4);  // two tokens of each rank
    const Tensor values_TW = torch::tensor({1.0, 10.0, 100.0}).view({3, 1}) * (group.rank() + 1);
    const Tensor came = trip.there(values_TW).view(-1);
    EXPECT_TRUE(came.equal(group.first() ? torch::tensor({1.0, 100.0, 2.0, 200.0})
                                         : torch::tensor({10.0, 100.0, 20.0, 200.0})));
    EXPECT_TRUE(trip.back(trip.there(values_TW)).equal(values_TW * torch::tensor({1.0, 1.0, 2.0}).view({3, 1})));
  });
}

}  // namespace
}  // namespace dsmoe::moe
