// What tests of small models share.
#pragma once

#include <functional>

#include "base/rng.h"
#include "model/transformer.h"

namespace dsmoe::model {

/// Ids and targets [2, 5] of a vocabulary of 16, always the same ones.
inline Batch some_batch() {
  base::Rng rng(1);
  Batch batch{torch::empty({2, 5}, torch::kInt64), torch::empty({2, 5}, torch::kInt64)};
  for (Tensor& ids : {std::ref(batch.ids_BS), std::ref(batch.targets_BS)}) {
    for (int64_t i = 0; i < ids.numel(); ++i) ids.data_ptr<int64_t>()[i] = static_cast<int64_t>(rng.below(16));
  }
  return batch;
}

/// Of a step that is this batch.
inline constexpr BatchTotals kTotals{10, 10};

}  // namespace dsmoe::model
