// The page's files, as they are in web/, built into the program.
#pragma once

#include <string_view>
#include <vector>

namespace dsmoe::serve {

struct WebFile {
  std::string_view name, type, text;
};
const std::vector<WebFile>& web_files();

}  // namespace dsmoe::serve
