#include "quantize/merge.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/error.h"
#include "formats/element_types.h"
#include "formats/gguf_rows.h"
#include "formats/gguf_writer.h"
#include "formats/merge_adapters.h"
#include "kernels/element_types.h"
#include "kernels/product.h"
#include "spec/adapter.h"

namespace dsmoe::quantize {
namespace {

/// The tensors that any of the adapters adds to, by name.
std::map<std::string, spec::TensorSpec> adapted_tensors(const spec::ModelConfig& config,
                                                        std::span<const formats::ScaledAdapter> adapters) {
  std::set<std::string_view> modules;
  for (const formats::ScaledAdapter& each : adapters) {
    for (const formats::AdapterModule& module : each.adapter->modules) modules.insert(module.module);
  }
  std::map<std::string, spec::TensorSpec> tensors;
  spec::for_each_tensor(config, [&](const spec::TensorSpec& tensor) {
    if (spec::takes_adapter(tensor) && modules.contains(spec::module_of(tensor.name))) tensors[tensor.name] = tensor;
  });
  return tensors;
}

class Merge {
 public:
  Merge(const formats::GgufModel& base, std::span<const formats::ScaledAdapter> adapters, const MergeOptions& options)
      : base_(base), adapters_(adapters), options_(options), adapted_(adapted_tensors(base.config(), adapters)) {
    for (const formats::GgufTensorPlan& plan : formats::gguf_tensors(base.config())) plans_[plan.name] = plan;
    for (const formats::GgufTensor& tensor : base.file().tensors()) total_ += tensor.bytes;
  }

  MergeReport run(const base::fs::path& path, base::FileSystem& files) {
    formats::GgufMetadata metadata;
    for (const formats::GgufHeader::Entry& entry : base_.file().header().metadata) {
      if (entry.key != "general.alignment") metadata.add(entry);  // the file that is written has its own
    }
    std::vector<formats::GgufDeclaration> declarations;
    for (const formats::GgufTensor& tensor : base_.file().tensors()) {
      declarations.push_back({std::string(tensor.name), tensor.type, tensor.shape()});
    }
    formats::GgufWriter writer(path, metadata, std::move(declarations), files);
    for (const formats::GgufTensor& tensor : base_.file().tensors()) write_tensor(writer, tensor);
    writer.finish();
    report_.file_size = writer.file_size();
    return report_;
  }

 private:
  void write_tensor(formats::GgufWriter& writer, const formats::GgufTensor& tensor) {
    const auto plan = plans_.find(tensor.name);
    DSMOE_CHECK(plan != plans_.end(), "every tensor of the file is one of the model's");
    if (std::ranges::none_of(plan->second.sources, [&](const auto& name) { return adapted_.contains(name); })) {
      return append(writer, base_.file().bytes(tensor));
    }
    for (const std::string& source : plan->second.sources) {
      const formats::GgufModel::View view = base_.tensor(source);
      const auto found = adapted_.find(source);
      found == adapted_.end() ? append(writer, view.bytes) : write_sum(writer, found->second, view);
    }
  }

  void append(formats::GgufWriter& writer, std::span<const std::byte> bytes) {
    writer.append(bytes);
    base::let_go(bytes);
    told(bytes.size());
  }

  /// A matrix and what adapters add to it. Rows of the file stand where `place` says in the model.
  void write_sum(formats::GgufWriter& writer, const spec::TensorSpec& tensor, const formats::GgufModel::View& view) {
    const int64_t rows = tensor.shape[0], cols = tensor.shape[1];
    const int64_t head = view.interleaved_heads > 0 ? rows / view.interleaved_heads : 0;
    const auto place = [&](int64_t row) { return head > 0 ? formats::folder_row(row, head) : row; };
    const auto row_of = [&](auto& values, int64_t row, size_t width) {
      return std::span(values).subspan(static_cast<size_t>(row) * width, width);
    };
    const kernels::Matrix stored{kernels::weight_type(*formats::element_type(view.type)), view.bytes.data(), rows,
                                 cols};
    std::vector<float> values(static_cast<size_t>(rows * cols));
    constexpr int64_t kRowsPerChunk = 16;
    options_.parallel_for(rows, kRowsPerChunk, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        kernels::weight_row(stored, row, row_of(values, place(row), static_cast<size_t>(cols)));
      }
    });
    formats::add_adapters(adapters_, tensor, values, options_.parallel_for);
    const size_t width = row_bytes(view.type, cols);
    std::vector<std::byte> out(static_cast<size_t>(rows) * width);
    std::vector<ErrorSums> sums(static_cast<size_t>(rows));
    options_.parallel_for(rows, kRowsPerChunk, [&](int64_t begin, int64_t end) {
      std::vector<float> work;
      for (int64_t row = begin; row < end; ++row) {
        const auto sum = row_of(values, place(row), static_cast<size_t>(cols));
        sums[static_cast<size_t>(row)] = convert_row(
            {tensor.name, row, formats::Dtype::kF32, std::as_bytes(sum), view.type, row_of(out, row, width)}, work);
      }
    });
    for (const ErrorSums& each : sums) report_.error += each;
    ++report_.matrices;
    writer.append(out);
    base::let_go(view.bytes);
    told(out.size());
  }

  void told(size_t bytes) {
    written_ += bytes;
    options_.progress(written_, total_);
  }

  const formats::GgufModel& base_;
  std::span<const formats::ScaledAdapter> adapters_;
  const MergeOptions& options_;
  std::map<std::string, spec::TensorSpec> adapted_;
  std::map<std::string, formats::GgufTensorPlan, std::less<>> plans_;
  uint64_t total_ = 0, written_ = 0;
  MergeReport report_;
};

}  // namespace

MergeReport merge_gguf(const formats::GgufModel& base, std::span<const formats::ScaledAdapter> adapters,
                       const base::fs::path& path, const MergeOptions& options, base::FileSystem& files) {
  for (const formats::ScaledAdapter& each : adapters) formats::require_fits(*each.adapter, base.config(), "adapter");
  return Merge(base, adapters, options).run(path, files);
}

}  // namespace dsmoe::quantize
