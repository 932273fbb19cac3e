#include "formats/model_folder_writer.h"

#include <algorithm>
#include <cstdio>

#include "base/error.h"
#include "formats/config_json.h"
#include "formats/model_folder.h"
#include "spec/counts.h"

namespace dsmoe::formats {
namespace {

constexpr size_t kConvertAtOnce = 1 << 20;  // floats
constexpr uint64_t kLongestTokenizerFile = 1 << 28;
constexpr const char* kTokenizerFiles[] = {"tokenizer.json",    "tokenizer_config.json", "special_tokens_map.json",
                                           "added_tokens.json", "chat_template.jinja",   "chat_template.json"};

uint64_t bytes_of(const TensorDeclaration& tensor) {
  uint64_t bytes = 0;
  DSMOE_CHECK(tensor_bytes(tensor.dtype, tensor.shape, bytes), "a valid config gives tensors that fit");
  return bytes;
}

std::string shard_name(size_t index, size_t count) {
  if (count == 1) return std::string(kSingleFile);
  char name[64];
  std::snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", index + 1, count);
  return name;
}

std::string card_of(const spec::ModelConfig& config) {
  const std::string kind = config.is_moe() ? "mixture-of-experts" : "dense";
  return "---\nlibrary_name: transformers\npipeline_tag: text-generation\n---\n\nA " + kind +
         " language model written by dsmoe: " + std::to_string(config.num_hidden_layers) + " layers of width " +
         std::to_string(config.hidden_size) +
         (config.is_moe() ? ", " + std::to_string(config.n_routed_experts) +
                                " routed experts of which a token visits " + std::to_string(config.num_experts_per_tok)
                          : "") +
         ".\n";
}

}  // namespace

Dtype stored_dtype(const spec::TensorSpec& tensor, Dtype dtype) {
  if (tensor.role == spec::TensorRole::kHashTable) return Dtype::kI32;
  return tensor.role == spec::TensorRole::kRouterBias ? Dtype::kF32 : dtype;
}

ModelFolderWriter::ModelFolderWriter(const base::fs::path& folder, const spec::ModelConfig& config,
                                     ModelFolderOptions options, base::FileSystem& files)
    : folder_(folder), config_(config), options_(std::move(options)), files_(files) {
  spec::validate(config_, "model");
  if (!is_float(options_.dtype) || options_.dtype == Dtype::kF64) {
    base::fail_invalid("model", "weights are written as F32, BF16 or F16", name_of(options_.dtype));
  }
  const spec::Precision size = options_.dtype == Dtype::kF32 ? spec::Precision::kF32 : spec::Precision::kBf16;
  spec::require_room(config_, static_cast<uint64_t>(spec::weight_bytes(config_, size)), "model", folder_.string());
  plan();
}

ModelFolderWriter::~ModelFolderWriter() = default;

// Tensors in order into shards, a new one where the next tensor would make it too large.
void ModelFolderWriter::plan() {
  uint64_t in_shard = 0;
  spec::for_each_tensor(config_, [&](const spec::TensorSpec& tensor) {
    TensorDeclaration declaration{tensor.name, stored_dtype(tensor, options_.dtype), tensor.shape};
    const uint64_t bytes = bytes_of(declaration);
    if (shards_.empty() || (in_shard > 0 && in_shard + bytes > options_.shard_bytes)) {
      shards_.emplace_back();
      in_shard = 0;
    }
    shards_.back().tensors.push_back(std::move(declaration));
    in_shard += bytes;
    total_size_ += bytes;
  });
  for (size_t i = 0; i < shards_.size(); ++i) shards_[i].name = shard_name(i, shards_.size());
}

SafetensorsWriter& ModelFolderWriter::open_shard() {
  DSMOE_CHECK(shard_ < shards_.size(), "no bytes after the last tensor of the model");
  if (!writer_) {
    writer_ = std::make_unique<SafetensorsWriter>(folder_ / shards_[shard_].name, shards_[shard_].tensors,
                                                  SafetensorsOptions{}, files_);
  }
  return *writer_;
}

uint64_t ModelFolderWriter::bytes_on_disk() const {
  uint64_t bytes = total_size_;
  // a header entry holds the name twice (with its checksum), a shape and two offsets
  for (const Shard& shard : shards_) {
    bytes += 4096;
    for (const TensorDeclaration& tensor : shard.tensors) bytes += 3 * tensor.name.size() + 256;
  }
  return bytes;
}

void ModelFolderWriter::append(std::span<const std::byte> bytes) {
  if (bytes.empty()) return;
  SafetensorsWriter& shard = open_shard();
  shard.append(bytes);
  if (shard.current() != nullptr) return;
  shard.finish();
  writer_.reset();
  ++shard_;
}

void ModelFolderWriter::append_f32(std::span<const float> values) {
  while (!values.empty()) {
    const Dtype dtype = open_shard().current()->dtype;
    DSMOE_CHECK(is_float(dtype), "float values for a tensor of floats");
    const std::span<const float> piece = values.first(std::min(values.size(), kConvertAtOnce));
    buffer_.resize(piece.size() * bits_of(dtype) / 8);
    from_f32(piece, dtype, buffer_);
    append(buffer_);
    values = values.subspan(piece.size());
  }
}

void ModelFolderWriter::write_file(const std::string& name, std::string_view text) {
  base::FileWriter writer(folder_ / name, files_);
  writer.write(text);
  writer.finish();
}

void ModelFolderWriter::write_index() {
  base::Json::object_t map;
  for (const Shard& shard : shards_) {
    for (const TensorDeclaration& tensor : shard.tensors) map.push_back({tensor.name, shard.name});
  }
  base::Json index = {{"metadata", {{"total_size", total_size_}}}, {"weight_map", std::move(map)}};
  write_file(std::string(kIndexFile), base::dump_json(index, 2) + "\n");
}

void ModelFolderWriter::finish() {
  DSMOE_CHECK(shard_ == shards_.size(), "all tensors of the model have come");
  if (shards_.size() > 1) write_index();
  const base::Json config = config_to_json(config_, options_.dtype, options_.further_keys);
  write_file("config.json", base::dump_json(config, 2) + "\n");
  const base::Json generation = {
      {"_from_model_config", true}, {"bos_token_id", config["bos_token_id"]}, {"eos_token_id", config["eos_token_id"]}};
  write_file("generation_config.json", base::dump_json(generation, 2) + "\n");
  if (!options_.tokenizer_from.empty()) {
    for (const char* name : kTokenizerFiles) {
      const base::fs::path source = options_.tokenizer_from / name;
      if (base::fs::exists(source)) write_file(name, base::read_file(source, kLongestTokenizerFile));
    }
  }
  write_file("README.md", options_.card.empty() ? card_of(config_) : options_.card);
}

}  // namespace dsmoe::formats
