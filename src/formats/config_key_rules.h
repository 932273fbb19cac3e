// The keys of config.json that dsmoe does not compute with: what each would change, and at which value it changes
// nothing. Inside the room only; config_json.h is the door.
//
// Three kinds of keys. Those that are read into spec::ModelConfig are in config_json.cpp. Those in the table here
// change the forward pass of some reader of these files (the classes of Hugging Face's transformers, vLLM) and are
// refused by name at any other value than a harmless one. All others never change a forward pass, or not one of
// `deepseek` and `llama`, and are passed over: dropout, balance losses, pretraining_tp (the same sums, sliced),
// ep_size, ids of padding, names and versions.
#pragma once

#include "base/json.h"
#include "spec/model_config.h"

namespace dsmoe::formats {

/// Throws Error(kInvalid) naming the first key of the table, or member of rope_scaling or rope_parameters, that would
/// make the file's model another one than `config`, which is valid.
void judge_config_keys(const base::Json& json, std::string_view where, const spec::ModelConfig& config);

/// The base of the rotary angles, from where transformers takes it: rope_scaling where that is an object with members,
/// else rope_parameters, else the outer rope_theta, else `silence`. Null inside counts as silence. Throws
/// Error(kInvalid) where no number is to be had, or two places contradict each other.
double rope_theta_from_json(const base::Json& json, std::string_view where, double silence);

}  // namespace dsmoe::formats
