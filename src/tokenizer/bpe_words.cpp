#include "tokenizer/bpe_words.h"

#include "base/error.h"
#include "base/hash.h"
#include "tokenizer/unicode.h"

namespace dsmoe::tokenizer {
namespace {

class CountingSink final : public PieceSink {
 public:
  explicit CountingSink(WordCounts& counts) : counts_(counts) {}
  void piece(std::string_view bytes) override { counts_.add(bytes); }

 private:
  WordCounts& counts_;
};

}  // namespace

void WordCounts::add(std::string_view piece) {
  for (; piece.size() > kLongestWord; piece.remove_prefix(kLongestWord)) add_word(piece.substr(0, kLongestWord), 1);
  add_word(piece, 1);
}

void WordCounts::add(const WordCounts& other) {
  for (size_t i = 0; i < other.size(); ++i) add_word(other.word(i), other.count(i));
}

void WordCounts::add_word(std::string_view word, uint64_t count) {
  if (entries_.size() * 2 >= slots_.size()) grow();
  total_bytes_ += word.size() * count;
  const uint64_t hash = base::xxh3_64(word);
  const size_t mask = slots_.size() - 1;
  for (size_t at = hash & mask;; at = (at + 1) & mask) {
    if (slots_[at] == 0) {
      DSMOE_CHECK(entries_.size() < UINT32_MAX / 2, "words fit their index");
      entries_.push_back({hash, count, text_.size(), static_cast<uint32_t>(word.size())});
      text_ += word;
      slots_[at] = static_cast<uint32_t>(entries_.size());
      return;
    }
    Entry& entry = entries_[slots_[at] - 1];
    if (entry.hash == hash && this->word(slots_[at] - 1) == word) {
      entry.count += count;
      return;
    }
  }
}

void WordCounts::grow() {
  slots_.assign(slots_.empty() ? 1024 : slots_.size() * 2, 0);
  const size_t mask = slots_.size() - 1;
  for (size_t i = 0; i < entries_.size(); ++i) {
    size_t at = entries_[i].hash & mask;
    while (slots_[at] != 0) at = (at + 1) & mask;
    slots_[at] = static_cast<uint32_t>(i + 1);
  }
}

void WordCounter::add(std::string_view document) {
  std::unique_ptr<WordCounts> counts;
  {
    const std::lock_guard lock(mutex_);
    if (!free_.empty()) {
      counts = std::move(free_.back());
      free_.pop_back();
    }
  }
  if (!counts) counts = std::make_unique<WordCounts>();
  CountingSink sink(*counts);
  pre_tokenizer_->split(document, sink);
  const std::lock_guard lock(mutex_);
  free_.push_back(std::move(counts));
}

WordCounts WordCounter::take() {
  const std::lock_guard lock(mutex_);
  WordCounts all;
  for (const auto& counts : free_) {
    if (all.size() == 0) {
      all = std::move(*counts);
    } else {
      all.add(*counts);
    }
  }
  free_.clear();
  return all;
}

std::vector<std::string_view> cut_at_lines(std::string_view document, size_t least) {
  std::vector<std::string_view> parts;
  const auto is_space = [flags = unicode::flags()](unicode::Step step) {
    return (flags[step.code_point] & unicode::kSpace) != 0;
  };
  const auto lone = [&](size_t at) {  // a line feed without white space on either side
    const char* after = document.data() + at + 1;
    return at > 0 && at + 1 < document.size() && !is_space(unicode::step_back(document, at)) &&
           !is_space(unicode::step(after, document.data() + document.size()));
  };
  while (document.size() > least) {
    size_t at = document.find('\n', least - 1);
    while (at != document.npos && !lone(at)) at = document.find('\n', at + 1);
    if (at == document.npos) break;
    parts.push_back(document.substr(0, at + 1));
    document.remove_prefix(at + 1);
  }
  if (!document.empty()) parts.push_back(document);
  return parts;
}

}  // namespace dsmoe::tokenizer
