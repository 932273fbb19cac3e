#include "formats/config_rotary.h"

#include <algorithm>

#include "base/error.h"
#include "formats/config_values.h"

namespace dsmoe::formats {
namespace {

using base::Json;

// rope_scaling and rope_parameters, the two names of one object. Its kind is spelt rope_type or type; where both are
// there they are checked both, as versions of transformers differ in which counts. A kind that scales by `factor` is
// the plain embedding where that is 1 (dynamic too: no sequence is longer than max_position_embeddings here).
class Rotation {
 public:
  Rotation(const Json& object, const char* name, std::string_view where, int64_t longest)
      : object_(object), name_(name), where_(where), longest_(longest) {}

  void check() const {
    bool scaled = false, plain = false;
    for (const char* key : {"rope_type", "type"}) {
      const Json* type = find(object_, key);
      if (!type) continue;
      scaled = scaled || one_of(*type, {"linear", "dynamic", "yarn", "llama3"});
      plain = plain || *type == Json("default");
      if (!one_of(*type, {"default", "linear", "dynamic", "yarn", "llama3"})) refuse(key, "default");
    }
    if (scaled || !plain) {
      const Json* factor = find(object_, "factor");
      if (factor ? !is_number(*factor, 1) : scaled) refuse("factor", "1");
      must_be_one("attention_factor");
      check_original_length();
    }
    must_be_one("partial_rotary_factor");
    for (const auto& [key, value] : object_.items()) {
      if (!value.is_null() && !is_off(value) && !is_known(key)) refuse(key, "absent");
    }
  }

 private:
  static bool one_of(const Json& value, std::initializer_list<const char*> names) {
    return std::any_of(names.begin(), names.end(), [&](const char* name) { return value == Json(name); });
  }
  // Members checked above, and those that say how a factor is applied.
  static bool is_known(const std::string& key) {
    return one_of(key, {"rope_type", "type", "factor", "attention_factor", "partial_rotary_factor", "rope_theta",
                        "original_max_position_embeddings", "beta_fast", "beta_slow", "mscale", "mscale_all_dim",
                        "truncate", "low_freq_factor", "high_freq_factor", "finetuned"});
  }
  // Versions of transformers take the factor of yarn and dynamic from the two lengths instead.
  void check_original_length() const {
    constexpr const char* kLength = "original_max_position_embeddings";
    const Json* length = find(object_, kLength);
    if (!length || is_number(*length, static_cast<double>(longest_))) return;
    for (const char* key : {"rope_type", "type"}) {
      const Json* type = find(object_, key);
      if (type && one_of(*type, {"yarn", "dynamic"})) {
        refuse(kLength, "max_position_embeddings = " + std::to_string(longest_));
      }
    }
  }
  void must_be_one(const char* key) const {
    const Json* value = find(object_, key);
    if (value && !is_number(*value, 1)) refuse(key, "1");
  }
  [[noreturn]] void refuse(const std::string& key, const std::string& wanted) const {
    base::fail_invalid(where_, std::string(name_) + "." + key + " must be " + wanted,
                       base::in_quotes(base::dump_json(object_)), "dsmoe computes rotary embeddings without scaling");
  }

  const Json& object_;
  const char* name_;
  std::string_view where_;
  int64_t longest_;
};

constexpr const char* kRotations[] = {"rope_scaling", "rope_parameters"};

// The object, or null where it is absent or empty.
const Json* rotation(const Json& json, const char* name, std::string_view where) {
  const Json* object = find(json, name);
  if (object && !object->is_object()) {
    base::fail_invalid(where, std::string(name) + " must be an object or null",
                       base::in_quotes(base::dump_json(*object)));
  }
  return object && !object->empty() ? object : nullptr;
}

}  // namespace

void check_rotary_objects(const Json& json, std::string_view where, const spec::ModelConfig& config) {
  for (const char* name : kRotations) {
    if (const Json* object = rotation(json, name, where)) {
      Rotation(*object, name, where, config.max_position_embeddings).check();
    }
  }
}

double rope_theta_from_json(const Json& json, std::string_view where, double silence) {
  const Json* scaling = rotation(json, "rope_scaling", where);
  const Json* parameters = rotation(json, "rope_parameters", where);
  const auto inside = [&](const Json* object) { return object && find(*object, "rope_theta") ? object : nullptr; };
  const Json* holder = inside(scaling ? scaling : parameters);
  if (!holder && json.contains("rope_theta")) holder = &json;
  const double theta = holder ? base::require_number(*holder, "rope_theta", where) : silence;
  if (scaling && inside(parameters) && base::require_number(*parameters, "rope_theta", where) != theta) {
    base::fail_invalid(where, "rope_parameters.rope_theta must be the one beside rope_scaling",
                       base::in_quotes(base::dump_json(*parameters)),
                       "rope_scaling takes the place of rope_parameters");
  }
  return theta;
}

}  // namespace dsmoe::formats
