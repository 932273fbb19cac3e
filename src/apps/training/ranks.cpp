#include "apps/training/ranks.h"

#include <charconv>
#include <cstdlib>
#include <string>

#include "base/error.h"
#include "comm/gloo.h"

namespace dsmoe::apps {
namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

int whole_number(const char* name, int least, int most) {
  const std::string text = variable(name);
  int value = 0;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (fault != std::errc() || end != text.data() + text.size() || value < least || value > most) {
    base::fail(base::ErrorKind::kUsage, "train",
               std::string(name) + " is a whole number from " + std::to_string(least) + " to " + std::to_string(most),
               base::in_quotes(text), "dsmoe launch sets it");
  }
  return value;
}

}  // namespace

comm::Group ranks_of_environment() {
  if (variable("WORLD_SIZE").empty() || variable("RANK").empty()) return {};
  comm::Meeting meeting;
  meeting.size = whole_number("WORLD_SIZE", 1, 1 << 16);
  meeting.rank = whole_number("RANK", 0, meeting.size - 1);
  if (meeting.size == 1) return {};
  meeting.folder = variable("DSMOE_MEETING");
  if (meeting.folder.empty()) {
    base::fail(base::ErrorKind::kUsage, "train", "processes meet in the folder DSMOE_MEETING", "it is not set",
               "start them with dsmoe launch");
  }
  const double seconds = std::atof(variable("DSMOE_TIMEOUT").c_str());
  if (seconds > 0) meeting.timeout = std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000));
  meeting.check = variable("DSMOE_CHECK_RANKS") == "1";
  return comm::gloo_group(meeting);
}

bool was_restarted() { return std::atoi(variable("TORCHELASTIC_RESTART_COUNT").c_str()) > 0; }

}  // namespace dsmoe::apps
