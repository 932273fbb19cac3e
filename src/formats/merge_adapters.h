// A model folder and adapters as one model folder.
#pragma once

#include <functional>
#include <span>

#include "formats/adapter_folder.h"
#include "formats/model_folder.h"
#include "formats/model_folder_writer.h"

namespace dsmoe::formats {

/// values += what the adapters add to the matrix of this tensor: scale * B A, summed in double and rounded once.
/// Nothing for a tensor that none of them names.
void add_adapters(std::span<const ScaledAdapter> adapters, const spec::TensorSpec& tensor, std::span<float> values,
                  const base::ParallelFor& parallel_for);

/// Every tensor of the base with what the adapters add to it, into a writer for the same configuration; `progress`
/// hears the bytes of tensors so far, and may throw. Throws Error(kInvalid) where an adapter does not fit.
void merge_adapters(ModelFolderWriter& writer, const ModelFolder& base, std::span<const ScaledAdapter> adapters,
                    const base::ParallelFor& parallel_for, const std::function<void(uint64_t written)>& progress);

}  // namespace dsmoe::formats
