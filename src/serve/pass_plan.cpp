#include "serve/pass_plan.h"

#include <algorithm>

namespace dsmoe::serve {

std::vector<int64_t> plan_pass(std::span<const PassMember> members, const PassLimits& limits) {
  std::vector<int64_t> rows(members.size(), 0);
  std::vector<size_t> readers;
  int64_t left = limits.rows;
  bool anybody_writes = false;
  for (size_t i = 0; i < members.size(); ++i) {
    if (!members[i].writes) {
      readers.push_back(i);
    } else if (left > 0) {
      rows[i] = 1;
      --left;
      anybody_writes = true;
    }
  }
  if (anybody_writes) left = std::min(left, limits.beside_writing);
  const auto wanted = [&](size_t i) { return std::min(members[i].unread, members[i].most); };
  // Whoever needs least is served first: what it leaves of its share is then there for the others.
  std::stable_sort(readers.begin(), readers.end(), [&](size_t a, size_t b) { return wanted(a) < wanted(b); });
  for (size_t r = 0; r < readers.size(); ++r) {
    const auto others = static_cast<int64_t>(readers.size() - r);
    const int64_t share = (left + others - 1) / others;
    rows[readers[r]] = std::min(wanted(readers[r]), share);
    left -= rows[readers[r]];
  }
  return rows;
}

}  // namespace dsmoe::serve
