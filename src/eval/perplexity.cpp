#include "eval/perplexity.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "kernels/rows.h"

namespace dsmoe::eval {
namespace {

int64_t window_length(const engine::Engine& engine, const PerplexityOptions& options) {
  const int64_t longest = engine.config().max_position_embeddings;
  if (options.sequence_length == 0) return longest;
  if (options.sequence_length < 1 || options.sequence_length > longest) {
    base::fail_invalid("perplexity",
                       "the window must be from 1 to max_position_embeddings = " + std::to_string(longest),
                       std::to_string(options.sequence_length));
  }
  return options.sequence_length;
}

}  // namespace

double token_nats(std::span<const float> logits, int32_t target) {
  return kernels::log_sum_exp(logits) - logits[static_cast<size_t>(target)];
}

namespace {

// Scores windows one after another, in memory made once.
class WindowScorer {
 public:
  WindowScorer(engine::Engine& engine, const PerplexityOptions& options)
      : session_(engine), parallel_for_(engine.parallel_for()), V_(static_cast<size_t>(engine.config().vocab_size)) {
    session_.intervention = options.intervention;
    session_.probe = options.probe;
  }

  /// Minus the log-probability in nats of each target, 0 for corpus::kNotScored; the past is empty. Lives until the
  /// next call.
  std::span<const double> nats(std::span<const int32_t> inputs, std::span<const int32_t> targets) {
    // Logits of at most 64 MB at a time; pieces do not change them.
    const size_t piece = std::max<size_t>(1, (size_t{16} << 20) / V_);
    session_.rewind(0);
    nats_.assign(targets.size(), 0);
    for (size_t at = 0; at < inputs.size(); at += piece) {
      const size_t count = std::min(piece, inputs.size() - at);
      const auto wanted = targets.subspan(at, count);
      const auto first =
          std::find_if(wanted.begin(), wanted.end(), [](int32_t id) { return id != corpus::kNotScored; });
      const auto left = static_cast<size_t>(wanted.end() - first);
      score(session_.append_last(inputs.subspan(at, count), left), wanted.last(left),
            std::span(nats_).subspan(at, count).last(left));
    }
    return nats_;
  }

 private:
  void score(std::span<const float> logits, std::span<const int32_t> targets, std::span<double> nats) {
    constexpr int64_t kWorth = int64_t{1} << 15;  // logits for which waking a thread pays
    const auto rows = std::ssize(targets);
    parallel_for_(rows, std::max<int64_t>(1, kWorth / static_cast<int64_t>(V_)), [&](int64_t begin, int64_t end) {
      for (auto t = static_cast<size_t>(begin); t < static_cast<size_t>(end); ++t) {
        if (targets[t] != corpus::kNotScored) nats[t] = token_nats(logits.subspan(t * V_, V_), targets[t]);
      }
    });
  }

  engine::Session session_;
  base::ParallelFor parallel_for_;
  size_t V_;
  std::vector<double> nats_;
};

double sum(std::span<const double> values) { return std::accumulate(values.begin(), values.end(), 0.0); }

// The scores of the documents that are read, filled window by window.
class Documents {
 public:
  Documents(const corpus::TokenDataset& corpus, const corpus::ValidationWindows& windows)
      : windows_(windows), nats_(static_cast<size_t>(corpus.documents())), tokens_(nats_.size()) {}

  /// `nats` of the window's targets that count.
  void add(int64_t window, std::span<const double> nats) {
    documents_.resize(nats.size());
    windows_.read_documents(window, documents_);
    for (size_t t = 0; t < nats.size(); ++t) {
      nats_[static_cast<size_t>(documents_[t])] += nats[t];
      ++tokens_[static_cast<size_t>(documents_[t])];
    }
  }

  Perplexity sums(const corpus::TokenDataset& corpus) const {
    Perplexity result;
    for (size_t d = 0; d < corpus.domain_names().size(); ++d) {
      if (windows_.tokens(static_cast<int>(d)) == 0) continue;
      Perplexity::Domain domain{corpus.domain_names()[d], {}};
      for (const int64_t document : windows_.documents(static_cast<int>(d))) {
        const auto at = static_cast<size_t>(document);
        result.documents.push_back({document, domain.name, {nats_[at], tokens_[at], corpus.bytes_in(document)}});
        domain.score += result.documents.back().score;
      }
      result.total += domain.score;
      result.domains.push_back(std::move(domain));
    }
    return result;
  }

