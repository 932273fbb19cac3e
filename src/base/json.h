// The strict border for JSON and TOML: what comes in is checked once, here.
//
// JSON: at most kMaxDepth levels, valid UTF-8, no duplicate keys, nothing after the value. Objects keep the order of
// their keys, so a file read and written back looks the same. TOML arrives as the same `Json` type. The library's own
// conversions are lenient (-1 becomes 4294967295), so values are taken out with the `require_` functions.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace dsmoe::base {

using Json = nlohmann::ordered_json;
inline constexpr int kMaxDepth = 64;

/// Throws Error(kInvalid) with `where` (a file name, say), the rule and the byte offset.
Json parse_json(std::string_view text, std::string_view where);
/// A TOML document as Json (dates are refused, and more than kMaxDepth levels of arrays, tables and dotted keys).
/// Errors carry line and column.
Json parse_toml(std::string_view text, std::string_view where);
/// Text of a value; indent < 0 for one line. Bytes that are not UTF-8 become U+FFFD instead of an exception.
std::string dump_json(const Json& value, int indent = -1);

/// The member `key`, of the type and in the range asked for; throws Error(kInvalid) naming `where` and `key`.
const Json& require_member(const Json& object, std::string_view key, std::string_view where);
int64_t require_int(const Json& object, std::string_view key, int64_t least, int64_t most, std::string_view where);
double require_number(const Json& object, std::string_view key, std::string_view where);
std::string require_string(const Json& object, std::string_view key, std::string_view where);
bool require_bool(const Json& object, std::string_view key, std::string_view where);

}  // namespace dsmoe::base
