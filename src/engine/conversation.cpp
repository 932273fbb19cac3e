#include "engine/conversation.h"

#include <algorithm>

#include "base/error.h"

namespace dsmoe::engine {

using tokenizer::ChatMessage;
using tokenizer::ChatPart;
using tokenizer::ChatRole;

void Conversation::restart(std::string_view system) {
  system_ = system;
  turns_.clear();
}

void Conversation::answer(std::span<const int32_t> tokens) {
  DSMOE_CHECK(!turns_.empty() && !turns_.back().answered, "a question without an answer");
  turns_.back().answer.assign(tokens.begin(), tokens.end());
  turns_.back().answered = true;
}

bool Conversation::take_back_answer() {
  if (turns_.empty()) return false;
  turns_.back().answer.clear();
  turns_.back().answered = false;
  return true;
}

bool Conversation::take_back_question() {
  if (turns_.empty()) return false;
  turns_.pop_back();
  return true;
}

// The text of an answer as a message. Where a format writes a space before it that the generation prompt leaves to the
// model, that space is not part of it.
std::string Conversation::text_of(const Turn& turn) const {
  std::string text = tokenizer_.decode(turn.answer);
  const auto& format = encoder_.format();
  const bool writes_space = format.assistant.before == format.generation + " ";
  return writes_space && text.starts_with(' ') ? text.substr(1) : text;
}

std::vector<ChatMessage> Conversation::messages() const {
  std::vector<ChatMessage> messages;
  if (!system_.empty()) messages.push_back({ChatRole::kSystem, system_});
  for (const Turn& turn : turns_) {
    messages.push_back({ChatRole::kUser, turn.question});
    if (turn.answered) messages.push_back({ChatRole::kAssistant, text_of(turn)});
  }
  return messages;
}

std::vector<int32_t> Conversation::tokens() const {
  const auto messages = this->messages();
  const bool generate = messages.empty() || messages.back().role != ChatRole::kAssistant;
  const auto rendering = encoder_.render(messages, generate);
  const std::string prompt = encoder_.format().questions_open_answers ? "" : encoder_.format().generation;
  tokenizer::ChatEncoder::Writer writer(encoder_);
  writer.frame(rendering.opening);
  auto turn = turns_.begin();
  for (const ChatPart& part : rendering.parts) {
    const bool answers = part.message && messages[*part.message].role == ChatRole::kAssistant;
    if (answers && part.before + part.content == prompt + tokenizer_.decode(turn->answer)) {
      writer.frame(prompt);
      writer.ids(turn->answer);
    } else {
      writer.frame(part.before);
      writer.content(part.content);
    }
    writer.frame(part.after);
    if (answers) ++turn;
  }
  writer.frame(rendering.generation);
  return writer.take();
}

size_t Conversation::make_room(int64_t most) {
  size_t gone = 0;
  while (turns_.size() > 1 && std::ssize(tokens()) > most) {
    turns_.erase(turns_.begin());
    ++gone;
  }
  return gone;
}

int64_t Conversation::shared(std::span<const int32_t> a, std::span<const int32_t> b) {
  return std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin();
}

}  // namespace dsmoe::engine
