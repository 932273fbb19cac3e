// A model in a GGUF file: what keys and tensors of spec::ModelConfig are called there, both ways.
//
// Three architectures. `deepseek` (mixtures) and `llama` (dense models) are llama.cpp's, with its keys. What deepseek
// has no words for (a gate that normalises or scales, sigmoid affinities, a balance bias, hash routing, groups, every
// n-th layer, no shared expert) is written as `dsmoe`: the keys are `dsmoe.` and config.json's names, and llama.cpp
// refuses the file rather than misread it.
//
// In all three: a layer's experts are one tensor, [E, out, in]; router, norms and balance bias are F32; and the rows of
// q and k are reordered inside each head, so that rotary embedding turns neighbours: row 2i is the head's row i, row
// 2i + 1 its row i + A/2 (A the head size). A file without `output.weight` has the embedding as its head.
#pragma once

#include <map>
#include <memory>

#include "formats/gguf.h"
#include "formats/gguf_writer.h"
#include "spec/model_config.h"
#include "spec/tensors.h"

namespace dsmoe::formats {

enum class GgufArch { kDeepseek, kLlama, kDsmoe };
std::string_view gguf_arch_name(GgufArch arch);

/// The arch to write a model for: `wanted` by name, or where that is empty the plainest that can say all of the model.
/// Throws Error(kInvalid) naming the key that `wanted` has no word for.
GgufArch gguf_arch_for(const spec::ModelConfig& config, std::string_view wanted = {});

/// Adds general.architecture and the model's keys.
void add_model_keys(GgufMetadata& metadata, const spec::ModelConfig& config, GgufArch arch);

/// One tensor of the file and the model's tensors it is made of.
struct GgufTensorPlan {
  std::string name;
  std::vector<int64_t> shape;  ///< slowest first
  spec::TensorRole role;
  std::vector<std::string> sources;  ///< names of spec/tensors.h: the experts in order, else one
  int64_t interleaved_heads = 0;     ///< heads whose rows are reordered as said above; 0 for most
  int64_t layer = -1;                ///< or -1
};
/// All of them, in the order of the file.
std::vector<GgufTensorPlan> gguf_tensors(const spec::ModelConfig& config);

class GgufModel {
 public:
  /// Throws Error: kIo when the file cannot be read, kInvalid where it is no GGUF file, of an architecture or with a
  /// key or tensor that dsmoe does not compute with, or lacks a tensor.
  static GgufModel open(const base::fs::path& path);

  const GgufFile& file() const { return *file_; }
  const spec::ModelConfig& config() const { return config_; }
  GgufArch arch() const { return arch_; }

  /// A tensor of spec::for_each_tensor: rows of the file, an expert's slice of its layer's.
  struct View {
    GgufType type = GgufType::kF32;
    std::vector<int64_t> shape;
    std::span<const std::byte> bytes;
    int64_t interleaved_heads = 0;
  };
  View tensor(const std::string& name) const;

 private:
  GgufModel() = default;
  void bind();
  void judge_no_others(const std::map<std::string_view, const GgufTensorPlan*>& known) const;

  std::unique_ptr<GgufFile> file_;
  spec::ModelConfig config_;
  GgufArch arch_ = GgufArch::kDsmoe;
  std::map<std::string, View, std::less<>> views_;
};

}  // namespace dsmoe::formats
