#include "base/json_checksum.h"

#include "base/error.h"
#include "base/hash.h"

namespace dsmoe::base {

std::string json_checksum(const Json& object) {
  Json rest = object;
  rest.erase(kOwnChecksum);
  return xxh3_128_hex(dump_json(rest));
}

void require_json_checksum(const Json& object, std::string_view part, const std::string& where) {
  if (require_string(object, kOwnChecksum, where) == json_checksum(object)) return;
  fail_invalid(part, "differs from its own checksum", where, "the file is damaged");
}

}  // namespace dsmoe::base
