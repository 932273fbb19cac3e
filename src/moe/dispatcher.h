// Dispatcher: carries rows to where their experts are, and their results back.
//
// The local one carries nothing. That of ranks (trip.h) sends each row, with the weights of its choices, once to every
// rank that has an expert of it, and the way back adds up what they say. The bank under it sees the same `ExpertWork`
// either way: rows, and a plan of which expert reads which row with what weight. `weights_RK` belong to rows as they
// arrive here.
#pragma once

#include <memory>

#include "moe/placement.h"
#include "moe/routing.h"
#include "moe/slot_plan.h"

namespace dsmoe::moe {

class Trip;

/// What a bank of experts has to do: out[r] = sum over r's kept slots of weight * expert(rows[r]).
struct ExpertWork {
  Tensor rows_RD;
  Tensor weights_RK;  ///< wide type, differentiable
  SlotPlan plan;
  std::shared_ptr<const Trip> trip = nullptr;  ///< of rows that came from other ranks
};

class Dispatcher {
 public:
  virtual ~Dispatcher() = default;
  virtual ExpertWork dispatch(const Tensor& x_TD, const Routing& routing) const = 0;
  /// From the bank's out_RD to y_TD.
  virtual Tensor combine(const Tensor& out_RD, const ExpertWork& work) const = 0;
};

/// All experts are here.
class LocalDispatcher final : public Dispatcher {
 public:
  explicit LocalDispatcher(int64_t experts) : experts_(experts) {}
  ExpertWork dispatch(const Tensor& x_TD, const Routing& routing) const override;
  Tensor combine(const Tensor& out_RD, const ExpertWork&) const override { return out_RD; }

 private:
  int64_t experts_;
};

/// Each rank has its experts. Every rank of the placement calls both, with no rows of its own too, and every rank's
/// backward pass goes through both again.
class RankDispatcher final : public Dispatcher {
 public:
  explicit RankDispatcher(Placement placement) : placement_(std::move(placement)) {}
  ExpertWork dispatch(const Tensor& x_TD, const Routing& routing) const override;
  Tensor combine(const Tensor& out_RD, const ExpertWork& work) const override;

 private:
  Placement placement_;
};

}  // namespace dsmoe::moe
