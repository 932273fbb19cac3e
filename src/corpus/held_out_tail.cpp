#include "corpus/held_out_tail.h"

#include <algorithm>

namespace dsmoe::corpus {

size_t tail_begin(std::string_view text, double wanted) {
  const auto longest = static_cast<size_t>(std::min(wanted, static_cast<double>(text.size() / 2)));
  if (longest < kShortestTail) return text.size();
  const size_t first = text.size() - longest, last = first + longest / 2;
  for (const std::string_view border : {"\n\n", "\n\r\n", "\n", " "}) {
    const size_t at = text.find(border, first - border.size());
    if (at != std::string_view::npos && at + border.size() <= last) return at + border.size();
  }
  size_t at = first;
  while ((static_cast<unsigned char>(text[at]) & 0xc0) == 0x80) ++at;
  return at;
}

}  // namespace dsmoe::corpus
