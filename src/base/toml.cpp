// TOML as Json, apart from json.cpp because toml++ costs two seconds of compile time.
#include <toml++/toml.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/json.h"

namespace dsmoe::base {
namespace {

// How deep a document nests, found without nesting: the library parses arrays, inline tables and dotted keys by calling
// itself, and a small file can exhaust the stack. What it does with a malformed document does not matter here.
class DepthGuard {
 public:
  DepthGuard(std::string_view text, std::string_view where) : text_(text), where_(where) {}

  void check() {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '"' || c == '\'') {
        skip_string(c);
        continue;
      }
      ++at_;
      if (c == '#') at_ = std::min(text_.find('\n', at_), text_.size());
      if (c == '\n') ++line_;
      if (c == '\n' || c == ',') dots_ = key_dots_ = 0;
      if (c == '.') ++dots_;
      if (c == '=') key_dots_ = std::exchange(dots_, 0);
      if (c == '[' || c == '{') open();
      if (c == ']' || c == '}') close();
      if (depth_ + key_dots_ + dots_ >= kMaxDepth) {
        fail_invalid(where_, "TOML is nested deeper than " + std::to_string(kMaxDepth) + " levels",
                     "line " + std::to_string(line_));
      }
    }
  }

 private:
  // a.b.c={ is three tables and one more
  void open() {
    levels_.push_back(1 + key_dots_);
    depth_ += levels_.back();
    key_dots_ = dots_ = 0;
  }
  void close() {
    if (levels_.empty()) return;
    depth_ -= levels_.back();
    levels_.pop_back();
  }
  bool at_three(char quote) const { return text_.substr(at_, 3) == std::string(3, quote); }
  // Past the end of a string. One of three quotes may hold line breaks, and up to two quotes before its end; another
  // ends with its line at the latest.
  void skip_string(char quote) {
    const bool lines = at_three(quote);
    for (at_ += lines ? 3 : 1; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (c == '\n') {
        if (!lines) return;
        ++line_;
      } else if (c == '\\' && quote == '"') {
        if (at_ + 1 < text_.size() && text_[at_ + 1] != '\n') ++at_;
      } else if (c == quote && (!lines || at_three(quote))) {
        at_ += lines ? 3 : 1;
        for (int i = 0; lines && i < 2 && at_ < text_.size() && text_[at_] == quote; ++i) ++at_;
        return;
      }
    }
  }

  std::string_view text_, where_;
  size_t at_ = 0;
  int64_t line_ = 1, depth_ = 0;
  int64_t dots_ = 0, key_dots_ = 0;  // of the key or value at hand, and of the key before its value
  std::vector<int64_t> levels_;
};

Json to_json(const toml::node& node, std::string_view where) {
  if (const toml::table* table = node.as_table()) {
    Json out = Json::object();
    // by hand: operator[] would search all keys each time, and the keys of a table are all different
    auto& members = out.get_ref<Json::object_t&>();
    for (const auto& [key, value] : *table) members.push_back({std::string(key.str()), to_json(value, where)});
    return out;
  }
  if (const toml::array* array = node.as_array()) {
    Json out = Json::array();
    for (const toml::node& value : *array) out.push_back(to_json(value, where));
    return out;
  }
  if (const auto* value = node.as_string()) return value->get();
  if (const auto* value = node.as_integer()) return value->get();
  if (const auto* value = node.as_floating_point()) return value->get();
  if (const auto* value = node.as_boolean()) return value->get();
  fail_invalid(where, "TOML dates and times have no meaning here", "line " + std::to_string(node.source().begin.line));
}

}  // namespace

Json parse_toml(std::string_view text, std::string_view where) {
  DepthGuard(text, where).check();
  try {
    return to_json(toml::parse(text), where);
  } catch (const toml::parse_error& error) {
    const auto& at = error.source().begin;
    fail_invalid(where, "not valid TOML at line " + std::to_string(at.line) + ", column " + std::to_string(at.column),
                 error.description());
  }
}

}  // namespace dsmoe::base
