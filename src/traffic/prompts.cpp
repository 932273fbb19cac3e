#include "traffic/prompts.h"

#include <algorithm>
#include <sstream>

#include "base/error.h"

namespace dsmoe::traffic {
namespace {

// The first `shared`, and from `at` on as many as are missing to `count`.
template <class T>
std::vector<T> joined(const std::vector<T>& all, int64_t shared, int64_t at, int64_t count) {
  std::vector<T> out(all.begin(), all.begin() + shared);
  out.insert(out.end(), all.begin() + at, all.begin() + at + count - shared);
  return out;
}

}  // namespace

Prompts::Prompts(const PromptOptions& options, const Server& server) : options_(options), rng_(options.seed) {
  const std::string text = options.text.empty() ? random_text(4 * options.tokens + 2000) : options.text;
  ids_ = server.tokenize(text);
  if (in_words()) {
    std::istringstream stream(text);
    for (std::string word; stream >> word;) words_.push_back(word);
  }
  if (size() < 2 * options.tokens) {
    base::fail_invalid("prompts", "their text must have twice as many tokens as a prompt",
                       std::to_string(size()) + " for prompts of " + std::to_string(options.tokens));
  }
}

std::string Prompts::random_text(int64_t words) {
  std::string text;
  for (int64_t w = 0; w < words; ++w) {
    for (uint64_t syllables = 1 + rng_.below(3); syllables > 0; --syllables) {
      text += "bcdfghklmnprstvw"[rng_.below(16)];
      text += "aeiou"[rng_.below(5)];
    }
    text += w % 12 == 11 ? ". " : " ";
  }
  return text;
}

std::string Prompts::body(int64_t shared) {
  // Never the beginning itself, which is for those that share it.
  const int64_t at =
      std::max<int64_t>(1, shared) + static_cast<int64_t>(rng_.below(static_cast<uint64_t>(size() - options_.tokens)));
  base::Json body = {{"model", options_.model}, {"max_tokens", options_.answer},
                     {"temperature", 0},        {"ignore_eos", true},
                     {"stream", true},          {"stream_options", {{"include_usage", true}}}};
  if (in_words()) {
    std::string prompt;
    for (const std::string& word : joined(words_, shared, at, options_.tokens)) prompt += word + " ";
    body["prompt"] = prompt;
  } else {
    body["prompt"] = joined(ids_, shared, at, options_.tokens);
  }
  return base::dump_json(body);
}

}  // namespace dsmoe::traffic
