#include "base/json.h"

#include <cmath>
#include <set>
#include <vector>

#include "base/error.h"
#include "base/utf8.h"

namespace dsmoe::base {
namespace {

// Builds a Json from events, refusing depth and duplicate keys as they come.
class StrictBuilder : public nlohmann::json_sax<Json> {
 public:
  explicit StrictBuilder(std::string_view where) : where_(where) {}
  Json take() { return std::move(root_); }

  bool null() override { return put(nullptr); }
  bool boolean(bool value) override { return put(value); }
  bool number_integer(int64_t value) override { return put(value); }
  bool number_unsigned(uint64_t value) override { return put(value); }
  bool number_float(double value, const std::string& text) override {
    if (!std::isfinite(value)) fail_invalid(where_, "JSON number is out of range", in_quotes(text));
    return put(value);
  }
  bool string(std::string& value) override { return put(std::move(value)); }
  bool binary(Json::binary_t&) override { return false; }
  bool start_object(size_t) override { return open(Json::object()); }
  bool start_array(size_t) override { return open(Json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(std::string& value) override {
    if (!levels_.back().keys.insert(value).second)
      fail_invalid(where_, "JSON object has a key twice", in_quotes(value));
    levels_.back().key = std::move(value);
    return true;
  }
  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception& error) override {
    // the library's text repeats the position and its own error number; what follows the last colon block is the rule
    std::string what = error.what();
    const size_t rule = what.find(": ");
    if (rule != std::string::npos) what = what.substr(rule + 2);
    fail_invalid(where_, "not valid JSON at byte " + std::to_string(position), what);
  }

 private:
  struct Level {
    Json* value;
    std::string key;
    std::set<std::string> keys;
  };

  Json* place(Json value) {
    if (levels_.empty()) return &(root_ = std::move(value));
    Json& parent = *levels_.back().value;
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return &parent.back();
    }
    // emplace_back by hand: ordered_map's operator[] would search all keys each time, and keys are known to be new
    auto& members = parent.get_ref<Json::object_t&>();
    members.push_back({levels_.back().key, std::move(value)});
    return &members.back().second;
  }
  bool put(Json value) {
    place(std::move(value));
    return true;
  }
  bool open(Json value) {
    if (levels_.size() >= kMaxDepth) {
      fail_invalid(where_, "JSON is nested deeper than " + std::to_string(kMaxDepth) + " levels");
    }
    Json* placed = place(std::move(value));
    levels_.push_back({placed, {}, {}});
    return true;
  }
  bool close() {
    levels_.pop_back();
    return true;
  }

  std::string where_;
  Json root_;
  std::vector<Level> levels_;
};

[[noreturn]] void wrong_type(std::string_view where, std::string_view key, const char* wanted, const Json& found) {
  fail_invalid(where, std::string(key) + " must be " + wanted, in_quotes(dump_json(found)));
}

}  // namespace

Json parse_json(std::string_view text, std::string_view where) {
  // The library takes a NUL byte for the end of its input and skips a byte order mark: both would pass unseen.
  const size_t nul = text.find('\0');
  if (nul != text.npos) fail_invalid(where, "not valid JSON at byte " + std::to_string(nul), "a NUL byte");
  if (text.starts_with(kByteOrderMark)) fail_invalid(where, "not valid JSON at byte 0", "a byte order mark");
  StrictBuilder builder(where);
  Json::sax_parse(text.begin(), text.end(), &builder);
  return builder.take();
}

std::string dump_json(const Json& value, int indent) {
  return value.dump(indent, ' ', false, Json::error_handler_t::replace);
}

const Json& require_member(const Json& object, std::string_view key, std::string_view where) {
  if (!object.is_object()) fail_invalid(where, "must be a JSON object", in_quotes(dump_json(object)));
  const auto found = object.find(std::string(key));
  if (found == object.end()) fail_invalid(where, "lacks the key " + in_quotes(key));
  return *found;
}

int64_t require_int(const Json& object, std::string_view key, int64_t least, int64_t most, std::string_view where) {
  const Json& value = require_member(object, key, where);
  if (!value.is_number_integer()) wrong_type(where, key, "an integer", value);
  const bool too_big = value.is_number_unsigned() && value.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX);
  const int64_t number = too_big ? 0 : value.get<int64_t>();
  if (too_big || number < least || number > most) {
    fail_invalid(where, std::string(key) + " must be from " + std::to_string(least) + " to " + std::to_string(most),
                 dump_json(value));
  }
  return number;
}

double require_number(const Json& object, std::string_view key, std::string_view where) {
  const Json& value = require_member(object, key, where);
  if (!value.is_number()) wrong_type(where, key, "a number", value);
  return value.get<double>();
}

std::string require_string(const Json& object, std::string_view key, std::string_view where) {
  const Json& value = require_member(object, key, where);
  if (!value.is_string()) wrong_type(where, key, "a string", value);
  return value.get<std::string>();
}

bool require_bool(const Json& object, std::string_view key, std::string_view where) {
  const Json& value = require_member(object, key, where);
  if (!value.is_boolean()) wrong_type(where, key, "true or false", value);
  return value.get<bool>();
}

}  // namespace dsmoe::base
