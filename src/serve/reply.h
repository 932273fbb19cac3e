// The JSON of answers, as OpenAI's clients and lm-evaluation-harness read it. Functions of values: no state, no
// network.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "engine/continuation.h"
#include "tokenizer/tokenizer.h"

namespace dsmoe::serve {

/// What all pieces of one answer begin with.
struct ReplyHead {
  std::string id, model;
  int64_t created = 0;  ///< seconds since 1970
  bool chat = false, stream = false;
  base::Json object(base::Json choices) const;
};

struct Usage {
  int64_t prompt_tokens = 0, completion_tokens = 0, cached_tokens = 0;
  base::Json json() const;
};

/// "stop" or "length".
std::string_view finish_reason(engine::Finish finish);

/// How tokens are written in log-probabilities.
class TokenText {
 public:
  TokenText(const tokenizer::Tokenizer& tokenizer, bool as_ids) : tokenizer_(tokenizer), as_ids_(as_ids) {}
  /// In completions: its text; bytes that are none as "bytes:\xe4\xb8", so that different tokens stay different.
  std::string label(int32_t token) const;
  /// In chat: {token, logprob, bytes}.
  base::Json entry(const engine::TokenLogProbability& one) const;

 private:
  const tokenizer::Tokenizer& tokenizer_;
  bool as_ids_;
};

/// The log-probabilities of a completion's tokens, in four lists of one length.
class CompletionScores {
 public:
  explicit CompletionScores(TokenText text) : text_(text) { clear(); }
  /// `offset`: where its text begins, in code points from the prompt's beginning. No score: the first token of all.
  void add(int32_t token, const std::optional<engine::TokenScore>& score, int64_t offset);
  /// What has been added since the last call.
  base::Json take();

 private:
  void clear();
  TokenText text_;
  base::Json lists_;
};

/// The log-probabilities of a chat's tokens.
base::Json chat_score(const TokenText& text, const engine::TokenScore& score);

/// Code points that begin in these bytes.
int64_t code_points(std::string_view bytes);

/// An event of a stream.
std::string event(const base::Json& data);
inline constexpr std::string_view kLastEvent = "data: [DONE]\n\n";

}  // namespace dsmoe::serve
