#include "formats/merge_adapters.h"

#include "base/error.h"
#include "spec/adapter.h"

namespace dsmoe::formats {
namespace {

/// What adapters make of one matrix.
struct Addition {
  const AdapterModule* module;
  double scale;
};

std::vector<Addition> additions_to(std::span<const ScaledAdapter> adapters, const spec::TensorSpec& tensor) {
  std::vector<Addition> found;
  if (!spec::takes_adapter(tensor)) return found;
  const std::string name = spec::module_of(tensor.name);
  for (const ScaledAdapter& each : adapters) {
    for (const AdapterModule& module : each.adapter->modules) {
      if (module.module == name) found.push_back({&module, module.scale * each.scale});
    }
  }
  return found;
}

}  // namespace

void add_adapters(std::span<const ScaledAdapter> adapters, const spec::TensorSpec& tensor, std::span<float> values,
                  const base::ParallelFor& parallel_for) {
  const std::vector<Addition> additions = additions_to(adapters, tensor);
  if (additions.empty()) return;
  const auto rows = tensor.shape[0];
  const auto width = static_cast<size_t>(tensor.shape[1]);
  parallel_for(rows, 16, [&](int64_t begin, int64_t end) {
    std::vector<double> sums(width);
    for (auto n = static_cast<size_t>(begin); n < static_cast<size_t>(end); ++n) {
      const std::span<float> row = values.subspan(n * width, width);
      sums.assign(row.begin(), row.end());
      for (const auto& [module, scale] : additions) {
        const auto rank = static_cast<size_t>(module->rank);
        for (size_t r = 0; r < rank; ++r) {
          const double factor = scale * module->b[n * rank + r];
          const float* const a = module->a.data() + r * width;
          for (size_t k = 0; k < width; ++k) sums[k] += factor * a[k];
        }
      }
      for (size_t k = 0; k < width; ++k) row[k] = static_cast<float>(sums[k]);
    }
  });
}

void merge_adapters(ModelFolderWriter& writer, const ModelFolder& base, std::span<const ScaledAdapter> adapters,
                    const base::ParallelFor& parallel_for, const std::function<void(uint64_t written)>& progress) {
  for (const ScaledAdapter& each : adapters) require_fits(*each.adapter, base.config(), "adapter");
  uint64_t written = 0;
  spec::for_each_tensor(base.config(), [&](const spec::TensorSpec& tensor) {
    if (tensor.role == spec::TensorRole::kHashTable) {
      writer.append_i32(base.read_hash_table(tensor.name));
    } else {
      std::vector<float> values = base.read_f32(tensor.name);
      add_adapters(adapters, tensor, values, parallel_for);
      writer.append_f32(values);
    }
    written += static_cast<uint64_t>(tensor.numel()) * bits_of(stored_dtype(tensor, writer.dtype())) / 8;
    progress(written);
  });
}

}  // namespace dsmoe::formats
