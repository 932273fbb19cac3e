// The member `response_format`: what an answer's text must be.
#pragma once

#include <memory>

#include "schema/grammar.h"
#include "serve/fields.h"

namespace dsmoe::serve {

/// The grammar that is asked for; null where text is free. {"type": "text"}, {"type": "json_object"} with or without a
/// `schema`, {"type": "json_schema"} with a `schema` in `json_schema` or beside it. Throws ApiError 400 naming the
/// member for anything else and for what a schema asks that cannot be held to.
std::shared_ptr<const schema::Grammar> read_response_format(const Fields& fields);

}  // namespace dsmoe::serve
