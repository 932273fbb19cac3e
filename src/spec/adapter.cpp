#include "spec/adapter.h"

#include <algorithm>
#include <array>

#include "base/error.h"

namespace dsmoe::spec {
namespace {

constexpr std::string_view kWeight = ".weight";

std::vector<std::string> parts_of(std::string_view targets) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= targets.size();) {
    const size_t end = std::min(targets.find(',', begin), targets.size());
    std::string part(targets.substr(begin, end - begin));
    std::erase(part, ' ');
    if (!part.empty()) parts.push_back(std::move(part));
    begin = end + 1;
  }
  return parts;
}

bool holds_run(std::string_view module, std::string_view run) {
  const std::string all = "." + std::string(module) + ".", part = "." + std::string(run) + ".";
  return all.find(part) != std::string::npos;
}

}  // namespace

bool takes_adapter(const TensorSpec& tensor) {
  return tensor.role == TensorRole::kAttention || tensor.role == TensorRole::kFfn;
}

std::string module_of(std::string_view tensor_name) {
  DSMOE_CHECK(tensor_name.ends_with(kWeight), "a weight's name");
  return std::string(tensor_name.substr(0, tensor_name.size() - kWeight.size()));
}

bool target_names(std::string_view target, std::string_view module) {
  if (target == "all") return true;
  if (target == "attention") return holds_run(module, "self_attn");
  if (target == "shared") return holds_run(module, "shared_experts");
  if (target == "dense") {
    return std::ranges::any_of(std::array{"mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"},
                               [&](std::string_view part) { return holds_run(module, part); });
  }
  return holds_run(module, target);
}

std::vector<TensorSpec> adapted_tensors(const ModelConfig& config, std::string_view targets, std::string_view where) {
  const std::vector<std::string> wanted = parts_of(targets);
  if (wanted.empty()) base::fail_invalid(where, "at least one target must be named", base::in_quotes(targets));
  std::vector<bool> met(wanted.size());
  std::vector<TensorSpec> found;
  for_each_tensor(config, [&](const TensorSpec& tensor) {
    if (!takes_adapter(tensor)) return;
    const std::string module = module_of(tensor.name);
    bool named = false;
    for (size_t i = 0; i < wanted.size(); ++i) {
      if (!target_names(wanted[i], module)) continue;
      named = met[i] = true;
    }
    if (named) found.push_back(tensor);
  });
  const auto stray = std::ranges::find(met, false);
  if (stray != met.end()) {
    base::fail_invalid(where, "a target must name a weight matrix of the model",
                       base::in_quotes(wanted[static_cast<size_t>(stray - met.begin())]) + " names none",
                       "attention, dense, shared, experts, all, or parts of names such as q_proj and mlp.experts.5");
  }
  return found;
}

int64_t adapter_parameters(const ModelConfig& config, const TrainConfig& train) {
  if (train.lora_rank == 0) return 0;
  int64_t count = 0;
  for (const TensorSpec& tensor : adapted_tensors(config, train.lora_targets, "train")) {
    count += train.lora_rank * (tensor.shape[0] + tensor.shape[1]);
  }
  return count;
}

}  // namespace dsmoe::spec
