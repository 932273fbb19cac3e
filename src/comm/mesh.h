// A world of ranks as a grid: `shared_by` neighbours share something out among them, and such neighbourhoods repeat.
//
// Of 4 ranks of which 2 share, ranks 0 and 1 have all of it between them, and so have 2 and 3; ranks 0 and 2 hold the
// same part, and so do 1 and 3. What is not shared out every rank has.
#pragma once

#include <vector>

#include "comm/group.h"

namespace dsmoe::comm {

class Mesh {
 public:
  Mesh() = default;
  /// `shared_by` divides the world's size.
  explicit Mesh(Group world, int shared_by = 1) : world_(std::move(world)) {
    DSMOE_CHECK(shared_by >= 1 && world_.size() % shared_by == 0, "neighbourhoods fill the world");
    const int first = world_.rank() / shared_by * shared_by;
    std::vector<int> neighbours, copies;
    for (int i = 0; i < shared_by; ++i) neighbours.push_back(first + i);
    for (int r = world_.rank() % shared_by; r < world_.size(); r += shared_by) copies.push_back(r);
    neighbours_ = world_.part(neighbours);
    copies_ = world_.part(copies);
  }

  const Group& world() const { return world_; }
  /// This rank and those that have the rest of it.
  const Group& neighbours() const { return neighbours_; }
  /// This rank and those that hold the same part.
  const Group& copies() const { return copies_; }

  /// What a rank of the world holds of n things that neighbours share out.
  Stretch held(int64_t n, int rank) const { return share_of(n, rank % neighbours_.size(), neighbours_.size()); }
  /// The rank among its copies.
  int copy(int rank) const { return rank / neighbours_.size(); }

 private:
  Group world_, neighbours_, copies_;
};

}  // namespace dsmoe::comm
