// Tensors whose values are checked when a model is opened: where an expert is looked up by them, a wrong one would lead
// out of the model. Inside the room only.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "base/error.h"
#include "formats/dtype.h"
#include "spec/tensors.h"

namespace dsmoe::formats {

/// A hash router's table, I32: throws Error(kInvalid) for an id that is none of 0 to experts - 1.
inline std::vector<int32_t> hash_table_of(std::span<const std::byte> bytes, int64_t experts, const std::string& name) {
  std::vector<int32_t> table(bytes.size() / sizeof(int32_t));
  std::memcpy(table.data(), bytes.data(), table.size() * sizeof(int32_t));
  for (const int32_t expert : table) {
    if (expert < 0 || expert >= experts) {
      base::fail_invalid("model", "a hash table must hold expert ids below n_routed_experts",
                         name + " has " + std::to_string(expert));
    }
  }
  return table;
}

/// What experts are picked by, a router's weight [E, D] or the bias of affinities [E], BF16, F16, F32 or F64: throws
/// Error(kInvalid) where a value is infinite or no number, as nothing can be ordered by it.
inline void check_selection(spec::TensorRole role, int64_t experts, Dtype dtype, std::span<const std::byte> bytes,
                            const std::string& name) {
  std::vector<float> values(bytes.size() * 8 / static_cast<size_t>(bits_of(dtype)));
  to_f32(dtype, bytes, values);
  const auto bad = std::find_if(values.begin(), values.end(), [](float value) { return !std::isfinite(value); });
  if (bad == values.end()) return;
  const bool bias = role == spec::TensorRole::kRouterBias;
  const int64_t expert = (bad - values.begin()) / (std::ssize(values) / experts);
  base::fail_invalid("model", std::string(bias ? "a selection bias" : "a router's weight") + " must be finite",
                     name + " has " + std::to_string(*bad) + " for expert " + std::to_string(expert),
                     "the run that wrote it may have diverged");
}

/// True for the tensors that check_selection() is about.
inline bool selects_experts(spec::TensorRole role) {
  return role == spec::TensorRole::kRouter || role == spec::TensorRole::kRouterBias;
}

}  // namespace dsmoe::formats
