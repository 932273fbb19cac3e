// A conversation as the chat model reads it: paper section 7.5's
//   <bos>[system\n\n]User: {question}\n\nAssistant: {answer}<eos>User: ...
// with no space or line break after eos or after the last colon.
//
// What a person writes is text and nothing else: the names of special tokens in it become ordinary tokens.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "spec/model_config.h"
#include "tokenizer/tokenizer.h"

namespace dsmoe::engine {

class ChatFormat {
 public:
  ChatFormat(const tokenizer::Tokenizer& tokenizer, const spec::ModelConfig& config);

  /// bos, and a system text where there is one.
  std::vector<int32_t> opening(std::string_view system) const;
  /// A question, up to where the answer begins.
  std::vector<int32_t> question(std::string_view text) const;
  int32_t end_of_answer() const { return eos_; }

 private:
  tokenizer::Tokenizer plain_;
  int32_t bos_, eos_;
};

/// A conversation's tokens, of which the oldest questions and answers go when there is no more room.
class Conversation {
 public:
  Conversation(const ChatFormat& format, std::string_view system) : format_(format) { restart(system); }

  void restart(std::string_view system);
  void ask(std::string_view question);
  /// The answer to the last question, without eos.
  void answer(std::span<const int32_t> tokens);
  /// Takes back the last answer, and the question too where asked. False where there is none.
  bool take_back_answer();
  bool take_back_question();

  size_t turns() const { return turns_.size(); }
  /// Everything that the model has to have read before it answers.
  std::vector<int32_t> tokens() const;
  /// Drops the oldest turns, never the last, until at most `most` tokens are left; returns how many went.
  size_t make_room(int64_t most);
  /// Tokens at the beginning that both have: what a cache may keep.
  static int64_t shared(std::span<const int32_t> a, std::span<const int32_t> b);

 private:
  struct Turn {
    std::vector<int32_t> question, answer;
    bool answered = false;
  };
  const ChatFormat& format_;
  std::vector<int32_t> opening_;
  std::vector<Turn> turns_;
};

}  // namespace dsmoe::engine
