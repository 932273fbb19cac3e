// Which rank of a group holds which experts of a layer: neighbours, in the order of ranks, as evenly as they divide (63
// over 2 are 31 and 32).
#pragma once

#include <cstdint>

#include "comm/group.h"

namespace dsmoe::moe {

class Placement {
 public:
  /// Of at least as many experts as ranks.
  explicit Placement(int64_t experts, comm::Group group = {}) : experts_(experts), group_(std::move(group)) {}

  int64_t experts() const { return experts_; }
  const comm::Group& group() const { return group_; }
  comm::Stretch of(int rank) const { return comm::share_of(experts_, rank, group_.size()); }
  comm::Stretch own() const { return of(group_.rank()); }
  int rank_of(int64_t expert) const {
    int rank = 0;
    while (of(rank).end <= expert) ++rank;
    return rank;
  }

 private:
  int64_t experts_;
  comm::Group group_;
};

}  // namespace dsmoe::moe
