// Reading a validation split so that every token is scored once, and the sums that turn scores into figures.
//
// The documents of a domain, whole and in order, form a stream; window w of it gives inputs [w S, w S + S) and as
// targets the ids one further. The last window is short: its inputs are padded, its targets there say kNotScored, and
// causal attention keeps the padding from what is scored. So every token of the stream but the first is a target
// exactly once, in the packed form the model was trained on.
//
// A limit on tokens is shared out among domains in proportion to their size, and keeps whole documents of each, at
// least one: only whole documents have a known number of bytes. From the front, passing over those too long for what is
// left.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "corpus/batch_source.h"
#include "corpus/dataset.h"
#include "corpus/token_stream.h"

namespace dsmoe::corpus {

class ValidationWindows {
 public:
  /// token_limit 0: everything. The dataset must outlive this.
  ValidationWindows(const TokenDataset& dataset, int64_t sequence_length, int64_t token_limit = 0);

  /// Windows in all, by domain in ascending order.
  int64_t size() const { return static_cast<int64_t>(windows_.size()); }
  int domain(int64_t window) const { return windows_[static_cast<size_t>(window)].domain; }
  /// Targets that count: sequence_length, or fewer in a domain's last window.
  int64_t scored(int64_t window) const { return windows_[static_cast<size_t>(window)].scored; }
  /// Both of sequence_length. Padding repeats the last input.
  void read(int64_t window, std::span<int32_t> inputs, std::span<int32_t> targets) const;
  /// The document, by its number in the split, that each of the window's targets that count is of.
  void read_documents(int64_t window, std::span<int64_t> documents) const;

  /// Those that are scored of a domain, in order.
  std::span<const int64_t> documents(int domain) const { return streams_[static_cast<size_t>(domain)].documents; }
  /// Targets of a domain in all, and the bytes of text its documents hold.
  int64_t tokens(int domain) const { return streams_[static_cast<size_t>(domain)].targets; }
  int64_t bytes(int domain) const { return streams_[static_cast<size_t>(domain)].bytes; }
  int64_t sequence_length() const { return sequence_length_; }

 private:
  struct Window {
    int domain;
    int64_t begin, scored;
  };
  struct Stream : TokenStream {
    int64_t targets = 0, bytes = 0;
  };

  const TokenDataset& dataset_;
  int64_t sequence_length_;
  std::vector<Stream> streams_;
  std::vector<Window> windows_;
};

/// Scores of some text, summed in any number of pieces.
struct TextScore {
  double nats = 0;  ///< minus the log-likelihood of all tokens
  int64_t tokens = 0, bytes = 0;

  TextScore& operator+=(const TextScore& other);
  /// Both NaN when there is nothing to divide by.
  double nats_per_token() const;
  double bits_per_byte() const;
};

}  // namespace dsmoe::corpus
