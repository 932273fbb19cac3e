// How well a model predicts text: nats per token, bits per byte.
//
// Text runs through the model in windows of the sequence length, one after another, each with an empty past, so that
// every token but the first of all is scored once. For a corpus this is corpus::ValidationWindows, as the trainer reads
// it, and scores are kept by document; for plain text the model's bos comes first, so that every byte is scored.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "corpus/dataset.h"
#include "corpus/validation.h"
#include "engine/engine.h"
#include "eval/document_scores.h"
#include "tokenizer/tokenizer.h"

namespace dsmoe::eval {

struct PerplexityOptions {
  int64_t sequence_length = 0;  ///< tokens a window; 0: max_position_embeddings
  int64_t token_limit = 0;      ///< about this many tokens of a corpus; 0: all
  /// For plain text, what llama-perplexity measures: whole windows only, the first token of each replaced by bos where
  /// the tokenizer adds one, and only the second half of each scored.
  bool second_half = false;
  engine::Intervention intervention = {};  ///< what the pass leaves out or changes; none by default
  engine::RoutingProbe* probe = nullptr;   ///< sees every routing on the way; null: nobody does
  /// Sees each window of a corpus when it is scored: what was read, and the nats of the targets, all equally long.
  std::function<void(int64_t window, std::span<const int32_t> inputs, std::span<const int32_t> targets,
                     std::span<const double> nats)>
      on_window = {};
};

struct Perplexity {
  struct Domain {
    std::string name;
    corpus::TextScore score;
  };
  corpus::TextScore total;
  std::vector<DocumentScore> documents;  ///< of a corpus, domain by domain; the other sums are theirs
  std::vector<Domain> domains;           ///< of a corpus, those that have something to score
};

/// Called with tokens scored and tokens in all, after every window. May throw to stop.
using OnScored = std::function<void(int64_t done, int64_t all)>;

/// How a corpus is read. Throws Error(kInvalid) where its vocabulary is larger than the model's, the split is empty,
/// there is nothing to score or the window is longer than the model's context. The corpus must outlive it.
corpus::ValidationWindows windows_of(const engine::Engine& engine, const corpus::TokenDataset& corpus,
                                     const PerplexityOptions& options);
/// Throws what windows_of() throws.
Perplexity perplexity(engine::Engine& engine, const corpus::TokenDataset& corpus, const PerplexityOptions& options,
                      const OnScored& on_scored = {});
/// Throws Error(kInvalid) for empty text.
Perplexity perplexity(engine::Engine& engine, const tokenizer::Tokenizer& tokenizer, std::string_view text,
                      const PerplexityOptions& options, const OnScored& on_scored = {});

/// -log softmax(logits)[target].
double token_nats(std::span<const float> logits, int32_t target);

}  // namespace dsmoe::eval
