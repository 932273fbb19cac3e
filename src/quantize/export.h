// A model folder as a GGUF file: streamed tensor by tensor, rows in parallel, whole or not at all.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/parallel.h"
#include "formats/model_folder.h"
#include "quantize/recipe.h"
#include "quantize/rows.h"

namespace dsmoe::quantize {

struct ExportOptions {
  Recipe recipe;
  bool pure = false;
  std::string arch;            ///< empty: the plainest that can say all of the model
  bool with_tokenizer = true;  ///< where the folder has one
  std::string name;            ///< general.name; empty: the folder's
  base::ParallelFor parallel_for = base::serial_for;
  /// Told the bytes of tensors written so far; may throw to stop.
  std::function<void(uint64_t written, uint64_t total)> progress = [](uint64_t, uint64_t) {};
};

struct TensorError {
  std::string name;
  formats::GgufType type;
  std::vector<int64_t> shape;
  ErrorSums error;
  std::vector<ErrorSums> experts;  ///< of a bank, in order
};

struct ExportReport {
  formats::GgufArch arch = formats::GgufArch::kDsmoe;
  bool has_tokenizer = false;
  uint64_t file_size = 0;
  double bits_per_weight = 0;
  std::vector<TensorError> tensors;  ///< in the order of the file; hash tables have no error
  ErrorSums error;                   ///< of all matrices together, routers left out
};

/// Writes `path`. Memory: a chunk of at most kChunkBytes of output, a row's floats for each thread, and what the system
/// keeps of the mapped folder, of which each tensor is let go when it is done.
ExportReport export_gguf(const formats::ModelFolder& folder, const base::fs::path& path, const ExportOptions& options,
                         base::FileSystem& files = base::real_files());
inline constexpr size_t kChunkBytes = size_t{8} << 20;

/// The report as JSON: type, shape, rms and relative error of every tensor, and of every expert.
base::Json report_json(const ExportReport& report);

}  // namespace dsmoe::quantize
