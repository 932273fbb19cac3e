// What config.json says about rotary embeddings in rope_scaling and rope_parameters, the two names of one object.
// Inside the room only; the room's interface is config_json.h.
#pragma once

#include "base/json.h"
#include "spec/model_config.h"

namespace dsmoe::formats {

/// Throws Error(kInvalid) naming the first member of either object that would turn the rotary embedding into another
/// one than the plain one of `config`, whether the member is known here or not.
void check_rotary_objects(const base::Json& json, std::string_view where, const spec::ModelConfig& config);

/// The base of the rotary angles, from where transformers takes it: rope_scaling where that is an object with members,
/// else rope_parameters, else the outer rope_theta, else `silence`. Null inside counts as silence. Throws
/// Error(kInvalid) where no number is to be had, or two places contradict each other.
double rope_theta_from_json(const base::Json& json, std::string_view where, double silence);

}  // namespace dsmoe::formats
