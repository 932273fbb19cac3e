// Many streams from one server at once: asked at given times, or as many as are to run together.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "traffic/server.h"

namespace dsmoe::traffic {

struct LoadPlan {
  double seconds = 30;   ///< in which requests leave
  double rate = 0;       ///< requests a second, at times drawn for a Poisson process; 0: `streams` instead
  int64_t streams = 1;   ///< requests in hand at once, the next as soon as one has ended
  int64_t requests = 0;  ///< at most; 0: as many as there is time for
  double deadline = 60;  ///< seconds after which a client leaves
  uint64_t seed = 1;
};

enum class Outcome {
  kComplete,
  kRefused,  ///< 429 or 503, to come again
  kLate,     ///< left at the deadline
  kFailed,   ///< anything else
};

/// One request. Times are seconds since the load began; due, when it was to leave, is where all waiting counts from.
struct Served {
  double due = 0, end = 0;
  std::vector<double> texts;  ///< when each piece of text came, mostly a token each
  int64_t tokens = 0;         ///< as the server counts them; where it does not, pieces of text
  int status = 0;
  Outcome outcome = Outcome::kLate;
  std::string fault;  ///< of one that failed
};

/// Sends bodies of completions or chat completions to `path` and reads their streams, on the caller's thread. Returns
/// when all have ended, in the order in which they were due.
std::vector<Served> drive(const Server& server, const std::string& path, const LoadPlan& plan,
                          const std::function<std::string()>& next_body);

/// Whether an event surely is a piece of text that is not empty, and nothing that must be read: parsing each would cost
/// this program more of the machine than it may take from the server that it measures. A quote within a text is written
/// with a backslash before it, so that these bytes are members' names wherever they stand.
bool says_text_alone(std::string_view event);

}  // namespace dsmoe::traffic
