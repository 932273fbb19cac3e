// The keys of a model in a GGUF file that dsmoe does not compute with: what each would change, and at which value it
// changes nothing. Inside the room only; the room's interface is gguf_model.h.
//
// A key under the architecture's prefix (`llama.`, say) describes the model. Those that gguf_keys.cpp asks for are
// computed with. The table here has those that are harmless at a value other than off, or at any; every other key must
// be off (0, false or empty), known or unknown: llama.cpp gives meaning to some hundred, and a later one may change any
// of them. Keys without the prefix (`general.`, another architecture's, the tokenizer's) never change a forward pass.
#pragma once

#include <set>
#include <string>
#include <string_view>

#include "formats/gguf.h"
#include "spec/model_config.h"

namespace dsmoe::formats {

/// Throws Error(kInvalid) naming the first key under `prefix` that would make the file's model another one than
/// `config`, which is valid. `asked`: names without the prefix that were read into `config`.
void check_gguf_keys(const GgufFile& file, std::string_view prefix, const std::set<std::string, std::less<>>& asked,
                     const spec::ModelConfig& config);

}  // namespace dsmoe::formats
