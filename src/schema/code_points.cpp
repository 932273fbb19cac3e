#include "schema/code_points.h"

#include <algorithm>

namespace dsmoe::schema {
namespace {

constexpr CodePoints kSurrogates = {0xd800, 0xdfff};

// Ascending and apart, surrogates included.
CodePointSet merged(std::vector<CodePoints> ranges) {
  std::erase_if(ranges, [](const CodePoints& range) { return range.most < range.least; });
  std::ranges::sort(ranges, {}, &CodePoints::least);
  CodePointSet set;
  for (const CodePoints& range : ranges) {
    if (!set.empty() && range.least <= set.back().most + 1) {
      set.back().most = std::max(set.back().most, range.most);
    } else {
      set.push_back(range);
    }
  }
  return set;
}

// What lies between the ranges of a merged set.
CodePointSet gaps(const CodePointSet& set) {
  CodePointSet out;
  uint32_t next = 0;
  for (const CodePoints& range : set) {
    if (range.least > next) out.push_back({next, range.least - 1});
    next = range.most + 1;
  }
  if (next <= kLastCodePoint) out.push_back({next, kLastCodePoint});
  return out;
}

}  // namespace

CodePointSet complement(const CodePointSet& set) {
  CodePointSet with = set;
  with.push_back(kSurrogates);
  return gaps(merged(std::move(with)));
}

CodePointSet united(std::vector<CodePoints> ranges) { return complement(gaps(merged(std::move(ranges)))); }

}  // namespace dsmoe::schema
