#include "engine/chat_format.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace dsmoe::engine {
namespace {

tokenizer::TokenizerSpec without_special_tokens(tokenizer::TokenizerSpec spec) {
  std::erase_if(spec.added_tokens, [](const tokenizer::AddedToken& token) { return token.special; });
  spec.prefix.clear();
  spec.suffix.clear();
  return spec;
}

}  // namespace

ChatFormat::ChatFormat(const tokenizer::Tokenizer& tokenizer, const spec::ModelConfig& config)
    : plain_(without_special_tokens(tokenizer.spec())),
      bos_(tokenizer.bos_id().value_or(static_cast<int32_t>(config.bos_token_id))),
      eos_(tokenizer.eos_id().value_or(static_cast<int32_t>(config.eos_token_id))) {}

std::vector<int32_t> ChatFormat::opening(std::string_view system) const {
  std::vector<int32_t> ids = {bos_};
  if (!system.empty()) plain_.encode(std::string(system) + "\n\n", false, ids);
  return ids;
}

std::vector<int32_t> ChatFormat::question(std::string_view text) const {
  return plain_.encode("User: " + std::string(text) + "\n\nAssistant:");
}

void Conversation::restart(std::string_view system) {
  opening_ = format_.opening(system);
  turns_.clear();
}

void Conversation::ask(std::string_view question) { turns_.push_back({format_.question(question), {}, false}); }

void Conversation::answer(std::span<const int32_t> tokens) {
  DSMOE_CHECK(!turns_.empty() && !turns_.back().answered, "a question without an answer");
  turns_.back().answer.assign(tokens.begin(), tokens.end());
  turns_.back().answer.push_back(format_.end_of_answer());
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

std::vector<int32_t> Conversation::tokens() const {
  std::vector<int32_t> ids = opening_;
  for (const Turn& turn : turns_) {
    ids.insert(ids.end(), turn.question.begin(), turn.question.end());
    ids.insert(ids.end(), turn.answer.begin(), turn.answer.end());
  }
  return ids;
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
