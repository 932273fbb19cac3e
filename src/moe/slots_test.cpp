// Slots: the plan that sorts them, the packing that batches them, capacity that drops them, dispatch and its way back.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "moe/capacity.h"
#include "moe/packing.h"
#include "moe/testing.h"

namespace dsmoe::moe {
namespace {

using namespace testing;  // NOLINT

Tensor random_choices(int64_t rows, int64_t chosen, int64_t experts, uint64_t seed) {
  return std::get<1>(random_tensor({rows, experts}, seed).topk(chosen, -1));
}
Tensor random_kept(int64_t rows, int64_t chosen, uint64_t seed) { return random_tensor({rows, chosen}, seed) > -0.5; }
std::vector<int64_t> values(const Tensor& x) {
  const Tensor flat = x.contiguous();
  return {flat.data_ptr<int64_t>(), flat.data_ptr<int64_t>() + flat.numel()};
}

TEST(SlotPlan, SortsEveryKeptSlotOnceByExpertThenRow) {
  for (const bool drop : {false, true}) {
    const Tensor experts = random_choices(31, 3, 7, 1), kept = drop ? random_kept(31, 3, 2) : Tensor();
    const SlotPlan plan = plan_slots(experts, kept, 7);
    EXPECT_EQ(plan.slots(), drop ? kept.sum().item<int64_t>() : 31 * 3);
    const auto order = values(plan.order_N), expert = values(experts), position = values(plan.position_RK);
    std::set<int64_t> seen;
    for (size_t e = 0; e < 7; ++e) {
      for (auto n = static_cast<size_t>(plan.offsets[e]); n < static_cast<size_t>(plan.offsets[e + 1]); ++n) {
        EXPECT_EQ(expert[static_cast<size_t>(order[n])], static_cast<int64_t>(e));
        EXPECT_EQ(position[static_cast<size_t>(order[n])], static_cast<int64_t>(n));
        if (n > static_cast<size_t>(plan.offsets[e])) {
          EXPECT_LT(order[n - 1], order[n]);
        }
        EXPECT_TRUE(seen.insert(order[n]).second);
      }
    }
    if (drop) {
      EXPECT_TRUE(plan.position_RK.eq(plan.slots()).equal(kept.logical_not()));
    }
  }
}

TEST(Packing, HoldsEachSlotInItsExpertsBatch) {
  for (const int64_t experts : {1, 5, 64}) {
    // all the load on few experts, and many with none
    const Tensor chosen = random_choices(40, 1, std::min<int64_t>(experts, 5), 3) * (experts > 5 ? 9 : 1);
    const SlotPlan plan = plan_slots(chosen, random_kept(40, 1, 4), experts);
    const Packing packing = pack(plan);
    EXPECT_EQ(packing.real_P.sum().item<int64_t>(), plan.slots());
    int64_t next = 0;
    const auto order = values(packing.order_P);
    std::set<int64_t> met;
    for (const ExpertGroup& group : packing.groups) {
      EXPECT_EQ(group.first, next);
      next += group.rows();
      const auto ids = values(group.experts_n);
      for (size_t i = 0; i < ids.size(); ++i) {
        EXPECT_TRUE(met.insert(ids[i]).second);
        for (int64_t c = 0; c < group.capacity; ++c) {
          const int64_t row = group.first + static_cast<int64_t>(i) * group.capacity + c;
          if (!packing.real_P[row].item<bool>()) continue;
          EXPECT_EQ(chosen.view(-1)[order[static_cast<size_t>(row)]].item<int64_t>(), ids[i]);
          EXPECT_EQ(packing.place_RK.view(-1)[order[static_cast<size_t>(row)]].item<int64_t>(), row);
        }
      }
    }
    EXPECT_EQ(next, packing.rows());
    EXPECT_TRUE(packing.place_RK.eq(packing.rows()).equal(plan.position_RK.eq(plan.slots())));
  }
}

TEST(Packing, OfNothingIsEmpty) {
  const Packing packing = pack(plan_slots(random_choices(4, 2, 3, 1), torch::zeros({4, 2}, torch::kBool), 3));
  EXPECT_TRUE(packing.groups.empty());
  EXPECT_EQ(packing.rows(), 0);
  EXPECT_TRUE(packing.place_RK.equal(torch::zeros({4, 2}, torch::kInt64)));
}

TEST(Packing, FewBatchesWithLittlePaddingUnderSkew) {
  const Tensor logits = random_tensor({2048, 64}, 5) + random_tensor({1, 64}, 6);
  const SlotPlan plan = plan_slots(std::get<1>(logits.topk(6, -1)), {}, 64);
  const Packing packing = pack(plan);
  EXPECT_LE(packing.groups.size(), 15U);
  // A batch is at least three quarters full before its rows are rounded up by at most 31 an expert.
  EXPECT_LT(packing.rows(), plan.slots() * 4 / 3 + 64 * 31);
}

TEST(Packing, EvenLoadIsOneBatch) {
  const Tensor experts = torch::arange(640, torch::kInt64).remainder(8).view({320, 2});
  const Packing packing = pack(plan_slots(experts, {}, 8));
  EXPECT_EQ(packing.groups.size(), 1U);
  EXPECT_EQ(packing.rows(), 8 * 96);
}

TEST(Dispatch, ThenCombineIsTheIdentity) {
  Routing routing;
  routing.experts_TK = random_choices(23, 3, 5, 7);
  routing.weights_TK = torch::full({23, 3}, 1.0 / 3, torch::kFloat64);
  const Tensor x = random_tensor({23, 6}, 8);
  const LocalDispatcher dispatcher(5);
  const ExpertWork work = dispatcher.dispatch(x, routing);
  // experts that say what they hear
  const Tensor slots = work.rows_RD.index_select(0, work.plan.order_N.div(3, "floor"));
  const Tensor out = slots.index_select(0, work.plan.position_RK.reshape(-1)).view({23, 3, 6});
  const Tensor y = dispatcher.combine((out * work.weights_RK.unsqueeze(2)).sum(1), work);
  EXPECT_LT(largest_difference(x, y), 1e-15);
}

TEST(Dispatch, KeepsPaddingFromExperts) {
  Routing routing;
  routing.experts_TK = random_choices(6, 2, 4, 9);
  routing.weights_TK = torch::ones({6, 2}, torch::kFloat64);
  routing.mask_T = torch::tensor({true, true, false, true, false, false});
  routing.kept_TK = torch::ones({6, 2}, torch::kBool);
  routing.kept_TK[0][1] = false;
  EXPECT_EQ(LocalDispatcher(4).dispatch(random_tensor({6, 3}, 1), routing).plan.slots(), 5);
  EXPECT_EQ(routing.dropped(), 1) << "padding is not dropped: it never asked";
  EXPECT_EQ(routing.counts_E(4).sum().item<int64_t>(), 6);
}

TEST(Capacity, Rounds) {
  EXPECT_EQ(expert_capacity(1.0, 8, 2, 4), 4);
  EXPECT_EQ(expert_capacity(1.25, 8, 1, 3), 4);  // 3.33 rounds up
  EXPECT_EQ(expert_capacity(0.01, 8, 1, 8), 1);
}

TEST(Capacity, FirstChoicesFillFirstInTokenOrder) {
  Routing routing;
  // capacity 1.0 * 4*2/4 = 2: expert 0 is the first choice of tokens 1, 2 and 3, the second of token 0
  routing.experts_TK = torch::tensor({1, 0, 0, 1, 0, 2, 0, 3}, torch::kInt64).view({4, 2});
  routing.weights_TK = torch::ones({4, 2}, torch::kFloat64);
  apply_capacity(routing, 1.0, 4);
  const Tensor expected = torch::tensor({true, false, true, true, true, true, false, true}).view({4, 2});
  EXPECT_TRUE(routing.kept_TK.equal(expected)) << routing.kept_TK;
  EXPECT_EQ(routing.dropped(), 2);
}

TEST(Capacity, SlotsTheGateDroppedAndPaddingTakeNoRoom) {
  Routing routing;
  routing.experts_TK = torch::zeros({4, 1}, torch::kInt64);
  routing.weights_TK = torch::ones({4, 1}, torch::kFloat64);
  routing.kept_TK = torch::tensor({false, true, true, true}).view({4, 1});
  routing.mask_T = torch::tensor({true, false, true, true});
  apply_capacity(routing, 1.0, 3);  // three real tokens over three experts: one slot
  EXPECT_FALSE(routing.kept_TK[0][0].item<bool>());
  EXPECT_TRUE(routing.kept_TK[2][0].item<bool>());
  EXPECT_FALSE(routing.kept_TK[3][0].item<bool>());
}

TEST(Capacity, AgreesWithAQueuePerExpert) {
  const Tensor experts = random_choices(50, 3, 6, 11);
  Routing routing;
  routing.experts_TK = experts;
  routing.weights_TK = torch::ones({50, 3}, torch::kFloat64);
  apply_capacity(routing, 0.8, 6);
  std::map<int64_t, std::vector<std::pair<int64_t, int64_t>>> queues;  // (choice, token) per expert
  for (int64_t t = 0; t < 50; ++t) {
    for (int64_t k = 0; k < 3; ++k) queues[experts[t][k].item<int64_t>()].emplace_back(k, t);
  }
  const auto room = static_cast<size_t>(expert_capacity(0.8, 50, 3, 6));
  for (auto& [expert, queue] : queues) {
    std::sort(queue.begin(), queue.end());
    for (size_t i = 0; i < queue.size(); ++i) {
      EXPECT_EQ(routing.kept_TK[queue[i].second][queue[i].first].item<bool>(), i < room);
    }
  }
}

}  // namespace
}  // namespace dsmoe::moe
