// One of several drawings at a time, chosen by the reader: a row of names to click on, without a script.
#pragma once

#include <string>
#include <vector>

namespace dsmoe::charts {

struct Choice {
  std::string name;     ///< plain text
  std::string drawing;  ///< HTML
};
/// `group` must be its own on the page. The one at `first` shows at the beginning. One choice alone has no names.
std::string draw_picked(const std::vector<Choice>& choices, const std::string& group, size_t first = 0);

}  // namespace dsmoe::charts
