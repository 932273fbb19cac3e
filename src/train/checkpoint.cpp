#include "train/checkpoint.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <map>

#include "base/error.h"
#include "formats/adapter_folder.h"
#include "formats/manifest.h"
#include "formats/model_folder.h"
#include "formats/model_folder_writer.h"
#include "formats/safetensors.h"
#include "formats/safetensors_writer.h"

namespace dsmoe::train {
namespace {

namespace fs = base::fs;
using base::Json;

constexpr const char* kOptimizerFile = "optimizer.safetensors";
constexpr const char* kStateFile = "trainer_state.json";
constexpr const char* kConfigFile = "run.toml";
constexpr const char* kFirst = "first_moment.";
constexpr const char* kSecond = "second_moment.";
constexpr uint64_t kOtherFiles = 1 << 20;  // bytes

std::span<const float> floats_of(const torch::Tensor& tensor) {
  return {tensor.data_ptr<float>(), static_cast<size_t>(tensor.numel())};
}

// In the order of the file, and of what ranks give.
void for_each_moment(const AdamW& optimizer, const std::function<void(const torch::Tensor&)>& body) {
  const size_t count = optimizer.parameters().size();
  for (size_t i = 0; i < count; ++i) body(optimizer.first_moment(i));
  for (size_t i = 0; i < count; ++i) body(optimizer.second_moment(i));
}

void write_moments(const fs::path& path, const AdamW& optimizer, base::FileSystem& files) {
  std::vector<formats::TensorDeclaration> tensors;
  const auto declare = [&](const char* prefix) {
    for (const Parameter& p : optimizer.parameters()) {
      tensors.push_back({prefix + p.name, formats::Dtype::kF32, p.whole_sizes()});
    }
  };
  declare(kFirst);
  declare(kSecond);
  formats::SafetensorsWriter writer(path, std::move(tensors), {}, files);
  for_each_moment(optimizer, [&](const torch::Tensor& moment) { writer.append(std::as_bytes(floats_of(moment))); });
  writer.finish();
}

void write_model(const fs::path& folder, const CheckpointSource& source, uint64_t moments, base::FileSystem& files) {
  formats::ModelFolderOptions options;
  options.dtype = formats::Dtype::kF32;
  options.tokenizer_from = source.tokenizer_from;
  formats::ModelFolderWriter weights(folder, source.model.config(), options, files);
  base::require_free_space(folder, weights.bytes_on_disk() + moments + kOtherFiles, "train");
  source.model.save(weights);
  weights.finish();
}

void write_adapters(const fs::path& folder, const CheckpointSource& source, uint64_t moments, base::FileSystem& files) {
  base::require_free_space(folder, moments / 2 + moments + kOtherFiles, "train");
  formats::Adapter adapter{source.beside.path.string(), source.beside.hash, {}};
  std::vector<formats::AdapterMatrices> matrices;
  for (const model::AdaptedModule& m : source.model.adapters()) {
    adapter.modules.push_back({m.name, m.a.size(0), m.a.size(1), m.b.size(0), m.scale, {}, {}});
    matrices.emplace_back(floats_of(m.a), floats_of(m.b));
  }
  formats::write_adapter(folder, adapter, matrices, files);
}

void read_adapters(const fs::path& folder, const model::Transformer& model, const BaseModel& beside) {
  const torch::NoGradGuard no_grad;
  const formats::Adapter adapter = formats::read_adapter(folder);
  formats::require_base(adapter, beside.hash, folder.string());
  std::map<std::string, const formats::AdapterModule*> by_name;
  for (const formats::AdapterModule& module : adapter.modules) by_name[module.module] = &module;
  for (const model::AdaptedModule& m : model.adapters()) {
    const auto found = by_name.find(m.name);
    const auto take = [&](const torch::Tensor& into, const std::vector<float>& values) {
      if (std::ssize(values) != into.numel()) {
        base::fail_invalid("checkpoint", "an adapter does not fit the model", m.name);
      }
      into.copy_(torch::from_blob(const_cast<float*>(values.data()), into.sizes(), torch::kFloat));
    };
    if (found == by_name.end()) base::fail_invalid("checkpoint", "an adapter is missing", m.name);
    take(m.a, found->second->a);
    take(m.b, found->second->b);
  }
}

// Throws where it does not fit the parameter.
std::vector<float> read_moment(const formats::SafetensorsFile& file, const std::string& name, const Parameter& p) {
  const formats::TensorView view = file.tensor(name);
  if (view.dtype != formats::Dtype::kF32 || view.shape != p.whole_sizes()) {
    base::fail_invalid("checkpoint", "the optimiser's state does not fit the model", name,
                       "the checkpoint is of another model");
  }
  std::vector<float> values(static_cast<size_t>(p.whole_numel()));
  std::memcpy(values.data(), view.bytes.data(), view.bytes.size());
  return values;
}

// Keys that a run may change when it goes on. All but train.steps leave every step as it would have been; train.steps
// is the length that the multistep and cosine schedules divide, so another value bends the learning rate from here on.
bool may_change(const std::string& key) {
  constexpr std::array<std::string_view, 10> kFree = {"train.steps",
                                                      "train.log_every",
                                                      "train.validate_every",
                                                      "train.validate_tokens",
                                                      "train.checkpoint_every",
                                                      "train.keep_checkpoints",
                                                      "train.sample_every",
                                                      "data.path",
                                                      "data.chat_format",
                                                      "output.dir"};
  const auto in = [&key](std::string_view section) { return key.rfind(section, 0) == 0; };
  return std::find(kFree.begin(), kFree.end(), key) != kFree.end() || in("plan.") || in("parallel.");
}

}  // namespace

Json TrainerState::to_json() const {
  return {{"format", "dsmoe trainer state 1"},
          {"step", step},
          {"tokens", tokens},
          {"random", {{"seed", seed}, {"step", step}}},
          {"data", {{"hash", data_hash}, {"next_step", step}}},
          {"threads", threads},
          {"router_watch", router_watch}};
}

TrainerState TrainerState::from_json(const Json& json, const std::string& where) {
  const std::string format = base::require_string(json, "format", where);
  if (format != "dsmoe trainer state 1") {
    base::fail_invalid(where, "format must be dsmoe trainer state 1", base::in_quotes(format));
  }
  TrainerState state;
  state.step = base::require_int(json, "step", 0, INT64_MAX, where);
  state.tokens = base::require_int(json, "tokens", 0, INT64_MAX, where);
  state.seed = base::require_int(base::require_member(json, "random", where), "seed", INT64_MIN, INT64_MAX, where);
  state.data_hash = base::require_string(base::require_member(json, "data", where), "hash", where);
  state.threads = static_cast<int>(base::require_int(json, "threads", 0, 1 << 20, where));
  state.router_watch = base::require_member(json, "router_watch", where);
  if (!state.router_watch.is_array()) base::fail_invalid(where, "router_watch must be a list");
  return state;
}

uint64_t write_checkpoint(const fs::path& path, const CheckpointSource& source, base::FileSystem& files,
                          const base::ParallelFor& parallel) {
  base::FolderWriter folder(path, files);
  uint64_t moments = 0;
  for (const Parameter& p : source.optimizer.parameters()) {
    moments += 2 * static_cast<uint64_t>(p.whole_numel()) * sizeof(float);
  }
  const bool adapted = !source.model.adapters().empty();
  adapted ? write_adapters(folder.path(), source, moments, files) : write_model(folder.path(), source, moments, files);
  write_moments(folder.path() / kOptimizerFile, source.optimizer, files);
  folder.write_file(kStateFile, base::dump_json(source.state.to_json(), 1) + "\n");
  folder.write_file(kConfigFile, spec::to_toml(source.config.config, &source.config.origins));
  formats::write_manifest(folder.path(), {{"step", source.state.step}}, files, parallel);
  uint64_t bytes = 0;
  for (const auto& file : fs::directory_iterator(folder.path())) bytes += file.file_size();
  folder.commit();
  return bytes;
}

void give_to_checkpoint(const model::Transformer& model, const AdamW& optimizer) {
  if (model.adapters().empty()) model.give_tensors();
  for_each_moment(optimizer, [](const torch::Tensor&) {});
}

CheckpointInfo open_checkpoint(const fs::path& path) {
  CheckpointInfo info;
  info.path = path;
  const std::string where = (path / kStateFile).string();
  info.state = TrainerState::from_json(base::parse_json(base::read_file(where), where), where);
  info.config = spec::resolve((path / kConfigFile).string()).config;
  return info;
}

std::string first_difference(const spec::RunConfig& before, const spec::RunConfig& now) {
  spec::RunConfig same = before;
  if (now.train.minutes == 0) same.train.minutes = 0;  // steps that are named stand in place of minutes
  for (const std::string& difference : spec::differences(same, now)) {
    if (!may_change(difference.substr(0, difference.find(':')))) return difference;
  }
  return {};
}

void require_same_run(const CheckpointInfo& checkpoint, const spec::RunConfig& config, const std::string& data_hash) {
  const std::string hint = "a run keeps its configuration; train in another output.dir, or set it back";
  const std::string difference = first_difference(checkpoint.config, config);
  if (!difference.empty()) {
    base::fail_invalid("resume", "the checkpoint is of another configuration", difference, hint);
  }
  if (checkpoint.state.data_hash != data_hash) {
    base::fail_invalid("resume", "the checkpoint was trained on other data",
                       "data.path holds " + data_hash + ", the run began with " + checkpoint.state.data_hash, hint);
  }
  if (config.train.steps < checkpoint.state.step) {
    base::fail_invalid("resume", "train.steps is below the checkpoint's step",
                       std::to_string(config.train.steps) + " and " + std::to_string(checkpoint.state.step));
  }
}

void load_checkpoint(const CheckpointInfo& checkpoint, model::Transformer& model, AdamW& optimizer,
                     const BaseModel& beside) {
  if (model.adapters().empty()) {
    const formats::ModelFolder folder = formats::ModelFolder::open(checkpoint.path);
    if (folder.config() != model.config()) {
      base::fail_invalid("checkpoint", "config.json is of another model", checkpoint.path.string());
    }
    model.load(folder);
  } else {
    read_adapters(checkpoint.path, model, beside);
  }
  const formats::SafetensorsFile moments(checkpoint.path / kOptimizerFile);
  for (size_t i = 0; i < optimizer.parameters().size(); ++i) {
    const Parameter& p = optimizer.parameters()[i];
    optimizer.set_moments(i, read_moment(moments, kFirst + p.name, p), read_moment(moments, kSecond + p.name, p));
  }
  optimizer.set_updates(checkpoint.state.step);
  optimizer.zero_gradients();
}

}  // namespace dsmoe::train
