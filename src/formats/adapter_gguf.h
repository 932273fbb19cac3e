// An adapter as the GGUF file that llama.cpp takes as --lora: blk.N.NAME.weight.lora_a and .lora_b beside each tensor
// that has one.
//
// There a layer's experts are one tensor, so that A is [E, r, in] and B [E, out, r], with one rank: smaller ones are
// filled up with zeros, and so are experts that were not trained. One alpha holds for the file; what differs goes into
// B.
#pragma once

#include "formats/adapter_folder.h"

namespace dsmoe::formats {

struct AdapterGgufReport {
  std::string arch;
  size_t tensors = 0;  ///< of the model that get an adapter
  uint64_t bytes = 0;
};

/// float32. Throws Error: kInvalid where the adapter does not fit the model, kIo.
AdapterGgufReport write_adapter_gguf(const base::fs::path& path, const ScaledAdapter& adapter,
                                     const spec::ModelConfig& config, base::FileSystem& files = base::real_files());

}  // namespace dsmoe::formats
