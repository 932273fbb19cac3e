#include "formats/model_folder.h"

#include <cmath>
#include <map>
#include <set>

#include "base/checked.h"
#include "base/error.h"
#include "base/json.h"
#include "formats/config_json.h"
#include "formats/manifest.h"
#include "formats/tensor_values.h"
#include "spec/counts.h"

namespace dsmoe::formats {
namespace {

namespace fs = base::fs;
using base::fail_invalid;
using base::in_quotes;

constexpr uint64_t kLongestConfig = 1 << 20;
constexpr uint64_t kLongestIndex = kLongestHeader;

bool there(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error);
}

// A guess at what a folder without config.json is, to say where the model may be.
std::string hint_for(const fs::path& folder) {
  if (there(folder / "snapshots")) return "this is a cache of several versions: name one folder in snapshots/";
  if (there(folder / "train.idx")) return "this is a corpus made by `dsmoe data build`, not a model";
  if (there(folder / "metrics.jsonl") || there(folder / "latest")) {
    return "this is a run's folder, and it has no checkpoint yet";
  }
  return "a model folder has config.json and model.safetensors; `dsmoe init` makes one";
}

void require_model_folder(const fs::path& folder) {
  std::error_code error;
  const fs::file_status status = fs::status(folder, error);
  if (status.type() == fs::file_type::not_found) {
    base::fail(base::ErrorKind::kIo, "model", folder.extension() == ".gguf" ? "no such file" : "no such folder",
               folder.string());
  }
  if (status.type() != fs::file_type::directory) {
    const bool gguf = folder.extension() == ".gguf";
    fail_invalid("model", "not a folder", folder.string(),
                 gguf ? "a GGUF file is not read here" : "name the folder that holds config.json");
  }
  for (const char* adapter : {"adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"}) {
    if (!there(folder / adapter)) continue;
    fail_invalid("model", "an adapter must be merged into the weights", (folder / adapter).string(),
                 "dsmoe merge does that; -m BASE --adapter FOLDER runs it beside the model that it was trained with");
  }
  if (!there(folder / "config.json")) {
    fail_invalid("model", "not a model folder", folder.string() + " has no config.json", hint_for(folder));
  }
  if (there(folder / kSingleFile) || there(folder / kIndexFile)) return;
  const bool pickled = there(folder / "pytorch_model.bin") || there(folder / "pytorch_model.bin.index.json");
  fail_invalid("model", "a model folder needs model.safetensors or model.safetensors.index.json", folder.string(),
               pickled ? "pickled weights can run code and are not read; save them as safetensors" : "");
}

// A shard's name in the index is a plain file name: nothing that leads out of the folder.
void check_file_name(const std::string& name, const std::string& where) {
  const bool plain = !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos &&
                     name.find('\\') == std::string::npos && name.find('\0') == std::string::npos;
  if (!plain) fail_invalid("model", "weight_map must name plain files of the folder", where + ", " + in_quotes(name));
}

// The rotary angles that old writers stored; they follow from rope_theta.
bool ignorable(std::string_view name) {
  constexpr std::string_view kEnd = ".rotary_emb.inv_freq";
  return name.size() > kEnd.size() && name.substr(name.size() - kEnd.size()) == kEnd;
}

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (const int64_t size : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(size);
  return text + "]";
}

void check_tensor(const spec::TensorSpec& wanted, const TensorEntry& found) {
  if (found.shape != wanted.shape) {
    fail_invalid("model", "a tensor's shape differs from what config.json asks for",
                 wanted.name + " is " + shape_text(found.shape) + ", wanted " + shape_text(wanted.shape));
  }
  const bool table = wanted.role == spec::TensorRole::kHashTable;
  if (table ? found.dtype != Dtype::kI32 : !is_float(found.dtype)) {
    fail_invalid("model", table ? "a hash table must be I32" : "a weight must be BF16, F16, F32 or F64",
                 wanted.name + " is " + std::string(name_of(found.dtype)));
  }
}

// Writers of old stored total_size as a float; a whole one is accepted.
void check_total_size(const base::Json& index, uint64_t bytes, const std::string& where) {
  const auto metadata = index.find("metadata");
  if (metadata == index.end() || !metadata->is_object() || !metadata->contains("total_size")) return;
  const base::Json& value = (*metadata)["total_size"];
  const bool right = value.is_number_unsigned()
                         ? value.get<uint64_t>() == bytes
                         : value.is_number_float() && value.get<double>() == static_cast<double>(bytes);
  if (!right) {
    fail_invalid("model", "total_size differs from the bytes of the tensors",
                 where + ", " + base::dump_json(value) + " and " + std::to_string(bytes),
                 "a shard may be of another model");
  }
}

// The files exist, so their sizes add up.
uint64_t data_size(const std::vector<SafetensorsFile>& shards) {
  uint64_t bytes = 0;
  for (const SafetensorsFile& shard : shards) bytes += shard.data_size();
  return bytes;
}

}  // namespace

