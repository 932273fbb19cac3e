#include "serve/fields.h"

#include <cmath>

#include "base/error.h"
#include "serve/api_error.h"

namespace dsmoe::serve {
namespace {

std::string plain(double value) {
  std::string text = std::to_string(value);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.ends_with('.')) text.pop_back();
  return text;
}

std::string shown(const base::Json& value) { return base::in_quotes(base::dump_json(value), 60); }

}  // namespace

base::Json parse_body(std::string_view body) {
  try {
    base::Json json = base::parse_json(body, "body");
    if (!json.is_object()) throw bad_request("", "the body must be a JSON object");
    return json;
  } catch (const base::Error& error) {
    throw ApiError(400, error.what()).code("invalid_json");
  }
}

Fields::Fields(const base::Json& object, std::string path) : object_(object), path_(std::move(path)) {
  if (!object.is_object()) throw bad_request(path_, path_ + " must be an object: " + shown(object));
}

const base::Json* Fields::find(std::string_view key) const {
  const auto found = object_.find(std::string(key));
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

const base::Json& Fields::require(std::string_view key) const {
  const base::Json* found = find(key);
  if (found == nullptr) throw bad_request(name(key), name(key) + " is required");
  return *found;
}

std::string Fields::name(std::string_view key) const { return (path_.empty() ? "" : path_ + ".") + std::string(key); }

void Fields::refuse(std::string_view key, const std::string& rule) const {
  const base::Json* found = find(key);
  throw bad_request(name(key), name(key) + " " + rule + (found ? ": " + shown(*found) : ""));
}

std::optional<int64_t> Fields::integer(std::string_view key, int64_t least, int64_t most) const {
  const base::Json* found = find(key);
  if (found == nullptr) return std::nullopt;
  const bool fits = found->is_number_integer() &&
                    !(found->is_number_unsigned() && found->get<uint64_t>() > static_cast<uint64_t>(INT64_MAX));
  const int64_t value = fits ? found->get<int64_t>() : 0;
  if (!fits || value < least || value > most) {
    refuse(key, "must be an integer from " + std::to_string(least) + " to " + std::to_string(most));
  }
  return value;
}

double Fields::number(std::string_view key, double least, double most, double otherwise) const {
  const base::Json* found = find(key);
  if (found == nullptr) return otherwise;
  const double value = found->is_number() ? found->get<double>() : std::nan("");
  if (!(value >= least && value <= most)) refuse(key, "must be a number from " + plain(least) + " to " + plain(most));
  return value;
}

bool Fields::boolean(std::string_view key, bool otherwise) const {
  const base::Json* found = find(key);
  if (found == nullptr) return otherwise;
  if (!found->is_boolean()) refuse(key, "must be true or false");
  return found->get<bool>();
}

std::optional<std::string> Fields::text(std::string_view key) const {
  const base::Json* found = find(key);
  if (found == nullptr) return std::nullopt;
  if (!found->is_string()) refuse(key, "must be a string");
  return found->get<std::string>();
}

std::vector<int32_t> token_ids(const base::Json& list, int64_t vocab_size, std::string_view param) {
  std::vector<int32_t> ids;
  for (const base::Json& entry : list) {
    const bool inside = entry.is_number_integer() && entry >= 0 && entry < vocab_size;
    if (!inside) {
      throw bad_request(param, std::string(param) + " must hold token ids from 0 to " + std::to_string(vocab_size - 1) +
                                   ": " + shown(entry));
    }
    ids.push_back(entry.get<int32_t>());
  }
  return ids;
}

}  // namespace dsmoe::serve
