// One table of a plan's TOML, read key by key, so that what nobody asked for can be refused by name.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/json.h"

namespace dsmoe::compare {

constexpr int64_t kMostTokens = int64_t{1} << 50;  ///< that a plan may give a run

// The value of one key of a table; keys nobody took are unknown, and named at the end.
class PlanTable {
 public:
  PlanTable(const base::Json& json, std::string where) : json_(json), where_(std::move(where)) {
    if (!json.is_object()) base::fail_invalid(where_, "it must be a table", base::dump_json(json));
  }
  bool has(const char* key) {
    known_.insert(key);
    return json_.contains(key);
  }
  const base::Json& at(const char* key) { return has(key), base::require_member(json_, key, where_); }
  std::string text(const char* key) { return has(key), base::require_string(json_, key, where_); }
  std::string text_or(const char* key, const std::string& otherwise) { return has(key) ? text(key) : otherwise; }
  double number(const char* key) { return has(key), base::require_number(json_, key, where_); }
  int64_t integer(const char* key, int64_t least, int64_t most) {
    return has(key), base::require_int(json_, key, least, most, where_);
  }
  double number_in(const char* key, double low, double high, double otherwise) {
    if (!has(key)) return otherwise;
    const double value = number(key);
    if (!(value >= low && value <= high)) {
      base::fail_invalid(where_,
                         std::string(key) + " must be from " + base::dump_json(low) + " to " + base::dump_json(high),
                         base::dump_json(value));
    }
    return value;
  }
  const std::string& where() const { return where_; }
  void refuse_others() const {
    for (const auto& [key, value] : json_.items()) {
      if (known_.contains(key)) continue;
      const std::string near = base::nearest(key, std::vector<std::string>(known_.begin(), known_.end()));
      base::fail_invalid(where_, "unknown key", base::in_quotes(key), near.empty() ? "" : "did you mean " + near + "?");
    }
  }

 private:
  const base::Json& json_;
  std::string where_;
  std::set<std::string> known_;
};

}  // namespace dsmoe::compare
