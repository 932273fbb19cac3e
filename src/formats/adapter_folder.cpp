#include "formats/adapter_folder.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>

#include "base/error.h"
#include "base/hash.h"
#include "base/json.h"
#include "formats/gguf.h"
#include "formats/manifest.h"
#include "formats/safetensors.h"
#include "formats/safetensors_writer.h"
#include "formats/verified.h"
#include "spec/adapter.h"

namespace dsmoe::formats {
namespace {

namespace fs = base::fs;
using base::fail_invalid;
using base::Json;

constexpr std::string_view kPrefix = "base_model.model.", kA = ".lora_A.weight", kB = ".lora_B.weight";
constexpr const char* kBaseHash = "dsmoe.base_xxh3_128";
constexpr uint64_t kLongestConfig = 16 << 20;  // bytes
constexpr int64_t kLargestRank = 1 << 16;

/// What adapter_config.json says of scales.
struct Scales {
  int64_t rank = 0;
  double alpha = 0;
  bool by_root = false;  // rslora: alpha / sqrt(rank)
  std::map<std::string, double> ranks, alphas;

  /// A pattern is a module's name or the end of one.
  static std::optional<double> of(const std::map<std::string, double>& pattern, const std::string& module) {
    for (const auto& [name, value] : pattern) {
      if (module == name || module.ends_with("." + name)) return value;
    }
    return std::nullopt;
  }
  int64_t rank_of(const std::string& module) const {
    return static_cast<int64_t>(of(ranks, module).value_or(static_cast<double>(rank)));
  }
  double scale_of(const std::string& module) const {
    const auto r = static_cast<double>(rank_of(module));
    return of(alphas, module).value_or(alpha) / (by_root ? std::sqrt(r) : r);
  }
};

std::map<std::string, double> read_pattern(const Json& config, const char* key, const std::string& where) {
  std::map<std::string, double> pattern;
  const auto found = config.find(key);
  if (found == config.end() || found->is_null()) return pattern;
  if (!found->is_object()) fail_invalid(where, std::string(key) + " must be an object", base::dump_json(*found));
  for (const auto& [name, value] : found->items()) {
    if (name.find_first_of("*+?[](){}|\\$^") != std::string::npos) {
      fail_invalid(where, std::string(key) + " must hold names of modules or their ends", base::in_quotes(name),
                   "regular expressions are not read");
    }
    pattern[name] = base::require_number(*found, name, where + " " + key);
  }
  return pattern;
}

void refuse_what_is_not_known(const Json& config, const std::string& where) {
  const std::string type = base::require_string(config, "peft_type", where);
  if (type != "LORA") fail_invalid(where, "peft_type must be LORA", base::in_quotes(type));
  const auto require_off = [&](const char* key, const char* why) {
    const auto found = config.find(key);
    if (found == config.end() || found->is_null() || *found == false || *found == "none") return;
    if ((found->is_array() || found->is_object()) && found->empty()) return;
    fail_invalid(where, std::string(key) + " must be off", base::dump_json(*found), why);
  };
  require_off("use_dora", "DoRA scales columns, which is not read");
  require_off("bias", "biases are not read");
  require_off("modules_to_save", "modules that were trained whole are not read");
  require_off("fan_in_fan_out", "transposed matrices are not read");
}

Scales read_scales(const Json& config, const std::string& where) {
  Scales scales;
  scales.rank = base::require_int(config, "r", 1, kLargestRank, where);
  scales.alpha = base::require_number(config, "lora_alpha", where);
  if (config.contains("use_rslora") && !config["use_rslora"].is_null()) {
    scales.by_root = base::require_bool(config, "use_rslora", where);
  }
  scales.ranks = read_pattern(config, "rank_pattern", where);
  scales.alphas = read_pattern(config, "alpha_pattern", where);
  return scales;
}

/// "MODULE" of base_model.model.MODULE.lora_A.weight, where the name is one.
std::optional<std::string> module_with(std::string_view name, std::string_view ending) {
  if (!name.starts_with(kPrefix) || !name.ends_with(ending)) return std::nullopt;
  return std::string(name.substr(kPrefix.size(), name.size() - kPrefix.size() - ending.size()));
}

std::vector<float> values_of(const SafetensorsFile& file, const TensorEntry& entry) {
  if (!is_float(entry.dtype) || entry.shape.size() != 2) {
    fail_invalid(file.path().string(), "an adapter's tensors must be matrices of floats", entry.name);
  }
  std::vector<float> values(static_cast<size_t>(entry.shape[0] * entry.shape[1]));
  to_f32(entry.dtype, file.view(entry).bytes, values);
  if (!std::ranges::all_of(values, [](float x) { return std::isfinite(x); })) {
    fail_invalid(file.path().string(), "an adapter's values must be finite", entry.name);
  }
  return values;
}

AdapterModule read_module(const SafetensorsFile& file, const TensorEntry& a, const std::string& module,
                          const Scales& scales) {
  const std::string where = file.path().string();
  const TensorEntry* b = file.find(std::string(kPrefix) + module + std::string(kB));
  if (!b) fail_invalid(where, "every lora_A must have its lora_B", module);
  AdapterModule out{module, 0, 0, 0, scales.scale_of(module), values_of(file, a), values_of(file, *b)};
  out.rank = a.shape[0], out.inputs = a.shape[1], out.outputs = b->shape[0];
  if (out.rank != b->shape[1] || out.rank != scales.rank_of(module)) {
    fail_invalid(where, "the ranks of an adapter's matrices and of its configuration must agree",
                 module + " has " + std::to_string(a.shape[0]) + " and " + std::to_string(b->shape[1]) +
                     ", adapter_config.json " + std::to_string(scales.rank_of(module)));
  }
  if (!std::isfinite(out.scale)) fail_invalid(where, "an adapter's scale must be finite", module);
  return out;
}

Json config_of(const Adapter& adapter) {
  const auto alpha_of = [](const AdapterModule& m) { return m.scale * static_cast<double>(m.rank); };
  const AdapterModule& first = adapter.modules.front();
  Json names = Json::array(), ranks = Json::object(), alphas = Json::object();
  for (const AdapterModule& module : adapter.modules) {
    names.push_back(module.module);
    if (module.rank != first.rank) ranks[module.module] = module.rank;
    if (alpha_of(module) != alpha_of(first)) alphas[module.module] = alpha_of(module);
  }
  return {{"peft_type", "LORA"},    {"task_type", "CAUSAL_LM"}, {"base_model_name_or_path", adapter.base_model},
          {"inference_mode", true}, {"r", first.rank},          {"lora_alpha", alpha_of(first)},
          {"lora_dropout", 0.0},    {"use_rslora", false},      {"use_dora", false},
          {"bias", "none"},         {"fan_in_fan_out", false},  {"modules_to_save", nullptr},
          {"rank_pattern", ranks},  {"alpha_pattern", alphas},  {"target_modules", names}};
}

constexpr std::string_view kOfFile = "gguf-";  // begins the hash of a GGUF file's weights
bool is_of_file(std::string_view hash) { return hash.starts_with(kOfFile); }

std::string hash_of_file(const GgufFile& file) {
  constexpr size_t kEnd = 4096;
  const auto text = [](std::span<const std::byte> bytes) {
    return std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  };
  std::string all = std::to_string(file.size()) + "\n" +
                    base::xxh3_128_hex(text(file.bytes().first(static_cast<size_t>(file.header().data_start)))) + "\n";
  for (const GgufTensor& tensor : file.tensors()) {
    const auto bytes = file.bytes(tensor);
    const size_t end = std::min(kEnd, bytes.size());
    all += base::xxh3_128_hex(text(bytes.first(end))) + base::xxh3_128_hex(text(bytes.last(end))) + "\n";
  }
  return base::xxh3_128_hex(all);
}

}  // namespace

bool is_adapter(const fs::path& folder) {
  std::error_code ignored;
  return fs::exists(folder / kAdapterConfig, ignored);
}

Adapter read_adapter(const fs::path& folder) {
  const std::string where = (folder / kAdapterConfig).string();
  const Json config = base::parse_json(base::read_file(where, kLongestConfig), where);
  if (!config.is_object()) fail_invalid(where, "an adapter's configuration must be an object");
  refuse_what_is_not_known(config, where);
  const Scales scales = read_scales(config, where);
  const SafetensorsFile file(folder / kAdapterTensors);
  Adapter adapter;
  const auto name = config.find("base_model_name_or_path");
  if (name != config.end() && name->is_string()) adapter.base_model = name->get<std::string>();
  const auto hash = file.metadata().find(kBaseHash);
  if (hash != file.metadata().end()) adapter.base_hash = hash->second;
  for (const TensorEntry& entry : file.entries()) {
    if (const auto module = module_with(entry.name, kA)) {
      adapter.modules.push_back(read_module(file, entry, *module, scales));
    } else if (const auto other = module_with(entry.name, kB);
               !other || !file.contains(std::string(kPrefix) + *other + std::string(kA))) {
      fail_invalid(file.path().string(), "an adapter's tensors must be lora_A and lora_B of the same modules",
                   entry.name);
    }
  }
  if (adapter.modules.empty()) fail_invalid(file.path().string(), "an adapter must have tensors", "none are there");
  std::ranges::sort(adapter.modules, {}, &AdapterModule::module);
  return adapter;
}

void write_adapter(const fs::path& folder, const Adapter& adapter, base::FileSystem& files) {
  std::vector<AdapterMatrices> matrices;
  for (const AdapterModule& m : adapter.modules) matrices.emplace_back(m.a, m.b);
  write_adapter(folder, adapter, matrices, files);
}

void write_adapter(const fs::path& folder, const Adapter& adapter, std::span<const AdapterMatrices> matrices,
                   base::FileSystem& files) {
  DSMOE_CHECK(!adapter.modules.empty() && matrices.size() == adapter.modules.size(), "an adapter has modules");
  std::vector<TensorDeclaration> tensors;
  for (const AdapterModule& m : adapter.modules) {
    const std::string name = std::string(kPrefix) + m.module;
    tensors.push_back({name + std::string(kA), Dtype::kF32, {m.rank, m.inputs}});
    tensors.push_back({name + std::string(kB), Dtype::kF32, {m.outputs, m.rank}});
  }
  SafetensorsOptions options;
  if (!adapter.base_hash.empty()) options.metadata[kBaseHash] = adapter.base_hash;
  SafetensorsWriter writer(folder / kAdapterTensors, std::move(tensors), options, files);
  for (const auto& [a, b] : matrices) {
    writer.append(std::as_bytes(a));
    writer.append(std::as_bytes(b));
  }
  writer.finish();
  base::write_file(folder / kAdapterConfig, base::dump_json(config_of(adapter), 2) + "\n", files);
}

void require_fits(const Adapter& adapter, const spec::ModelConfig& config, std::string_view where) {
  std::map<std::string, std::vector<int64_t>> shapes;
  spec::for_each_tensor(config, [&](const spec::TensorSpec& tensor) {
    if (spec::takes_adapter(tensor)) shapes[spec::module_of(tensor.name)] = tensor.shape;
  });
  for (const AdapterModule& m : adapter.modules) {
    const auto found = shapes.find(m.module);
    if (found == shapes.end()) {
      fail_invalid(where, "an adapter's modules must be weight matrices of the model", m.module + " is none",
                   "the adapter is for another model, or for a part of it that takes none here");
    }
    if (found->second == std::vector{m.outputs, m.inputs}) continue;
    fail_invalid(where, "an adapter's matrices must have the sizes of the model's",
                 m.module + ": " + std::to_string(m.outputs) + " x " + std::to_string(m.inputs) + ", the model has " +
                     std::to_string(found->second[0]) + " x " + std::to_string(found->second[1]),
                 "the adapter is for another model");
  }
}

void require_base(const Adapter& adapter, std::string_view base_hash, std::string_view where) {
  if (adapter.base_hash.empty() || base_hash.empty() || adapter.base_hash == base_hash) return;
  if (is_of_file(adapter.base_hash) != is_of_file(base_hash)) return;
  fail_invalid(where, "an adapter must stand beside the weights that it was trained with",
               "trained with " + adapter.base_hash + ", this model has " + std::string(base_hash),
               adapter.base_model.empty() ? "" : "it was trained beside " + adapter.base_model);
}

std::string hash_of_weights(const fs::path& model, const base::ParallelFor& parallel) {
  std::error_code ignored;
  if (fs::is_regular_file(model, ignored)) return std::string(kOfFile) + hash_of_file(GgufFile(model));
  std::map<std::string, std::string> checksums;  // by name
  for (const auto& entry : fs::directory_iterator(model)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("model") && name.ends_with(".safetensors")) checksums[name];
  }
  if (has_manifest(model)) {
    for (const FilePromise& promise : promises_of(read_manifest(model), model)) {
      if (const auto found = checksums.find(promise.name); found != checksums.end()) found->second = promise.checksum;
    }
  }
  std::vector<std::pair<std::string, std::string*>> unknown;
  for (auto& [name, checksum] : checksums) {
    if (checksum.empty()) unknown.emplace_back(name, &checksum);
  }
  parallel(std::ssize(unknown), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const auto& [name, checksum] = unknown[static_cast<size_t>(i)];
      *checksum = hash_file(model / name);
    }
  });
  std::string all;
  for (const auto& [name, checksum] : checksums) all += checksum + "\n";
  return base::xxh3_128_hex(all);
}

}  // namespace dsmoe::formats
