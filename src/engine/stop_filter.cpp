#include "engine/stop_filter.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace dsmoe::engine {

StopFilter::StopFilter(std::vector<std::string> stops) : stops_(std::move(stops)) {
  for (const std::string& stop : stops_) {
    if (stop.empty()) base::fail(base::ErrorKind::kUsage, "sampling", "a stop string cannot be empty");
  }
}

std::string StopFilter::push(std::string_view text) {
  if (stopped_) return {};
  pending_ += text;
  size_t first = std::string::npos;
  for (const std::string& stop : stops_) first = std::min(first, pending_.find(stop));
  if (first != std::string::npos) {
    stopped_ = true;
    return std::exchange(pending_, {}).substr(0, first);
  }
  // Longest end of the text that begins a stop string.
  size_t kept = 0;
  for (const std::string& stop : stops_) {
    for (size_t n = std::min(stop.size() - 1, pending_.size()); n > kept; --n) {
      if (pending_.compare(pending_.size() - n, n, stop, 0, n) == 0) kept = n;
    }
  }
  std::string shown = pending_.substr(0, pending_.size() - kept);
  pending_.erase(0, shown.size());
  return shown;
}

std::string StopFilter::flush() { return std::exchange(pending_, {}); }

}  // namespace dsmoe::engine
