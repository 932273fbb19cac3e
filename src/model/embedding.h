// Token embedding: rows of a float32 table in the type the model computes in.
#pragma once

#include <torch/types.h>

#include "moe/weight.h"

namespace dsmoe::model {

using torch::Tensor;

/// ids [T] int64 to [T, D] of `type`. Gradients add up in the table's own type, token by token in ascending order.
Tensor embed(const Tensor& ids_T, const moe::WeightPtr& table_VD, torch::ScalarType type);
/// The same as LibTorch's expression: the definition.
Tensor embed_reference(const Tensor& ids_T, const moe::WeightPtr& table_VD, torch::ScalarType type);

}  // namespace dsmoe::model
