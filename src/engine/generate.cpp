#include "engine/generate.h"

#include "base/error.h"

namespace dsmoe::engine {

Generation generate(Session& session, const spec::ModelConfig& config, std::span<const int32_t> prompt,
                    const GenerateOptions& options, const tokenizer::Tokenizer* tokenizer, const OnToken& on_token) {
  const auto held = static_cast<size_t>(session.size());
  DSMOE_CHECK(held < prompt.size() || (held == 0 && prompt.empty()), "the session holds less than the prompt");
  Continuation continuation(options, prompt, config.max_position_embeddings, tokenizer);
  Generation result;
  auto logits = session.append(prompt.subspan(held));
  bool goes_on = true;
  while (goes_on && !continuation.finish()) {
    const Step step = continuation.accept(logits);
    result.text += step.text;
    const auto tokens = continuation.tokens();
    const bool ended = continuation.finish() == Finish::kEos;
    if (!ended || (!step.text.empty() && !tokens.empty())) goes_on = on_token(tokens.back(), step.text) || ended;
    if (goes_on && !continuation.finish()) logits = session.append({&step.token, 1});
  }
  result.tokens.assign(continuation.tokens().begin(), continuation.tokens().end());
  result.finish = goes_on ? *continuation.finish() : Finish::kInterrupted;
  return result;
}

}  // namespace dsmoe::engine
