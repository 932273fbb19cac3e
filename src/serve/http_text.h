// The text of HTTP around a body: heads of answers, and paths. No sockets.
#pragma once

#include <string>
#include <string_view>

#include "serve/exchange.h"

namespace dsmoe::serve {

/// %41 becomes A; what is no such escape stays.
std::string percent_decoded(std::string_view text);

/// Status line and fields, without the empty line after them. Line breaks in values become spaces.
std::string head_of(const HttpResponse& response, bool keep_alive);

/// An error object as an answer.
HttpResponse refusal(int status, const std::string& message);

}  // namespace dsmoe::serve
