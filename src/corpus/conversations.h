// Conversations to learn answers from, a JSON object a line. Three shapes are read, told apart by their keys:
//
//   {"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}
//   {"instruction": "...", "input": "...", "output": "..."}                                      Alpaca's
//   {"conversations": [{"from": "human", "value": "..."}, {"from": "gpt", "value": "..."}]}      ShareGPT's
//
// In the first, "train": false in an assistant's turn leaves it out of the loss. In the second, input may be missing or
// empty, and "system" may be there.
//
// A system message may come first; then a user's turn and an assistant's take turns, and the last is an assistant's.
// Other keys are ignored.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/chat_format.h"

namespace dsmoe::corpus {

struct Conversation {
  std::vector<tokenizer::ChatMessage> messages;
  std::vector<bool> trained;  ///< of each message: an answer to learn from; one at least is
};

/// `where` is file and line. Throws base::Error(kInvalid) for what is no JSON, of another shape, or against the rules
/// above: an empty question or answer, roles out of order, no answer to learn from.
Conversation read_conversation(std::string_view line, const std::string& where);

}  // namespace dsmoe::corpus