ModelFolder ModelFolder::open(const fs::path& folder) {
  require_model_folder(folder);
  ModelFolder model;
  model.path_ = folder;
  const std::string config_path = (folder / "config.json").string();
  model.config_json_ = base::parse_json(base::read_file(config_path, kLongestConfig), config_path);
  model.config_ = config_from_json(model.config_json_, config_path);
  model.dtype_ = dtype_from_json(model.config_json_, config_path);
  if (there(folder / kSingleFile)) {
    model.add_shard(folder / kSingleFile);
  } else {
    model.open_index(folder / kIndexFile);
  }
  spec::require_room(model.config_, data_size(model.shards_), "model", config_path);
  model.judge_tensors();
  return model;
}

void ModelFolder::add_shard(const fs::path& path) {
  const size_t shard = shards_.size();
  shards_.emplace_back(path);
  for (const TensorEntry& entry : shards_.back().entries()) {
    const auto [at, fresh] = tensors_.try_emplace(entry.name, shard, &entry);
    if (!fresh) {
      fail_invalid("model", "a tensor is in two shards",
                   in_quotes(entry.name) + ", " + shards_[at->second.first].path().string() + " and " + path.string());
    }
  }
}

void ModelFolder::open_index(const fs::path& path) {
  const std::string where = path.string();
  const base::Json index = base::parse_json(base::read_file(path, kLongestIndex), where);
  const base::Json& map = base::require_member(index, "weight_map", where);
  if (!map.is_object()) fail_invalid("model", "weight_map must be an object", where);
  std::map<std::string, std::string> file_of;
  std::set<std::string> files;
  for (const auto& [name, file] : map.items()) {
    if (!file.is_string()) fail_invalid("model", "weight_map must name files", where + ", " + in_quotes(name));
    check_file_name(file.get<std::string>(), where);
    file_of[name] = file.get<std::string>();
    files.insert(file.get<std::string>());
  }
  shards_.reserve(files.size());
  for (const std::string& file : files) {
    const fs::path shard = path.parent_path() / file;
    if (!there(shard)) base::fail(base::ErrorKind::kIo, "model", "a shard is missing", shard.string());
    add_shard(shard);
  }
  for (const auto& [name, file] : file_of) {
    const auto found = tensors_.find(name);
    if (found == tensors_.end() || shards_[found->second.first].path().filename() != file) {
      fail_invalid("model", "a tensor is not in the shard that the index names", in_quotes(name) + ", " + file);
    }
  }
  for (const auto& [name, place] : tensors_) {
    if (file_of.count(name) == 0) {
      fail_invalid("model", "a shard holds a tensor that the index does not name",
                   in_quotes(name) + ", " + shards_[place.first].path().string());
    }
  }
  check_total_size(index, data_size(shards_), where);
}

void ModelFolder::judge_tensors() const {
  std::set<std::string_view> left;
  for (const auto& [name, place] : tensors_) {
    if (!ignorable(name)) left.insert(name);
  }
  std::string missing;  // the first one, named only after the whole pass: a surplus name may explain it
  spec::for_each_tensor(config_, [&](const spec::TensorSpec& wanted) {
    const auto found = tensors_.find(wanted.name);
    if (found == tensors_.end()) {
      if (missing.empty()) missing = wanted.name;
      return;
    }
    check_tensor(wanted, *found->second.second);
    left.erase(wanted.name);
    if (wanted.role == spec::TensorRole::kHashTable) read_hash_table(wanted.name);
    if (selects_experts(wanted.role)) {
      const TensorView view = tensor(wanted.name);
      check_selection(wanted.role, config_.n_routed_experts, view.dtype, view.bytes,
                      path_.string() + ", " + wanted.name);
    }
  });
  if (!missing.empty()) {
    const std::string near = base::nearest(missing, {left.begin(), left.end()});
    fail_invalid("model", "a tensor is missing", path_.string() + ", " + missing,
                 near.empty() ? "" : "the folder has " + in_quotes(near));
  }
  if (!left.empty()) {
    fail_invalid("model", "a tensor does not belong to the model that config.json describes",
                 path_.string() + ", " + in_quotes(*left.begin()) + (left.size() > 1 ? " and others" : ""));
  }
}

uint64_t ModelFolder::total_size() const {
  uint64_t bytes = 0;
  for (const auto& [name, place] : tensors_) {
    if (!ignorable(name)) bytes += place.second->end - place.second->begin;
  }
  return bytes;
}

TensorView ModelFolder::tensor(std::string_view name) const {
  const auto found = tensors_.find(std::string(name));
  DSMOE_CHECK(found != tensors_.end(), "a tensor of the spec: " + std::string(name));
  return shards_[found->second.first].view(*found->second.second);
}

void ModelFolder::read_f32(std::string_view name, std::span<float> out) const {
  const TensorView view = tensor(name);
  to_f32(view.dtype, view.bytes, out);
}

std::vector<float> ModelFolder::read_f32(std::string_view name) const {
  const TensorView view = tensor(name);
  std::vector<float> values(static_cast<size_t>(view.numel()));
  to_f32(view.dtype, view.bytes, values);
  return values;
}

std::vector<int32_t> ModelFolder::read_hash_table(std::string_view name) const {
  return hash_table_of(tensor(name).bytes, config_.n_routed_experts, std::string(name));
}

bool ModelFolder::verify(const base::ParallelFor& parallel) const {
  if (there(path_ / kManifestFile)) {
    verify_manifest(path_, parallel);
    return true;
  }
  bool all = true;
  for (const SafetensorsFile& shard : shards_) all = shard.verify(parallel) && all;
  return all;
}

}  // namespace dsmoe::formats
