// A conversation with a model: what was asked and answered, as the tokens that the model reads.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/chat_encoder.h"

namespace dsmoe::engine {

/// The oldest questions and answers go when there is no more room.
class Conversation {
 public:
  /// Both are kept by reference.
  Conversation(const tokenizer::ChatEncoder& encoder, const tokenizer::Tokenizer& tokenizer, std::string_view system)
      : encoder_(encoder), tokenizer_(tokenizer) {
    restart(system);
  }

  void restart(std::string_view system);
  void ask(std::string_view question) { turns_.push_back({std::string(question), {}, false}); }
  /// The answer to the last question, without the token that ended it.
  void answer(std::span<const int32_t> tokens);
  /// Takes back the last answer, and the question too where asked. False where there is none.
  bool take_back_answer();
  bool take_back_question();

  size_t turns() const { return turns_.size(); }
  /// Everything that the model has to have read before it answers the last question. An earlier answer stands there
  /// with the tokens that it was given in, unless the format writes its text differently in retrospect (without white
  /// space at its ends, or without its reasoning).
  std::vector<int32_t> tokens() const;
  /// Drops the oldest turns, never the last, until at most `most` tokens are left; returns how many went.
  size_t make_room(int64_t most);
  /// Tokens at the beginning that both have: what a cache may keep.
  static int64_t shared(std::span<const int32_t> a, std::span<const int32_t> b);

 private:
  struct Turn {
    std::string question;
    std::vector<int32_t> answer;
    bool answered = false;
  };
  std::vector<tokenizer::ChatMessage> messages() const;
  std::string text_of(const Turn& turn) const;

  const tokenizer::ChatEncoder& encoder_;
  const tokenizer::Tokenizer& tokenizer_;
  std::string system_;
  std::vector<Turn> turns_;
};

}  // namespace dsmoe::engine
