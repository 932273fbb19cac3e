// What a client asks for, as data: the bodies of completions and chat completions, read and validated.
//
// Fields that mean nothing here are ignored; those that ask for something this server cannot do are refused by name,
// so that nobody takes an answer for what it is not.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "base/json.h"
#include "engine/continuation.h"
#include "engine/intervention.h"
#include "schema/grammar.h"
#include "tokenizer/chat_format.h"

namespace dsmoe::serve {

/// What holds for every request, whatever the model.
struct RequestLimits {
  int64_t n = 16, prompts = 64, stops = 4, stop_bytes = 256, biases = 300, scores = 20;
  int64_t sequences = 256;    ///< prompts times n
  int64_t tokens = 1 << 18;   ///< of all its texts, prompts counted for each choice
  int64_t figures = 1 << 20;  ///< that are told of them: log-probabilities, and experts of tokens
};

/// What requests are validated against.
struct RequestContext {
  std::string model;  ///< its name
  int64_t vocab_size = 0;
  RequestLimits limits;
  const spec::ModelConfig* config = nullptr;  ///< for interventions
};

using TextOrIds = std::variant<std::string, std::vector<int32_t>>;

struct GenerationRequest {
  bool chat = false;
  std::vector<TextOrIds> prompts;                ///< of a completion
  std::vector<tokenizer::ChatMessage> messages;  ///< of a chat
  bool answers = true;                           ///< of a chat: whether the model's turn is opened
  bool add_special = true;                       ///< of a text: whether the tokenizer's own beginning is put before it
  int64_t n = 1;
  engine::GenerateOptions
      generate;         ///< max_tokens -1: none was given; ends: those that were asked for beside the model's
  bool scores = false;  ///< log-probabilities are asked for; generate.scores says how many of the likeliest
  bool echo = false;
  bool stream = false, include_usage = false;
  bool routed_experts = false;  ///< which experts read which token is asked for
  engine::Intervention intervention;
  std::shared_ptr<const schema::Grammar> form;  ///< what an answer's text must be; null: anything
  bool tokens_as_ids = false;                   ///< tokens in log-probabilities are written token_id:N
  /// How often each prompt is read: once, or anew for each choice where what it leaves in the cache is not shared.
  int64_t readings() const {
    const bool alone = (echo && scores) || routed_experts || intervention != engine::Intervention{};
    return alone ? n : 1;
  }
};

/// Each throws ApiError 400 naming the member (404 for another model's name).
GenerationRequest read_completion(const base::Json& body, const RequestContext& context);
GenerationRequest read_chat(const base::Json& body, const RequestContext& context);

/// Throws ApiError 400 where a request with prompts of these lengths would take more than its share of memory.
void require_share(const GenerationRequest& request, std::span<const int64_t> prompt_lengths,
                   const RequestContext& context);

/// The messages of a conversation, `messages` of a body.
std::vector<tokenizer::ChatMessage> read_messages(const base::Json& list);

}  // namespace dsmoe::serve
