// The keys of a model in a GGUF file, read. Inside the room only; the room's interface is gguf_model.h.
#pragma once

#include "formats/gguf_model.h"

namespace dsmoe::formats {

/// general.architecture and the model's numbers, checked; `vocab_size` is the embedding's rows, which some files alone
/// tell.
spec::ModelConfig config_from_gguf(const GgufFile& file, GgufArch& arch, int64_t vocab_size);

}  // namespace dsmoe::formats
