// A tokenizer in a GGUF file: tokenizer.ggml.* as llama.cpp reads it, both ways.
//
// What is written is byte-level BPE (`gpt2`) under one of the pre-tokenizers that have a name there
// (pretokenizer_name). Token types: 1 normal, 3 control (special added), 4 user-defined (added), 5 unused: rows of the
// embedding without a token, called [PAD123]. dsmoe.tokenizer.in_model lists added tokens that the vocabulary holds
// too, so that the tokenizer's hash is the same again. What these keys cannot say (NFC, tokens that strip spaces, text
// put before or after other than bos and eos) makes the whole tokenizer.json go along, as tokenizer.huggingface.json,
// and reading prefers that.
#pragma once

#include <optional>
#include <string_view>

#include "formats/gguf.h"
#include "formats/gguf_writer.h"
#include "tokenizer/tokenizer.h"

namespace dsmoe::formats {

/// Adds the keys. `vocab_size`: rows of the model's embedding; `chat_template` may be empty. Throws Error(kInvalid)
/// where the pre-tokenizer has no name or the tokenizer has more tokens than rows.
void add_tokenizer_keys(GgufMetadata& metadata, const tokenizer::TokenizerSpec& spec, int64_t vocab_size,
                        std::string_view chat_template = {});
/// What a file of a model without tokenizer says: no_vocab, and the ids that begin and end texts (-1: none).
void add_no_tokenizer_keys(GgufMetadata& metadata, int64_t bos, int64_t eos);

/// Nothing where the file has none. Throws Error(kInvalid) for one that is not byte-level BPE or breaks its rules.
std::optional<tokenizer::TokenizerSpec> tokenizer_from_gguf(const GgufFile& file);

}  // namespace dsmoe::formats
