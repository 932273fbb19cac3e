#include "formats/upcycled_model.h"

#include <string>
#include <unordered_map>

#include "base/error.h"
#include "formats/initial_values.h"

namespace dsmoe::formats {
namespace {

void require_in(const char* option, int64_t value, int64_t least, int64_t most) {
  if (value >= least && value <= most) return;
  base::fail_invalid("upcycle",
                     std::string(option) + " must be " + std::to_string(least) + " to " + std::to_string(most),
                     std::to_string(value));
}

// What an expert's matrix is made of: units [first, first + width) of a dense FFN. Its down projection is `scale` times
// the dense one's.
struct Slice {
  std::string dense_name;
  int64_t first, width;
  bool is_down;
  float scale;
};

using Slices = std::unordered_map<std::string, Slice>;  // by the name of the expert's matrix

Slices slices_of(const spec::ModelConfig& config) {
  Slices all;
  const int64_t width = config.moe_intermediate_size, shared = config.n_shared_experts;
  const int64_t routed = config.intermediate_size / width - shared;
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    if (!config.is_moe_layer(layer)) continue;
    for (const std::string part : {"gate_proj", "up_proj", "down_proj"}) {
      const std::string dense = spec::layer_prefix(layer) + "mlp." + part + ".weight";
      const bool is_down = part == "down_proj";
      all[spec::shared_name(layer, part)] = {dense, 0, shared * width, is_down, 1.0f};
      for (int64_t expert = 0; expert < config.n_routed_experts; ++expert) {
        const int64_t slice = shared + expert % routed;
        all[spec::expert_name(layer, expert, part)] = {dense, slice * width, width, is_down,
                                                       is_down ? static_cast<float>(routed) : 1.0f};
      }
    }
  }
  return all;
}

// Up and gate projections are rows of the dense one [F, D], down projections columns of [D, F].
void append_slice(ModelFolderWriter& writer, const ModelFolder& dense, const Slice& slice) {
  const TensorView view = dense.tensor(slice.dense_name);
  const int64_t cols = view.shape.back(), rows = view.shape.front();
  const size_t value_bytes = bits_of(view.dtype) / 8;
  const int64_t first_row = slice.is_down ? 0 : slice.first, end_row = slice.is_down ? rows : slice.first + slice.width;
  const int64_t first_col = slice.is_down ? slice.first : 0;
  std::vector<float> row(static_cast<size_t>(slice.is_down ? slice.width : cols));
  for (int64_t r = first_row; r < end_row; ++r) {
    const auto begin = static_cast<size_t>(r * cols + first_col) * value_bytes;
    to_f32(view.dtype, view.bytes.subspan(begin, row.size() * value_bytes), row);
    for (float& value : row) value *= slice.scale;
    writer.append_f32(row);
  }
}

// A row a copy, as often as the copy has slices.
std::vector<float> router_rows(const spec::TensorSpec& router, const spec::ModelConfig& config, uint64_t seed) {
  std::vector<float> values(static_cast<size_t>(router.numel()));
  initial_values(router, config, seed, 0, values);
  const int64_t routed = config.intermediate_size / config.moe_intermediate_size - config.n_shared_experts;
  const int64_t D = config.hidden_size;
  for (int64_t expert = 0; expert < config.n_routed_experts; ++expert) {
    const auto first = values.begin() + expert / routed * routed * D;
    std::copy(first, first + D, values.begin() + expert * D);
  }
  return values;
}

}  // namespace

spec::ModelConfig upcycled_config(const spec::ModelConfig& dense, const Upcycling& upcycling) {
  if (dense.is_moe()) {
    base::fail_invalid("upcycle", "the model must be dense",
                       "it has " + std::to_string(dense.n_routed_experts) + " routed experts");
  }
  require_in("--slices", upcycling.slices, 2, dense.intermediate_size);
  if (dense.intermediate_size % upcycling.slices != 0) {
    base::fail_invalid("upcycle", "--slices must divide the model's intermediate_size",
                       std::to_string(upcycling.slices) + " of " + std::to_string(dense.intermediate_size));
  }
  require_in("--shared", upcycling.shared, 0, upcycling.slices - 1);
  require_in("--copies", upcycling.copies, 1, int64_t{1} << 20);
  require_in("--copies-per-token", upcycling.copies_per_token, 1, upcycling.copies);
  require_in("--first-dense", upcycling.first_dense, 0, dense.num_hidden_layers - 1);
  if (upcycling.routed_slices() * upcycling.copies_per_token < 2) {
    base::fail_invalid("upcycle", "a token must visit two routed experts or more: the gate of a single one is never 1",
                       "--slices " + std::to_string(upcycling.slices) + " --shared " + std::to_string(upcycling.shared),
                       "share one slice less, or cut finer");
  }
  spec::ModelConfig config = dense;
  config.moe_intermediate_size = dense.intermediate_size / upcycling.slices;
  config.n_shared_experts = upcycling.shared;
  config.n_routed_experts = upcycling.routed_slices() * upcycling.copies;
  config.num_experts_per_tok = upcycling.routed_slices() * upcycling.copies_per_token;
  config.first_k_dense_replace = upcycling.first_dense;
  config.norm_topk_prob = true;
  spec::validate(config, "upcycle");
  return config;
}

void write_upcycled_model(ModelFolderWriter& writer, const ModelFolder& dense, const spec::ModelConfig& config,
                          uint64_t seed, const std::function<void(uint64_t)>& progress) {
  const Slices slices = slices_of(config);
  uint64_t written = 0;
  spec::for_each_tensor(config, [&](const spec::TensorSpec& tensor) {
    const auto slice = slices.find(tensor.name);
    if (slice != slices.end()) {
      append_slice(writer, dense, slice->second);
    } else if (tensor.role == spec::TensorRole::kRouter) {
      writer.append_f32(router_rows(tensor, config, seed));
    } else {
      writer.append_f32(dense.read_f32(tensor.name));
    }
    written += static_cast<uint64_t>(tensor.numel()) * bits_of(stored_dtype(tensor, writer.dtype())) / 8;
    if (progress) progress(written);
  });
}

}  // namespace dsmoe::formats
