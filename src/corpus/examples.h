// Conversations as tokens to learn from: files in, a set of examples out, and a part of it held out.
//
// An example is a conversation in a chat format, up to the end of its last answer that is learnt. Its targets are the
// answers alone, the token that ends each included. What stands before an answer is encoded apart from it, as it is
// when the model is asked: so the model learns to go on from the very tokens that it will see.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/file.h"
#include "corpus/batch_source.h"
#include "corpus/conversations.h"
#include "tokenizer/chat_encoder.h"

namespace dsmoe::corpus {

struct Example {
  std::vector<int32_t> ids;
  std::vector<uint8_t> trained;  ///< of each id: 1 where it is to be predicted; never of the first
  int64_t answer_bytes = 0;      ///< of the answers that are learnt, whole
};
Example encode_example(const tokenizer::ChatEncoder& encoder, const Conversation& conversation);

/// Examples one after another in memory.
class ExampleSet {
 public:
  void add(const Example& example, int domain);

  int64_t size() const { return std::ssize(domains_); }
  /// Tokens that the model reads: all but the last.
  int64_t length(int64_t i) const { return begins_[at(i) + 1] - begins_[at(i)] - 1; }
  int64_t targets(int64_t i) const { return targets_[at(i)]; }
  int domain(int64_t i) const { return domains_[at(i)]; }
  int64_t bytes(int64_t i) const { return bytes_[at(i)]; }
  /// Adds it behind what `out` holds.
  void add_to(int64_t i, TokenBatch& out) const;
  /// Sum of all length().
  int64_t tokens() const { return std::ssize(ids_) - size(); }
  /// 32 hex digits that name the content in its order.
  std::string hash() const;

 private:
  static size_t at(int64_t i) { return static_cast<size_t>(i); }
  std::vector<int32_t> ids_;
  std::vector<uint8_t> trained_;
  std::vector<int64_t> begins_ = {0}, targets_, bytes_;
  std::vector<int> domains_;
};

enum class LongExamples { kCut, kSkip };
enum class FaultyExamples { kStop, kSkip };

struct ExampleOptions {
  int64_t longest = 512;  ///< tokens that the model reads of one example
  LongExamples long_examples = LongExamples::kCut;
  FaultyExamples faulty = FaultyExamples::kStop;
  double valid_share = 0.05;  ///< held out, by question: the same question is on one side only
};

struct ExampleData {
  std::vector<std::string> domains;  ///< of both sets: the files' names
  ExampleSet train, valid;
  int64_t read = 0;          ///< conversations
  int64_t cut = 0;           ///< longer ones, of which the beginning is learnt
  int64_t too_long = 0;      ///< longer ones left out, by choice or because no answer begins within the length
  int64_t faulty = 0;        ///< left out against the rules of conversations.h
  std::string first_faulty;  ///< what was wrong with the first of them, with its place
};

/// Reads files of a conversation a line, plain, .gz or .zst. Throws base::Error: kIo, kInvalid with file and line; also
/// where a file holds no conversation, or nothing is left to learn from.
ExampleData read_examples(const std::vector<base::fs::path>& files, const tokenizer::ChatEncoder& encoder,
                          const ExampleOptions& options);

}  // namespace dsmoe::corpus
