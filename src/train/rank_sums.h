// Numbers of which every rank has a part, added up over a group in one go.
#pragma once

#include <vector>

#include "comm/group.h"
#include "train/record.h"

namespace dsmoe::train {

class RankSums {
 public:
  /// Each must outlive this. Whole numbers stay exact below 2^53.
  void add(double& number) { numbers_.push_back(&number); }
  void add(int64_t& count) { counts_.push_back(&count); }
  void add(std::vector<LayerLoad>& loads);

  /// Puts the sum over ranks in place of each. Every rank has added as many, in the same order.
  void over(const comm::Group& group) const;

 private:
  std::vector<double*> numbers_;
  std::vector<int64_t*> counts_;
};

}  // namespace dsmoe::train
