#include "model/adapters.h"

#include <algorithm>
#include <cmath>

#include "base/hash.h"
#include "base/rng.h"
#include "spec/adapter.h"

namespace dsmoe::model {
namespace {

/// "model.layers.1.mlp.experts.gate_proj" of the modules of its experts.
std::string stack_name(const std::string& module, int64_t expert) {
  const std::string number = "." + std::to_string(expert) + ".";
  std::string name = module;
  return name.replace(name.rfind(number), number.size(), ".");
}

}  // namespace

AdapterStore::AdapterStore(const AdapterOptions& options, const spec::ModelConfig& config,
                           const std::map<std::string, MatrixPlace>& places, std::shared_ptr<moe::PackedMemory> memory)
    : options_(options), memory_(std::move(memory)) {
  if (options.rank == 0) return;
  for (const spec::TensorSpec& tensor : spec::adapted_tensors(config, options.targets)) {
    const MatrixPlace& place = places.at(tensor.name);
    auto group = std::ranges::find_if(groups_, [&](const Group& g) {
      return g.first.master.is_same(place.master) && g.first.first_row == place.first_row;
    });
    if (group == groups_.end()) group = groups_.insert(group, Group{place, {}, {}, nullptr, nullptr});
    group->tensors.push_back(tensor);
    if (place.expert >= 0) group->experts.push_back(place.expert);
  }
  for (Group& group : groups_) add(group);
}

void AdapterStore::add(Group& group) {
  const int64_t outputs = group.tensors[0].shape[0], inputs = group.tensors[0].shape[1];
  std::vector<int64_t> a_sizes{options_.rank, inputs}, b_sizes{outputs, options_.rank};
  std::string name = spec::module_of(group.tensors[0].name);
  if (!group.experts.empty()) {
    const auto stacked = static_cast<int64_t>(group.experts.size());
    a_sizes.insert(a_sizes.begin(), stacked);
    b_sizes.insert(b_sizes.begin(), stacked);
    name = stack_name(name, group.experts[0]);
  }
  const Tensor a = add_parameter(name + ".lora_A.weight", a_sizes, group.first.master);
  group.a = parameters_.back().weight;
  const Tensor b = add_parameter(name + ".lora_B.weight", b_sizes, group.first.master);
  group.b = parameters_.back().weight;
  for (size_t i = 0; i < group.tensors.size(); ++i) {
    const auto matrix = [&](const Tensor& stack) {
      return group.experts.empty() ? stack.detach() : stack.detach()[static_cast<int64_t>(i)];
    };
    modules_.push_back({spec::module_of(group.tensors[i].name), options_.scale(), matrix(a), matrix(b)});
  }
}

Tensor AdapterStore::add_parameter(const std::string& name, const std::vector<int64_t>& sizes, const Tensor& like) {
  Tensor value = torch::zeros(sizes, torch::dtype(like.scalar_type()));  // in memory where the master may not be
  value.requires_grad_();
  parameters_.push_back({name, value, spec::TensorRole::kFfn, moe::trainable_weight(value, memory_)});
  return value;
}

std::vector<moe::AdapterPart> AdapterStore::parts_of(const Tensor& master) const {
  std::vector<moe::AdapterPart> parts;
  for (const Group& group : groups_) {
    if (!group.first.master.is_same(master)) continue;
    parts.push_back({group.first.first_row, group.a, group.b, options_.scale(), group.experts});
  }
  std::ranges::sort(parts, {}, &moe::AdapterPart::first_row);
  return parts;
}

void AdapterStore::initialise(uint64_t seed) const {
  const torch::NoGradGuard no_grad;
  for (const AdaptedModule& module : modules_) {
    const uint64_t stream = base::xxh3_64(module.name);
    const Tensor values = torch::empty(module.a.sizes(), torch::kFloat64);
    const double bound = 1 / std::sqrt(static_cast<double>(module.a.size(1)));
    for (int64_t i = 0; i < values.numel(); ++i) {
      const double uniform = base::unit_interval(base::random_bits(seed, stream, static_cast<uint64_t>(i)));
      values.data_ptr<double>()[i] = bound * (2 * uniform - 1);
    }
    module.a.copy_(values);
    module.b.zero_();
  }
}

}  // namespace dsmoe::model
