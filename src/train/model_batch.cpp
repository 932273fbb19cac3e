#include "train/model_batch.h"

#include <algorithm>

namespace dsmoe::train {

static_assert(corpus::kNotScored == model::kIgnore);

model::Batch model_batch(const corpus::TokenBatch& batch) {
  const auto row_of = [](const std::vector<int32_t>& values) {
    const torch::Tensor row = torch::empty({1, std::ssize(values)}, torch::kLong);
    std::copy(values.begin(), values.end(), row.data_ptr<int64_t>());
    return row;
  };
  model::Batch row;
  row.ids_BS = row_of(batch.ids);
  row.targets_BS = row_of(batch.targets);
  row.sequences = moe::Sequences::of_lengths(batch.lengths);
  return row;
}

model::Batch idle_batch() {
  model::Batch batch;
  batch.ids_BS = torch::zeros({1, 1}, torch::kLong);
  batch.targets_BS = torch::full({1, 1}, model::kIgnore, torch::kLong);
  batch.mask_BS = torch::zeros({1, 1}, torch::kBool);
  return batch;
}

}  // namespace dsmoe::train
