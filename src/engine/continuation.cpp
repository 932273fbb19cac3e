#include "engine/continuation.h"

#include <algorithm>

#include "base/error.h"

namespace dsmoe::engine {
namespace {

SamplingOptions sampling_of(const GenerateOptions& options) {
  SamplingOptions sampling = options.sampling;
  if (options.ignore_eos) sampling.forbidden.insert(sampling.forbidden.end(), options.ends.begin(), options.ends.end());
  return sampling;
}

}  // namespace

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

Continuation::Continuation(const GenerateOptions& options, std::span<const int32_t> prompt, int64_t positions,
                           const tokenizer::Tokenizer* tokenizer)
    : options_(options),
      positions_(positions),
      tokenizer_(tokenizer),
      sampler_(sampling_of(options)),
      stops_(options.stop),
      rule_(options.rule ? options.rule() : nullptr),
      history_(prompt.begin(), prompt.end()),
      prompt_(prompt.size()) {
  if (!options.stop.empty() && !tokenizer) {
    base::fail(base::ErrorKind::kUsage, "generate", "stop strings need a tokenizer");
  }
  if (options.max_tokens == 0) finish_ = Finish::kLength;
}

Step Continuation::accept(std::span<const float> logits_V) {
  DSMOE_CHECK(!finish_, "a text that has ended does not go on");
  Step step;
  step.token = sampler_.sample(logits_V, history_, allowed());
  if (options_.scores >= 0) step.score = score_token(logits_V, step.token, options_.scores);
  if (std::find(options_.ends.begin(), options_.ends.end(), step.token) != options_.ends.end()) {
    finish_ = Finish::kEos;
  } else {
    history_.push_back(step.token);
    step.text = shown(step.token);
    if (rule_) rule_->accept(step.token);
    if (rule_ && rule_->ends()) {
      finish_ = Finish::kEos;
    } else if (stops_.stopped()) {
      finish_ = Finish::kStop;
    } else if (std::ssize(tokens()) == options_.max_tokens) {
      finish_ = Finish::kLength;
    } else if (std::ssize(history_) > positions_) {  // the last one could be chosen, but not read
      finish_ = Finish::kContext;
    }
  }
  // What was kept back: half a character, or the beginning of a stop string that did not come.
  if (finish_ && !stops_.stopped()) step.text += stops_.push(characters_.flush()) + stops_.flush();
  return step;
}

std::span<const uint64_t> Continuation::allowed() {
  if (!rule_) return {};
  const std::span<const uint64_t> allowed = rule_->allowed();
  if (!rule_->may_end()) return allowed;
  with_ends_.assign(allowed.begin(), allowed.end());
  for (const int32_t end : options_.ends) {
    const auto word = static_cast<size_t>(end) / 64;
    if (end >= 0 && word < with_ends_.size()) with_ends_[word] |= uint64_t{1} << (end % 64);
  }
  return with_ends_;
}

std::string Continuation::shown(int32_t token) {
  return tokenizer_ ? stops_.push(characters_.push(tokenizer_->token_bytes(token))) : std::string();
}

}  // namespace dsmoe::engine
