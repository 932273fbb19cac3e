// How the rows of one pass are shared out between sequences that read their prompts and sequences that write.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace dsmoe::serve {

struct PassMember {
  int64_t unread = 1;        ///< tokens that it has not given to the model yet; at least 1
  bool writes = false;       ///< it has read its prompt: its one token goes first
  int64_t most = INT64_MAX;  ///< rows that it may have in one pass
};

struct PassLimits {
  int64_t rows = 512;            ///< of a pass
  int64_t beside_writing = 128;  ///< rows of prompts in a pass that somebody writes in: what a token waits for a prompt
};

/// Rows for each member. Every writer has its row, as long as there are any; readers share what is left equally, and
/// what one of them does not need goes to the others, so that a short prompt does not wait for a long one.
std::vector<int64_t> plan_pass(std::span<const PassMember> members, const PassLimits& limits);

}  // namespace dsmoe::serve
