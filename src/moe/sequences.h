// How the tokens of a micro-batch are cut into sequences: texts that lie one after another, each at positions 0, 1, ...
// of its own. Attention stays within one, and it is what a balance loss "per sequence" averages over.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

namespace dsmoe::moe {

class Sequences {
 public:
  /// None, and so no tokens.
  Sequences() = default;
  static Sequences equal(int64_t count, int64_t length) {
    return of_lengths(std::vector<int64_t>(static_cast<size_t>(count), length));
  }
  static Sequences of_lengths(std::span<const int64_t> lengths) {
    Sequences sequences;
    for (const int64_t length : lengths) sequences.begins_.push_back(sequences.tokens() + length);
    return sequences;
  }

  int64_t count() const { return std::ssize(begins_) - 1; }
  int64_t tokens() const { return begins_.back(); }
  int64_t length(int64_t sequence) const {
    return begins_[static_cast<size_t>(sequence) + 1] - begins_[static_cast<size_t>(sequence)];
  }
  int64_t longest() const {
    int64_t most = 0;
    for (int64_t s = 0; s < count(); ++s) most = std::max(most, length(s));
    return most;
  }
  /// [count + 1]: where each begins, and the end of the last.
  const std::vector<int64_t>& begins() const { return begins_; }
  std::vector<int64_t> lengths() const {
    std::vector<int64_t> lengths;
    for (int64_t s = 0; s < count(); ++s) lengths.push_back(length(s));
    return lengths;
  }

 private:
  std::vector<int64_t> begins_ = {0};
};

}  // namespace dsmoe::moe
