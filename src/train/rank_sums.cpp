#include "train/rank_sums.h"

namespace dsmoe::train {

void RankSums::add(std::vector<LayerLoad>& loads) {
  for (LayerLoad& load : loads) {
    for (int64_t& count : load.counts_E) add(count);
    add(load.dropped);
  }
}

void RankSums::over(const comm::Group& group) const {
  if (group.alone()) return;
  std::vector<double> values;
  for (const double* number : numbers_) values.push_back(*number);
  for (const int64_t* count : counts_) values.push_back(static_cast<double>(*count));
  group.all_reduce(comm::Pieces<double>(std::span(values)));
  for (size_t i = 0; i < numbers_.size(); ++i) *numbers_[i] = values[i];
  for (size_t i = 0; i < counts_.size(); ++i) *counts_[i] = static_cast<int64_t>(values[numbers_.size() + i]);
}

}  // namespace dsmoe::train
