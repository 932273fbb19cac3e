// Weights::add_adapters: the matrices of adapters in memory, beside those of the model.
#include <map>

#include "base/error.h"
#include "engine/weights.h"
#include "formats/gguf_rows.h"
#include "spec/adapter.h"
#include "spec/tensors.h"

namespace dsmoe::engine {
namespace {

/// Where each module's adapter goes, by its name.
std::map<std::string, kernels::LowRank*> places_of(std::vector<LayerWeights>& layers) {
  std::map<std::string, kernels::LowRank*> places;
  const auto add_ffn = [&](kernels::Ffn& ffn, const auto& name) {
    places[name("gate_proj")] = &ffn.gate_adapter;
    places[name("up_proj")] = &ffn.up_adapter;
    places[name("down_proj")] = &ffn.down_adapter;
  };
  for (size_t i = 0; i < layers.size(); ++i) {
    const auto layer = static_cast<int64_t>(i);
    const std::string prefix = spec::layer_prefix(layer);
    LayerWeights& weights = layers[i];
    places[prefix + "self_attn.q_proj"] = &weights.q_adapter;
    places[prefix + "self_attn.k_proj"] = &weights.k_adapter;
    places[prefix + "self_attn.v_proj"] = &weights.v_adapter;
    places[prefix + "self_attn.o_proj"] = &weights.o_adapter;
    if (!weights.is_moe) {
      add_ffn(weights.dense, [&](const std::string& part) { return prefix + "mlp." + part; });
    }
    for (size_t e = 0; e < weights.experts.size(); ++e) {
      add_ffn(weights.experts[e], [&](const std::string& part) {
        return spec::module_of(spec::expert_name(layer, static_cast<int64_t>(e), part));
      });
    }
    if (weights.has_shared()) {
      add_ffn(weights.shared, [&](const std::string& part) { return spec::module_of(spec::shared_name(layer, part)); });
    }
  }
  return places;
}

/// A and B of one matrix, those of several adapters side by side, B with the scales in it.
struct Joined {
  int64_t rank = 0, inputs = 0, outputs = 0;
  std::vector<float> a;                   // [rank, inputs]
  std::vector<std::vector<float>> parts;  // of B, each [outputs, its rank]
  std::vector<float> b() const {
    std::vector<float> rows;
    for (int64_t n = 0; n < outputs; ++n) {
      for (const std::vector<float>& part : parts) {
        const int64_t width = std::ssize(part) / outputs;
        rows.insert(rows.end(), part.begin() + n * width, part.begin() + (n + 1) * width);
      }
    }
    return rows;
  }
};

/// Rows of heads as GGUF files have them (formats/gguf_model.h).
std::vector<float> with_neighbours(const std::vector<float>& rows, int64_t head_dim, int64_t width) {
  std::vector<float> out;
  out.reserve(rows.size());
  const int64_t count = std::ssize(rows) / width;
  for (int64_t n = 0; n < count; ++n) {
    const int64_t from = formats::folder_row(n, head_dim);
    out.insert(out.end(), rows.begin() + from * width, rows.begin() + (from + 1) * width);
  }
  return out;
}

bool turns(const std::string& module) { return module.ends_with("q_proj") || module.ends_with("k_proj"); }

}  // namespace

void Weights::add_adapters(std::span<const formats::ScaledAdapter> adapters) {
  std::map<std::string, Joined> modules;
  for (const formats::ScaledAdapter& each : adapters) {
    formats::require_fits(*each.adapter, config_, "adapter");
    for (const formats::AdapterModule& m : each.adapter->modules) {
      Joined& joined = modules[m.module];
      joined.inputs = m.inputs, joined.outputs = m.outputs, joined.rank += m.rank;
      joined.a.insert(joined.a.end(), m.a.begin(), m.a.end());
      std::vector<float>& b = joined.parts.emplace_back(m.b);
      for (float& value : b) value = static_cast<float>(value * m.scale * each.scale);
    }
  }
  const auto places = places_of(layers_);
  for (auto& [name, joined] : modules) {
    kernels::LowRank& place = *places.at(name);
    DSMOE_CHECK(!place.adds(), "adapters are added once");
    std::vector<float> b = joined.b();
    if (pairs_neighbours() && turns(name)) b = with_neighbours(b, config_.head_dim(), joined.rank);
    place = {own(std::move(joined.a), joined.rank, joined.inputs), own(std::move(b), joined.outputs, joined.rank)};
  }
}

}  // namespace dsmoe::engine
