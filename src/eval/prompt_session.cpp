#include "eval/prompt_session.h"

#include <algorithm>

#include "eval/perplexity.h"

namespace dsmoe::eval {

// Goes back to the longest beginning that the cache and `ids` share; returns its length.
size_t PromptSession::keep_shared(std::span<const int32_t> ids) {
  const auto shared = std::mismatch(held_.begin(), held_.end(), ids.begin(), ids.end());
  const auto kept = static_cast<size_t>(shared.first - held_.begin());
  session_.rewind(static_cast<int64_t>(kept));
  held_.resize(kept);
  return kept;
}

ContinuationScore PromptSession::score(const ContinuationIds& text) {
  // The context's last token is read together with the continuation: its logits are the first that are asked for.
  const std::span<const int32_t> ids(text.ids), context = ids.first(text.context - 1);
  const size_t kept = keep_shared(context);
  const std::span<const int32_t> scored = ids.subspan(context.size());
  computed_ += std::ssize(ids) - 1 - static_cast<int64_t>(kept);
  if (kept < context.size()) session_.append(context.subspan(kept));
  const ContinuationScore score = read_on(scored);
  held_.assign(ids.begin(), ids.end() - 1);
  return score;
}

// Appends all but the last of `ids` and scores all but the first.
ContinuationScore PromptSession::read_on(std::span<const int32_t> ids) {
  // Logits of at most 64 MB at a time; pieces do not change them.
  const auto V = static_cast<size_t>(engine_.config().vocab_size);
  const size_t piece = std::max<size_t>(1, (size_t{16} << 20) / V);
  ContinuationScore score;
  for (size_t at = 0; at + 1 < ids.size(); at += piece) {
    const size_t count = std::min(piece, ids.size() - 1 - at);
    const auto logits = session_.append_all(ids.subspan(at, count));
    for (size_t t = 0; t < count; ++t) {
      const auto row = logits.subspan(t * V, V);
      const int32_t target = ids[at + t + 1];
      score.log_likelihood -= token_nats(row, target);
      score.greedy = score.greedy && std::max_element(row.begin(), row.end()) - row.begin() == target;
    }
  }
  return score;
}

engine::Generation PromptSession::generate(std::span<const int32_t> prompt, engine::GenerateOptions options,
                                           const tokenizer::Tokenizer& tokenizer) {
  const size_t kept = keep_shared(prompt.first(prompt.size() - 1));
  computed_ += std::ssize(prompt) - static_cast<int64_t>(kept);
  options.sampling.temperature = 0;
  const auto on_token = [](int32_t, std::string_view) { return true; };
  auto result = engine::generate(session_, engine_.config(), prompt, options, &tokenizer, on_token);
  session_.rewind(std::ssize(prompt));
  held_.assign(prompt.begin(), prompt.end());
  return result;
}

}  // namespace dsmoe::eval
