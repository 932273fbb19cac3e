// A corpus's validation windows as texts to score.
#pragma once

#include "corpus/batch_source.h"
#include "corpus/validation.h"

namespace dsmoe::corpus {

class ScoredWindows final : public ScoredTexts {
 public:
  /// See ValidationWindows. The dataset must outlive this.
  ScoredWindows(const TokenDataset& dataset, int64_t sequence_length, int64_t token_limit)
      : dataset_(dataset), windows_(dataset, sequence_length, token_limit) {}

  int64_t size() const override { return windows_.size(); }
  int64_t length(int64_t) const override { return windows_.sequence_length(); }
  int domain(int64_t window) const override { return windows_.domain(window); }
  void add(int64_t window, TokenBatch& out) const override {
    const size_t at = out.ids.size(), length = static_cast<size_t>(windows_.sequence_length());
    out.ids.resize(at + length);
    out.targets.resize(at + length);
    windows_.read(window, std::span(out.ids).subspan(at), std::span(out.targets).subspan(at));
    out.lengths.push_back(windows_.sequence_length());
  }
  const std::vector<std::string>& domain_names() const override { return dataset_.domain_names(); }
  int64_t bytes(int domain) const override { return windows_.bytes(domain); }

 private:
  const TokenDataset& dataset_;
  ValidationWindows windows_;
};

}  // namespace dsmoe::corpus
