// The keys of config.json that dsmoe does not compute with: what each would change, and at which value it changes
// nothing. Inside the room only; the room's interface is config_json.h.
//
// Three kinds of keys. Those that are read into spec::ModelConfig are in config_json.cpp. Those in the table here
// change the forward pass of some reader of these files (the classes of Hugging Face's transformers, those of other
// families, vLLM) and are refused by name at any other value than a harmless one; as every family spells the same thing
// in its own way, most rows are patterns. All others never change a forward pass and are passed over: dropout, balance
// losses, pretraining_tp (the same sums, sliced), ep_size, ids of padding, names and versions, and what nobody knows.
#pragma once

#include "base/json.h"
#include "spec/model_config.h"

namespace dsmoe::formats {

/// Throws Error(kInvalid) naming the first key of the table, or member of rope_scaling or rope_parameters, that would
/// make the file's model another one than `config`, which is valid.
void check_config_keys(const base::Json& json, std::string_view where, const spec::ModelConfig& config);

}  // namespace dsmoe::formats
