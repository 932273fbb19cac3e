#include "serve/response_format.h"

#include <string>

#include "base/error.h"
#include "serve/api_error.h"

namespace dsmoe::serve {
namespace {

using base::Json;

// Clients put a schema into `json_schema` or right beside the type.
const Json* schema_in(const Fields& format) {
  const Json* described = format.find("json_schema");
  if (described == nullptr) return format.find("schema");
  return Fields(*described, format.name("json_schema")).find("schema");
}

}  // namespace

std::shared_ptr<const schema::Grammar> read_response_format(const Fields& fields) {
  const Json* found = fields.find("response_format");
  if (found == nullptr) return nullptr;
  const Fields format(*found, "response_format");
  const std::string type = format.text("type").value_or("");
  if (type == "text") return nullptr;
  if (type != "json_object" && type != "json_schema") {
    format.refuse("type", "must be text, json_object or json_schema");
  }
  if (const Json* stops = fields.find("stop"); stops != nullptr && !stops->empty()) {
    fields.refuse("stop", "would cut JSON off: it may not be given beside response_format");
  }
  const Json* schema = schema_in(format);
  if (schema == nullptr && type == "json_object") return std::make_shared<schema::Grammar>(schema::any_object());
  if (schema == nullptr) {
    throw bad_request("response_format.json_schema", "response_format.json_schema.schema is required");
  }
  try {
    return std::make_shared<schema::Grammar>(schema::compile(*schema));
  } catch (const base::Error& error) {
    throw bad_request("response_format",
                      std::string("response_format asks for what this server cannot hold to: ") + error.what())
        .code("unsupported_schema");
  }
}

}  // namespace dsmoe::serve
