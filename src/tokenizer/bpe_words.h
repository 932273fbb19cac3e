// How often each piece ("word") of a corpus comes: all that training a vocabulary needs to know of the text.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/pretokenizer.h"

namespace dsmoe::tokenizer {

class WordCounts {
 public:
  /// Longer pieces (a base64 line, a page of Chinese without a stop) are counted as several words of this many bytes,
  /// so that no one word costs more than others in every merge.
  static constexpr size_t kLongestWord = 1024;

  void add(std::string_view piece);
  void add(const WordCounts& other);

  size_t size() const { return entries_.size(); }
  std::string_view word(size_t i) const {
    return std::string_view(text_).substr(entries_[i].offset, entries_[i].length);
  }
  uint64_t count(size_t i) const { return entries_[i].count; }
  uint64_t total_bytes() const { return total_bytes_; }

 private:
  struct Entry {
    uint64_t hash, count;
    size_t offset;
    uint32_t length;
  };
  void add_word(std::string_view word, uint64_t count);
  void grow();

  std::string text_;             // all words, one after another
  std::vector<Entry> entries_;   // in the order of their first coming
  std::vector<uint32_t> slots_;  // open addressing: index + 1 into entries_, 0 for empty
  uint64_t total_bytes_ = 0;
};

/// Counts documents from any number of threads. The counts do not depend on the threads; the words' order does.
class WordCounter {
 public:
  explicit WordCounter(const PreTokenizerSteps& steps) : pre_tokenizer_(make_pretokenizer(steps)) {}
  /// Text between two documents never joins.
  void add(std::string_view document);
  /// Everything counted; the counter is empty afterwards. Not while others add.
  WordCounts take();

 private:
  std::unique_ptr<PreTokenizer> pre_tokenizer_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<WordCounts>> free_;  // as many as threads counted at once
};

/// A document in parts of at least `least` bytes (but for the last), for several threads. Cuts only behind a line feed
/// with no white space on either side, where every known pre-tokenizer cuts too, so the words stay the same.
std::vector<std::string_view> cut_at_lines(std::string_view document, size_t least);

}  // namespace dsmoe::tokenizer
