// The frame of a self-contained page: head, style for light and dark, and the data block at its end.
#pragma once

#include <string>

#include "base/json.h"

namespace dsmoe::charts {

/// A whole HTML document around `body`; `data` is embedded as JSON under the id "data".
std::string html_page(const std::string& title, const std::string& body, const base::Json& data);

}  // namespace dsmoe::charts
