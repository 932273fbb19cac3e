// tokenizer.json and tokenizer_config.json: reading them strictly and writing them.
//
// Reading knows the byte-level BPE family (DeepSeek, Llama 3, Qwen, GPT-2) and refuses, by name, every part, key or
// setting that could change ids and is not known here. What cannot change ids (offsets, chat templates) is skipped.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "tokenizer/tokenizer.h"

namespace dsmoe::tokenizer {

/// `config` may be empty. Throws Error(kInvalid) naming `where`.
TokenizerSpec parse_tokenizer_json(std::string_view json, std::string_view config, std::string_view where);

/// A tokenizer.json, or a folder with one. tokenizer_config.json is read too if it lies beside.
/// Throws Error(kIo) or Error(kInvalid); parts of the format that dsmoe does not read are refused by name.
Tokenizer load_tokenizer(const std::filesystem::path& tokenizer_json);
/// The same from memory; `config` may be empty; `where` names the source in errors.
Tokenizer parse_tokenizer(std::string_view json, std::string_view config = {},
                          std::string_view where = "tokenizer.json");
/// 32 hex digits that differ when anything that decides ids or bytes differs.
std::string tokenizer_hash(const Tokenizer& tokenizer);

/// The files' whole text. Equal specs give equal text.
std::string tokenizer_json_text(const TokenizerSpec& spec);
std::string tokenizer_config_text(const TokenizerSpec& spec);

/// Both files into a folder that exists; each appears whole or not at all.
void save_tokenizer(const TokenizerSpec& spec, const std::filesystem::path& folder);

}  // namespace dsmoe::tokenizer
