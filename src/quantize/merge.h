// A GGUF file with its adapters in the weights, as one GGUF file: every key and every type as they were.
#pragma once

#include <functional>
#include <span>

#include "base/parallel.h"
#include "formats/adapter_folder.h"
#include "formats/gguf_model.h"
#include "quantize/rows.h"

namespace dsmoe::quantize {

struct MergeOptions {
  base::ParallelFor parallel_for = base::serial_for;
  /// Told the bytes of tensors written so far; may throw to stop.
  std::function<void(uint64_t written, uint64_t total)> progress = [](uint64_t, uint64_t) {};
};

struct MergeReport {
  uint64_t file_size = 0;
  int64_t matrices = 0;  ///< that have an adapter
  ErrorSums error;       ///< of storing the sums of these in their own types
};

/// Matrices that have an adapter are dequantised, added to and stored in their own type again; every other byte of a
/// tensor is copied. Throws Error: kInvalid where an adapter does not fit the model, kIo.
MergeReport merge_gguf(const formats::GgufModel& base, std::span<const formats::ScaledAdapter> adapters,
                       const base::fs::path& path, const MergeOptions& options,
                       base::FileSystem& files = base::real_files());

}  // namespace dsmoe::quantize
