// Stop strings in a stream of text: nothing of a stop string is ever shown, however it is cut into pieces.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace dsmoe::engine {

class StopFilter {
 public:
  /// Throws Error(kUsage) for an empty string.
  explicit StopFilter(std::vector<std::string> stops);
  /// Takes text, returns what may be shown: all before the first stop string, less an end that may yet become one.
  std::string push(std::string_view text);
  /// The end of the text: what was kept back is no stop string after all.
  std::string flush();
  bool stopped() const { return stopped_; }

 private:
  std::vector<std::string> stops_;
  std::string pending_;
  bool stopped_ = false;
};

}  // namespace dsmoe::engine
