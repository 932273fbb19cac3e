#include "tokenizer/bpe_trainer.h"

#include <algorithm>
#include <numeric>
#include <queue>
#include <unordered_map>

#include "base/error.h"
#include "base/rng.h"
#include "tokenizer/bpe_alphabet.h"

namespace dsmoe::tokenizer {
namespace {

constexpr std::string_view kPart = "tokenizer train";

// Maps a pair of ids to the index of its entry. Open addressing; pairs are never removed.
class PairIndex {
 public:
  PairIndex() : slots_(1 << 16) {}
  /// The index of `pair`, which is `fresh` if it was not known.
  uint32_t find_or_add(uint64_t pair, uint32_t fresh) {
    if (count_ * 2 >= slots_.size()) grow();
    Slot& slot = place(pair);
    if (slot.index == kEmpty) {
      slot = {pair, fresh};
      ++count_;
    }
    return slot.index;
  }

 private:
  static constexpr uint32_t kEmpty = UINT32_MAX;
  struct Slot {
    uint64_t pair = 0;
    uint32_t index = kEmpty;
  };
  Slot& place(uint64_t pair) {
    const size_t mask = slots_.size() - 1;
    size_t at = base::mix64(pair) & mask;
    while (slots_[at].index != kEmpty && slots_[at].pair != pair) at = (at + 1) & mask;
    return slots_[at];
  }
  void grow() {
    std::vector<Slot> old(slots_.size() * 2);
    old.swap(slots_);
    for (const Slot& slot : old) {
      if (slot.index != kEmpty) place(slot.pair) = slot;
    }
  }

  std::vector<Slot> slots_;
  size_t count_ = 0;
};

class Trainer {
 public:
  Trainer(const WordCounts& words, const BpeTrainOptions& options) : options_(options) {
    add_alphabet();
    add_words(words);
    for (uint32_t i = 0; i < pairs_.size(); ++i) enqueue(i);
  }

  TokenizerSpec run() {
    const auto wanted = static_cast<size_t>(options_.vocab_size);
    while (spec_.tokens.size() < wanted && !queue_.empty()) {
      const Candidate top = queue_.top();
      queue_.pop();
      Pair& pair = pairs_[top.index];
      if (top.count != pair.count) {  // it has lost some since: back with what is left
        enqueue(top.index);
        continue;
      }
      if (top.count < static_cast<int64_t>(options_.min_frequency)) break;
      merge(top.index);
      if (options_.progress && spec_.merges.size() % 256 == 0) {
        options_.progress(static_cast<int32_t>(spec_.tokens.size()));
      }
    }
    if (spec_.tokens.size() < wanted) {
      const std::string reached = std::to_string(spec_.tokens.size());
      base::fail_invalid(kPart, "the text supports at most " + reached + " tokens",
                         "vocabulary size " + std::to_string(wanted),
                         "ask for " + reached + " or less, or give more text");
    }
    return std::move(spec_);
  }

 private:
  struct Pair {
    int32_t left, right;
    int64_t count = 0;
    bool merged = false;
    std::vector<uint32_t> words;  ///< where it may be; may name words it has left
  };
  struct Candidate {
    int64_t count;
    uint64_t key;
    uint32_t index;
    bool operator<(const Candidate& other) const {  // the queue's top is the largest
      return count != other.count ? count < other.count : key > other.key;
    }
  };

  static uint64_t key_of(int32_t left, int32_t right) {
    return (static_cast<uint64_t>(left) << 32) | static_cast<uint64_t>(right);
  }
  int32_t add_token(std::string text) {
    const auto id = static_cast<int32_t>(spec_.tokens.size());
    ids_.emplace(text, id);
    spec_.tokens.push_back(std::move(text));
    return id;
  }

  void add_alphabet() {
    for (const std::string& content : options_.special_tokens) {
      AddedToken token;
      token.id = add_token(content);
      token.content = content;
      token.special = token.in_model = true;
      spec_.added_tokens.push_back(token);
    }
    std::vector<unsigned char> bytes(256);
    std::iota(bytes.begin(), bytes.end(), static_cast<unsigned char>(0));
    std::sort(bytes.begin(), bytes.end(), [](auto a, auto b) { return byte_to_letter(a) < byte_to_letter(b); });
    byte_ids_.resize(256);
    for (const unsigned char byte : bytes) {
      byte_ids_[byte] = add_token(bytes_to_alphabet(std::string(1, static_cast<char>(byte))));
    }
    const auto special = [&](size_t i) {
      return i < options_.special_tokens.size() ? std::optional(static_cast<int32_t>(i)) : std::nullopt;
    };
    spec_.bos = special(0);
    spec_.eos = special(1);
    spec_.pad = special(2);
    if (spec_.bos) spec_.prefix = {*spec_.bos};
    spec_.pre_tokenizer = options_.pre_tokenizer;
  }

