// Ranks that are threads of one process: for tests of laws, where a world of four costs no more than its arithmetic.
#pragma once

#include <chrono>
#include <functional>

#include "comm/group.h"

namespace dsmoe::comm {

/// Runs body(group) on `ranks` threads, each with its rank of one group, and returns when all have returned. A rank
/// that throws has left: the others get Error(kRankLost). Throws on what was thrown first that is not about another
/// rank.
void on_threads(int ranks, const std::function<void(const Group&)>& body, bool check = false,
                std::chrono::milliseconds timeout = std::chrono::seconds(60));

}  // namespace dsmoe::comm
