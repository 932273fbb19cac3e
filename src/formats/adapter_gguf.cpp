#include "formats/adapter_gguf.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "base/error.h"
#include "formats/gguf_model.h"
#include "formats/gguf_rows.h"
#include "formats/gguf_writer.h"
#include "spec/adapter.h"

namespace dsmoe::formats {
namespace {

/// A tensor of the file's model and the adapters of the matrices it is made of.
struct Pair {
  GgufTensorPlan plan;
  std::vector<const AdapterModule*> modules;  // of each source; null: none
  int64_t rank = 0;

  bool stacked() const { return plan.shape.size() == 3; }
  int64_t outputs() const { return plan.shape[plan.shape.size() - 2]; }
  int64_t inputs() const { return plan.shape.back(); }
  std::vector<int64_t> shape(int64_t rows, int64_t cols) const {
    return stacked() ? std::vector<int64_t>{plan.shape[0], rows, cols} : std::vector<int64_t>{rows, cols};
  }
};

std::vector<Pair> pairs_of(const Adapter& adapter, const spec::ModelConfig& config) {
  std::map<std::string, const AdapterModule*> by_name;
  for (const AdapterModule& module : adapter.modules) by_name[module.module + ".weight"] = &module;
  std::vector<Pair> pairs;
  for (GgufTensorPlan& plan : gguf_tensors(config)) {
    Pair pair{std::move(plan), {}, 0};
    for (const std::string& source : pair.plan.sources) {
      const auto found = by_name.find(source);
      pair.modules.push_back(found == by_name.end() ? nullptr : found->second);
      if (pair.modules.back()) pair.rank = std::max(pair.rank, pair.modules.back()->rank);
    }
    if (pair.rank > 0) pairs.push_back(std::move(pair));
  }
  return pairs;
}

std::vector<float> a_of(const Pair& pair) {
  const auto size = static_cast<size_t>(pair.rank * pair.inputs());
  std::vector<float> values(size * pair.modules.size());
  for (size_t e = 0; e < pair.modules.size(); ++e) {
    if (pair.modules[e]) std::ranges::copy(pair.modules[e]->a, values.begin() + static_cast<std::ptrdiff_t>(e * size));
  }
  return values;
}

/// With what `per_rank` / rank, the reader's scale, leaves to be said; rows in the file's order.
std::vector<float> b_of(const Pair& pair, double per_rank, double scale) {
  const int64_t rows = pair.outputs();
  const int64_t head = pair.plan.interleaved_heads > 0 ? rows / pair.plan.interleaved_heads : 0;
  std::vector<float> values(static_cast<size_t>(rows * pair.rank) * pair.modules.size());
  for (size_t e = 0; e < pair.modules.size(); ++e) {
    const AdapterModule* module = pair.modules[e];
    if (!module) continue;
    const double factor = scale * module->scale * static_cast<double>(pair.rank) / per_rank;
    float* to = values.data() + static_cast<int64_t>(e) * rows * pair.rank;
    for (int64_t n = 0; n < rows; ++n, to += pair.rank) {
      const float* const from = module->b.data() + (head > 0 ? folder_row(n, head) : n) * module->rank;
      for (int64_t r = 0; r < module->rank; ++r) to[r] = static_cast<float>(factor * from[r]);
    }
  }
  return values;
}

}  // namespace

AdapterGgufReport write_adapter_gguf(const base::fs::path& path, const ScaledAdapter& scaled,
                                     const spec::ModelConfig& config, base::FileSystem& files) {
  const Adapter& adapter = *scaled.adapter;
  require_fits(adapter, config, "adapter");
  const std::vector<Pair> pairs = pairs_of(adapter, config);
  DSMOE_CHECK(!pairs.empty(), "an adapter that fits has modules");
  const AdapterModule& first = adapter.modules.front();
  const double alpha = std::max(1e-30, std::abs(first.scale * scaled.scale)) * static_cast<double>(first.rank);
  AdapterGgufReport report{std::string(gguf_arch_name(gguf_arch_for(config))), pairs.size(), 0};
  GgufMetadata metadata;
  metadata.add_text("general.architecture", report.arch);
  metadata.add_text("general.type", "adapter");
  metadata.add_text("adapter.type", "lora");
  metadata.add_f32("adapter.lora.alpha", alpha);
  std::vector<GgufDeclaration> tensors;
  for (const Pair& pair : pairs) {
    tensors.push_back({pair.plan.name + ".lora_a", GgufType::kF32, pair.shape(pair.rank, pair.inputs())});
    tensors.push_back({pair.plan.name + ".lora_b", GgufType::kF32, pair.shape(pair.outputs(), pair.rank)});
  }
  GgufWriter writer(path, metadata, std::move(tensors), files);
  const auto as_read = static_cast<double>(static_cast<float>(alpha));
  for (const Pair& pair : pairs) {
    writer.append(std::as_bytes(std::span<const float>(a_of(pair))));
    writer.append(std::as_bytes(std::span<const float>(b_of(pair, as_read, scaled.scale))));
  }
  writer.finish();
  report.bytes = writer.file_size();
  return report;
}

}  // namespace dsmoe::formats
