// Prompts for a load: of one length, told apart by their ids, so that a server's memory of beginnings helps only as far
// as they are to share one.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/rng.h"
#include "traffic/server.h"

namespace dsmoe::traffic {

struct PromptOptions {
  std::string model;     ///< the name that requests have
  std::string text;      ///< what prompts are cut from; empty: random words
  int64_t tokens = 128;  ///< of a prompt
  int64_t shared = 0;    ///< of them the same in all
  int64_t answer = 64;   ///< tokens of an answer; no end cuts it short
  uint64_t seed = 1;
};

class Prompts {
 public:
  /// Has the server tokenize the text. Where it cannot, a word stands for a token. Throws Error(kInvalid) for a text
  /// with fewer than twice as many as a prompt.
  Prompts(const PromptOptions& options, const Server& server);
  bool in_words() const { return ids_.empty(); }
  /// A streamed completion's body.
  std::string next() { return body(options_.shared); }
  /// The same with a beginning of its own.
  std::string apart() { return body(0); }

 private:
  int64_t size() const { return in_words() ? std::ssize(words_) : std::ssize(ids_); }
  std::string random_text(int64_t words);
  std::string body(int64_t shared);

  PromptOptions options_;
  base::Rng rng_;
  std::vector<int32_t> ids_;
  std::vector<std::string> words_;
};

}  // namespace dsmoe::traffic
