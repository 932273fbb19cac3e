// A LoRA adapter as PEFT keeps it: adapter_config.json and adapter_model.safetensors, with one A and one B for each
// module, a routed expert's matrices among them, under base_model.model.MODULE.lora_A.weight and .lora_B.weight.
//
// dsmoe's own carry the hash of the base's weights in the safetensors file's metadata, where other readers pass it
// over. A foreign adapter has none: there shapes and names decide. What changes the meaning of the matrices (DoRA,
// biases, modules saved whole, transposed ones) is refused by name.
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/parallel.h"
#include "spec/model_config.h"

namespace dsmoe::formats {

inline constexpr std::string_view kAdapterConfig = "adapter_config.json";
inline constexpr std::string_view kAdapterTensors = "adapter_model.safetensors";

/// y += scale * b (a x) beside the matrix of `module` (spec/adapter.h).
struct AdapterModule {
  std::string module;
  int64_t rank = 0, inputs = 0, outputs = 0;
  double scale = 1;
  std::vector<float> a;  ///< [rank, inputs]
  std::vector<float> b;  ///< [outputs, rank]
};

struct Adapter {
  std::string base_model;  ///< what the base was called; for people
  std::string base_hash;   ///< hash_of_weights() of it; empty: not known
  std::vector<AdapterModule> modules;
};

/// An adapter to be added, and how much of it.
struct ScaledAdapter {
  const Adapter* adapter;
  double scale = 1;
};

/// True where `folder` holds an adapter.
bool is_adapter(const base::fs::path& folder);
/// Throws Error: kIo where it cannot be read, kInvalid where it is broken or of a kind that is not known.
Adapter read_adapter(const base::fs::path& folder);
/// Into a folder that is there; scales are written as alpha, ranks and alphas that differ as patterns.
void write_adapter(const base::fs::path& folder, const Adapter& adapter, base::FileSystem& files = base::real_files());
/// The same with the matrices of each module, a and b, where they lie; those of `adapter` are empty.
using AdapterMatrices = std::pair<std::span<const float>, std::span<const float>>;
void write_adapter(const base::fs::path& folder, const Adapter& adapter, std::span<const AdapterMatrices> matrices,
                   base::FileSystem& files = base::real_files());

/// Throws Error(kInvalid), naming the module, where an adapter does not fit a model: a module that the model does not
/// have or that takes none, sizes that are not its matrix's.
void require_fits(const Adapter& adapter, const spec::ModelConfig& config, std::string_view where);
/// Throws Error(kInvalid) where both hashes are known and differ. Those of a folder and of a GGUF file are not
/// compared: the file may well have been made of the folder.
void require_base(const Adapter& adapter, std::string_view base_hash, std::string_view where);

/// What names the weights of a model folder: a hash over the checksums of its safetensors files, which manifest.json
/// states where there is one. Of a GGUF file: "gguf-" and a hash over its size, its header and both ends of every
/// tensor (4 kB each), so that a file that stays mapped need not be read whole for it.
std::string hash_of_weights(const base::fs::path& model, const base::ParallelFor& parallel = base::serial_for);

}  // namespace dsmoe::formats