 private:
  const corpus::ValidationWindows& windows_;
  std::vector<double> nats_;        // by document of the split
  std::vector<int64_t> tokens_;     // by document of the split: those scored
  std::vector<int64_t> documents_;  // of a window's targets
};

}  // namespace

corpus::ValidationWindows windows_of(const engine::Engine& engine, const corpus::TokenDataset& corpus,
                                     const PerplexityOptions& options) {
  corpus.require_vocabulary(engine.config().vocab_size);
  corpus.require_tokens();
  corpus::ValidationWindows windows(corpus, window_length(engine, options), options.token_limit);
  if (windows.size() == 0) base::fail_invalid("perplexity", "there is nothing to score", "no domain has two tokens");
  return windows;
}

Perplexity perplexity(engine::Engine& engine, const corpus::TokenDataset& corpus, const PerplexityOptions& options,
                      const OnScored& on_scored) {
  const corpus::ValidationWindows windows = windows_of(engine, corpus, options);
  int64_t all = 0, done = 0;
  for (size_t d = 0; d < corpus.domain_names().size(); ++d) all += windows.tokens(static_cast<int>(d));
  Documents documents(corpus, windows);
  WindowScorer scorer(engine, options);
  std::vector<int32_t> inputs(static_cast<size_t>(windows.sequence_length())), targets(inputs.size());
  for (int64_t w = 0; w < windows.size(); ++w) {
    windows.read(w, inputs, targets);
    const auto count = static_cast<size_t>(windows.scored(w));  // what follows is padding
    const auto nats = scorer.nats(std::span(inputs).first(count), std::span(targets).first(count));
    documents.add(w, nats);
    if (options.on_window) options.on_window(w, std::span(inputs).first(count), std::span(targets).first(count), nats);
    done += windows.scored(w);
    if (on_scored) on_scored(done, all);
  }
  return documents.sums(corpus);
}

namespace {

// As llama-perplexity reads: `ids` begin with bos where the tokenizer adds one.
Perplexity second_halves(engine::Engine& engine, const tokenizer::Tokenizer& tokenizer, std::vector<int32_t> ids,
                         const PerplexityOptions& options, const OnScored& on_scored) {
  const auto S = static_cast<size_t>(window_length(engine, options));
  const auto bos = static_cast<int32_t>(engine.config().bos_token_id);
  const bool begins = !ids.empty() && ids[0] == bos;
  if (S < 4 || ids.size() < S) {
    base::fail_invalid("perplexity", "there must be a whole window of at least 4 tokens",
                       std::to_string(ids.size()) + " tokens, windows of " + std::to_string(S));
  }
  Perplexity result;
  WindowScorer scorer(engine, options);
  std::vector<int32_t> targets(S - 1);
  for (size_t at = 0; at + S <= ids.size(); at += S) {
    const std::span<int32_t> window = std::span(ids).subspan(at, S);
    std::copy(window.begin() + 1, window.end(), targets.begin());
    std::fill_n(targets.begin(), S / 2, corpus::kNotScored);
    if (begins) window[0] = bos;
    result.total.nats += sum(scorer.nats(window.first(S - 1), targets));
    const auto scored = window.subspan(S / 2 + 1);
    result.total.tokens += std::ssize(scored);
    result.total.bytes += std::ssize(tokenizer.decode(scored, false));
    if (on_scored) on_scored(static_cast<int64_t>(at + S), std::ssize(ids));
  }
  return result;
}

}  // namespace

Perplexity perplexity(engine::Engine& engine, const tokenizer::Tokenizer& tokenizer, std::string_view text,
                      const PerplexityOptions& options, const OnScored& on_scored) {
  if (options.second_half) {
    return second_halves(engine, tokenizer, tokenizer.encode(text, true), options, on_scored);
  }
  const auto bos = static_cast<int32_t>(engine.config().bos_token_id);
  std::vector<int32_t> ids = tokenizer.encode_document(text);
  if (ids.empty()) base::fail_invalid("perplexity", "there is nothing to score", "empty text");
  if (bos >= 0) ids.insert(ids.begin(), bos);
  if (ids.size() < 2) base::fail_invalid("perplexity", "there is nothing to score", "one token, and no bos before it");
  const auto S = static_cast<size_t>(window_length(engine, options));
  Perplexity result;
  WindowScorer scorer(engine, options);
  result.total.tokens = static_cast<int64_t>(ids.size()) - 1;
  result.total.bytes = static_cast<int64_t>(text.size());
  for (size_t at = 0; at + 1 < ids.size(); at += S) {
    const size_t count = std::min(S, ids.size() - 1 - at);
    result.total.nats += sum(scorer.nats(std::span(ids).subspan(at, count), std::span(ids).subspan(at + 1, count)));
    if (on_scored) on_scored(static_cast<int64_t>(at + count), result.total.tokens);
  }
  return result;
}

}  // namespace dsmoe::eval
