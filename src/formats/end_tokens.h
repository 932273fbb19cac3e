// The tokens that end an answer.
//
// A model folder says it in up to three places: eos_token_id of config.json and of generation_config.json (a number, a
// list, or null for none), and the tokenizer's eos. All of them count: who publishes a model mends whichever of the
// three their own system reads. A GGUF file has one key for each of llama.cpp's three ends (eos, end of turn, end of
// message) and, where a model has several ends, dsmoe.tokenizer.end_token_ids with all of them.
#pragma once

#include <optional>
#include <vector>

#include "base/file.h"
#include "formats/gguf.h"
#include "formats/gguf_writer.h"
#include "spec/model_config.h"

namespace dsmoe::formats {

/// Of a model folder: each id once, the tokenizer's first; none: nothing ends an answer. A config.json without the key
/// means what its class assumes, `config.eos_token_id`, where the other two are silent as well. Ids that the vocabulary
/// does not have never come and are left out. Throws Error(kInvalid) for a value that is neither id, list nor null.
std::vector<int32_t> end_tokens(const base::fs::path& folder, const spec::ModelConfig& config,
                                std::optional<int32_t> tokenizer_eos);
/// Of a GGUF file: the same ids as of the folder that it was made from.
std::vector<int32_t> end_tokens(const GgufFile& file, const spec::ModelConfig& config);
/// Adds what the file's eos key, whose value is `eos`, does not say already: two more as llama.cpp's end of turn and of
/// message, and all of them as dsmoe's own list.
void add_end_token_keys(GgufMetadata& metadata, const std::vector<int32_t>& ends, std::optional<int32_t> eos);

/// A special token's id by its key; nothing where the key is absent or says none (-1, which some writers store in 32
/// bits without sign).
std::optional<int64_t> gguf_token_id(const GgufFile& file, std::string_view key);

}  // namespace dsmoe::formats
