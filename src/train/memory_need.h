// Whether a run will fit, asked before anything of it is made: one that does not is stopped by the system after minutes
// or hours, and others on the machine with it.
#pragma once

#include "formats/gguf_model.h"
#include "spec/run_config.h"

namespace dsmoe::train {

/// Throws Error(kInvalid) with both figures unless spec::training_bytes, and with a base in a file that file too, is at
/// most `available`; 0: what this process may still take (base::available_memory), UINT64_MAX: no check. `ranks`
/// processes share it, each with a model of its own but for the experts that parallel.expert of them have between them,
/// and with a share of the moments; the file is mapped once for all. `file` null: the weights are in memory.
void require_memory(const spec::RunConfig& config, uint64_t available = 0, int ranks = 1,
                    const formats::GgufModel* file = nullptr);

}  // namespace dsmoe::train
