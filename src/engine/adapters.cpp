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

/// A and B of one matrix, those of several adapters one below the other, B with the scales in it.
struct Joined {
  int64_t rank = 0, inputs = 0, outputs = 0;
  std::vector<float> a;  // [rank, inputs]
  std::vector<float> b;  // [rank, outputs], transposed
};

/// B of one adapter as rows of outputs, [rank, outputs], from [outputs, rank]; `scale` times it, and output n from row
/// `from(n)`.
template <class Row>
std::vector<float> transposed(const formats::AdapterModule& m, double scale, const Row& from) {
  std::vector<float> out(m.b.size());
  for (int64_t n = 0; n < m.outputs; ++n) {
    const float* const row = m.b.data() + from(n) * m.rank;
    for (int64_t r = 0; r < m.rank; ++r)
      out[static_cast<size_t>(r * m.outputs + n)] = static_cast<float>(row[r] * scale);
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
      // Rows of heads as GGUF files have them (formats/gguf_model.h).
      const bool turned = pairs_neighbours() && turns(m.module);
      const std::vector<float> b = transposed(
          m, m.scale * each.scale, [&](int64_t n) { return turned ? formats::folder_row(n, config_.head_dim()) : n; });
      joined.b.insert(joined.b.end(), b.begin(), b.end());
    }
  }
  const auto places = places_of(layers_);
  for (auto& [name, joined] : modules) {
    kernels::LowRank& place = *places.at(name);
    DSMOE_CHECK(!place.adds(), "adapters are added once");
    place = {own(std::move(joined.a), joined.rank, joined.inputs),
             own(std::move(joined.b), joined.rank, joined.outputs)};
  }
}

}  // namespace dsmoe::engine
