// Cutting a text in two so that there is something to validate on: for a corpus that is one long document.
#pragma once

#include <cstddef>
#include <string_view>

namespace dsmoe::corpus {

/// A shorter tail is not worth a figure (some 250 tokens): then nothing is cut.
inline constexpr size_t kShortestTail = 1024;

/// Where the tail of `text` begins that has at most `wanted` bytes, at least half as many, and at most half of the
/// text: at the first paragraph that begins there, or else the first line, word or character. text.size() for no tail.
size_t tail_begin(std::string_view text, double wanted);

}  // namespace dsmoe::corpus
