// A JSON object that carries a checksum of itself, so that damage to it is noticed: a manifest.
#pragma once

#include <string>
#include <string_view>

#include "base/json.h"

namespace dsmoe::base {

inline constexpr const char* kOwnChecksum = "xxh3_128";

/// XXH3-128, in hex digits, of the object without its member kOwnChecksum, written in one line.
std::string json_checksum(const Json& object);
/// Throws Error(kInvalid) with `part` and `where` unless the object's member kOwnChecksum is its checksum.
void require_json_checksum(const Json& object, std::string_view part, const std::string& where);

}  // namespace dsmoe::base
