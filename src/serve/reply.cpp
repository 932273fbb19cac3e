#include "serve/reply.h"

#include <algorithm>
#include <utility>

#include "base/utf8.h"
#include "tokenizer/utf8_stream.h"

namespace dsmoe::serve {

using base::Json;

Json ReplyHead::object(Json choices) const {
  const char* kind = chat ? stream ? "chat.completion.chunk" : "chat.completion" : "text_completion";
  return {{"id", id},
          {"object", kind},
          {"created", created},
          {"model", model},
          {"system_fingerprint", "dsmoe"},
          {"choices", std::move(choices)}};
}

Json Usage::json() const {
  return {{"prompt_tokens", prompt_tokens},
          {"completion_tokens", completion_tokens},
          {"total_tokens", prompt_tokens + completion_tokens},
          {"prompt_tokens_details", {{"cached_tokens", cached_tokens}}}};
}

std::string_view finish_reason(engine::Finish finish) {
  return finish == engine::Finish::kLength || finish == engine::Finish::kContext ? "length" : "stop";
}

std::string TokenText::label(int32_t token) const {
  if (as_ids_) return "token_id:" + std::to_string(token);
  const std::string_view bytes = tokenizer_.token_bytes(token);
  if (base::first_invalid_utf8(bytes) == std::string_view::npos) return std::string(bytes);
  std::string text = "bytes:";
  constexpr char kDigits[] = "0123456789abcdef";
  for (const unsigned char byte : bytes) text += {'\\', 'x', kDigits[byte >> 4], kDigits[byte & 15]};
  return text;
}

Json TokenText::entry(const engine::TokenLogProbability& one) const {
  const std::string_view bytes = tokenizer_.token_bytes(one.token);
  Json list = Json::array();
  for (const unsigned char byte : bytes) list.push_back(byte);
  return {{"token", as_ids_ ? label(one.token) : tokenizer::replace_invalid_utf8(bytes)},
          {"logprob", one.value},
          {"bytes", std::move(list)}};
}

void CompletionScores::clear() {
  lists_ = {{"tokens", Json::array()},
            {"token_logprobs", Json::array()},
            {"top_logprobs", Json::array()},
            {"text_offset", Json::array()}};
}

// The map of the likeliest always has the token itself; of tokens with one text the likelier counts.
void CompletionScores::add(int32_t token, const std::optional<engine::TokenScore>& score, int64_t offset) {
  lists_["tokens"].push_back(text_.label(token));
  lists_["text_offset"].push_back(offset);
  if (!score) {
    lists_["token_logprobs"].push_back(nullptr);
    lists_["top_logprobs"].push_back(nullptr);
    return;
  }
  lists_["token_logprobs"].push_back(score->chosen.value);
  Json best = Json::object();
  const auto put = [&](const engine::TokenLogProbability& one) {
    const std::string label = text_.label(one.token);
    const auto found = best.find(label);
    if (found == best.end() || found->get<double>() < one.value) best[label] = one.value;
  };
  for (const auto& one : score->best) put(one);
  put(score->chosen);
  lists_["top_logprobs"].push_back(std::move(best));
}

Json CompletionScores::take() {
  Json lists = std::move(lists_);
  clear();
  return lists;
}

Json chat_score(const TokenText& text, const engine::TokenScore& score) {
  Json entry = text.entry(score.chosen), best = Json::array();
  for (const auto& one : score.best) best.push_back(text.entry(one));
  entry["top_logprobs"] = std::move(best);
  return entry;
}

int64_t code_points(std::string_view bytes) {
  return std::count_if(bytes.begin(), bytes.end(),
                       [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; });
}

std::string event(const Json& data) { return "data: " + base::dump_json(data) + "\n\n"; }

}  // namespace dsmoe::serve
