// The way of one micro-batch's rows through a layer whose experts are spread over ranks: where they go, and what comes.
//
// A row goes once to each rank that holds an expert it has chosen, however many of them are there. On the way back the
// sum over those ranks takes its place. Both ways are linear, and each is the other's transpose: one's gradient travels
// the other.
#pragma once

#include <memory>
#include <vector>

#include "moe/placement.h"
#include "moe/slot_plan.h"

namespace dsmoe::moe {

class Trip {
 public:
  /// Tells the ranks what will come, so every rank of the placement makes one together. experts_TK int64 in [0, E);
  /// kept_TK bool or undefined (all).
  Trip(const Placement& placement, const Tensor& experts_TK, const Tensor& kept_TK);

  // Of the R rows that come here, those of the first rank first.

  /// int64, counted from this rank's first expert; 0 where the choice is not here.
  const Tensor& experts_RK() const { return experts_RK_; }
  const Tensor& here_RK() const { return here_RK_; }  ///< bool

  // Without graph; every rank together. W any width.

  /// [T, W] of this rank's tokens to [R, W].
  Tensor there(const Tensor& values_TW) const;
  /// [R, W] to [T, W]: the sum, in the order of ranks and in the wide type, of what comes back for each token.
  Tensor back(const Tensor& values_RW) const;

 private:
  /// Rows that stand in the order of ranks, offsets[r] .. offsets[r+1] for rank r.
  Tensor carry(const Tensor& rows, const std::vector<int64_t>& out, const std::vector<int64_t>& in) const;

  comm::Group group_;
  SlotPlan going_;               // which token each rank is sent; its experts are the ranks
  std::vector<int64_t> coming_;  // offsets of the rows of each rank here
  Tensor experts_RK_, here_RK_;
};
using TripPtr = std::shared_ptr<const Trip>;

/// With graph: Trip's there and back.
Tensor there(const TripPtr& trip, const Tensor& values_TW);
Tensor back(const TripPtr& trip, const Tensor& values_RW);

}  // namespace dsmoe::moe