  void add_words(const WordCounts& words) {
    begins_.reserve(words.size() + 1);
    counts_.reserve(words.size());
    for (size_t i = 0; i < words.size(); ++i) {
      begins_.push_back(symbols_.size());
      counts_.push_back(static_cast<int64_t>(words.count(i)));
      lengths_.push_back(static_cast<uint32_t>(words.word(i).size()));
      for (const char byte : words.word(i)) symbols_.push_back(byte_ids_[static_cast<unsigned char>(byte)]);
      for (size_t j = begins_[i]; j + 1 < symbols_.size(); ++j) {
        change(symbols_[j], symbols_[j + 1], static_cast<uint32_t>(i), counts_[i]);
      }
    }
    touched_.clear();
  }

  // The pair (left, right) has come into being (or gone) in a word.
  void change(int32_t left, int32_t right, uint32_t word, int64_t count) {
    const uint32_t i = index_.find_or_add(key_of(left, right), static_cast<uint32_t>(pairs_.size()));
    if (i == pairs_.size()) pairs_.push_back({left, right, 0, false, {}});
    Pair& pair = pairs_[i];
    pair.count += count;
    if (count < 0) return;
    if (pair.words.empty() || pair.words.back() != word) pair.words.push_back(word);
    touched_.push_back(i);
  }

  void enqueue(uint32_t i) {
    const Pair& pair = pairs_[i];
    if (pair.count > 0) queue_.push({pair.count, key_of(pair.left, pair.right), i});
  }

  void merge(uint32_t i) {
    const int32_t left = pairs_[i].left, right = pairs_[i].right;
    std::string text = spec_.tokens[static_cast<size_t>(left)] + spec_.tokens[static_cast<size_t>(right)];
    // Another pair may have made the same token before; then this pair is one more way to it. And such a token may
    // bring back a pair that was merged before: that happens in the words without a second merge of equal parts.
    const auto known = ids_.find(text);
    const int32_t merged = known != ids_.end() ? known->second : add_token(std::move(text));
    if (!pairs_[i].merged) spec_.merges.push_back({left, right, merged});
    pairs_[i].merged = true;
    const std::vector<uint32_t> words = std::move(pairs_[i].words);
    pairs_[i].words.clear();
    touched_.clear();
    for (const uint32_t word : words) merge_in_word(word, {left, right, merged});
    pairs_[i].count = 0;  // after the merges: in a run of equal symbols they take from this pair too
    std::sort(touched_.begin(), touched_.end());
    touched_.erase(std::unique(touched_.begin(), touched_.end()), touched_.end());
    for (const uint32_t pair : touched_) enqueue(pair);
  }

  // From left to right, without overlaps; neighbours on both sides lose a pair and gain one.
  void merge_in_word(uint32_t word, const BpeMerge& m) {
    int32_t* symbols = symbols_.data() + begins_[word];
    const uint32_t length = lengths_[word];
    const int64_t count = counts_[word];
    uint32_t kept = 0;
    for (uint32_t i = 0; i < length; ++kept) {
      if (i + 1 == length || symbols[i] != m.left || symbols[i + 1] != m.right) {
        symbols[kept] = symbols[i++];
        continue;
      }
      if (kept > 0) {
        change(symbols[kept - 1], m.left, word, -count);
        change(symbols[kept - 1], m.merged, word, count);
      }
      if (i + 2 < length) {
        change(m.right, symbols[i + 2], word, -count);
        change(m.merged, symbols[i + 2], word, count);
      }
      symbols[kept] = m.merged;
      i += 2;
    }
    lengths_[word] = kept;
  }

  const BpeTrainOptions& options_;
  TokenizerSpec spec_;
  std::unordered_map<std::string, int32_t> ids_;
  std::vector<int32_t> byte_ids_;
  // words as runs of symbols_
  std::vector<int32_t> symbols_;
  std::vector<size_t> begins_;
  std::vector<uint32_t> lengths_;
  std::vector<int64_t> counts_;
  std::vector<Pair> pairs_;
  PairIndex index_;
  std::vector<uint32_t> touched_;
  std::priority_queue<Candidate> queue_;
};

}  // namespace

TokenizerSpec train_bpe(const WordCounts& words, const BpeTrainOptions& options) {
  const auto least = static_cast<int32_t>(256 + options.special_tokens.size());
  if (options.vocab_size < least) {
    base::fail_invalid(kPart, "a vocabulary holds all bytes and the special tokens: at least " + std::to_string(least),
                       "vocabulary size " + std::to_string(options.vocab_size));
  }
  if (words.size() == 0) base::fail_invalid(kPart, "the corpus is empty: no text to train on");
  return Trainer(words, options).run();
}

}  // namespace dsmoe::tokenizer
