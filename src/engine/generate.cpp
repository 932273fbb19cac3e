#include "engine/generate.h"

#include <algorithm>

#include "base/error.h"
#include "engine/stop_filter.h"
#include "tokenizer/utf8_stream.h"

namespace dsmoe::engine {

std::string_view finish_name(Finish finish) {
  switch (finish) {
    case Finish::kEos:
      return "eos";
    case Finish::kStop:
      return "stop";
    case Finish::kLength:
      return "length";
    case Finish::kContext:
      return "context";
    case Finish::kInterrupted:
      return "interrupted";
  }
  return "unknown";
}

Generation generate(Session& session, const spec::ModelConfig& config, std::span<const int32_t> prompt,
                    const GenerateOptions& options, const tokenizer::Tokenizer* tokenizer, const OnToken& on_token) {
  if (!options.stop.empty() && !tokenizer) {
    base::fail(base::ErrorKind::kUsage, "generate", "stop strings need a tokenizer");
  }
  const auto held = static_cast<size_t>(session.size());
  DSMOE_CHECK(held < prompt.size() || (held == 0 && prompt.empty()), "the session holds less than the prompt");
  SamplingOptions sampling = options.sampling;
  if (options.ignore_eos) sampling.forbidden.insert(sampling.forbidden.end(), options.ends.begin(), options.ends.end());
  Sampler sampler(sampling);
  StopFilter stops(options.stop);
  tokenizer::Utf8Stream characters;
  Generation result;
  std::vector<int32_t> history(prompt.begin(), prompt.end());
  auto logits = session.append(prompt.subspan(held));
  for (;;) {
    const auto count = static_cast<int64_t>(result.tokens.size());
    if (options.max_tokens >= 0 && count >= options.max_tokens) break;
    const int32_t token = sampler.sample(logits, history);
    if (std::find(options.ends.begin(), options.ends.end(), token) != options.ends.end()) {
      result.finish = Finish::kEos;
      break;
    }
    result.tokens.push_back(token);
    history.push_back(token);
    const std::string text = tokenizer ? stops.push(characters.push(tokenizer->token_bytes(token))) : std::string();
    result.text += text;
    if (!on_token(token, text)) {
      result.finish = Finish::kInterrupted;
      return result;
    }
    if (stops.stopped()) {
      result.finish = Finish::kStop;
      return result;
    }
    if (count + 1 == options.max_tokens) break;  // its logits would go unused
    if (session.size() == config.max_position_embeddings) {
      result.finish = Finish::kContext;
      break;
    }
    logits = session.append({&token, 1});
  }
  // What was kept back: half a character, or the beginning of a stop string that did not come.
  const std::string rest = stops.push(characters.flush()) + stops.flush();
  if (!rest.empty() && !result.tokens.empty()) {
    result.text += rest;
    on_token(result.tokens.back(), rest);
  }
  return result;
}

}  // namespace dsmoe::engine
