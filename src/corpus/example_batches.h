// The order of learning from examples, and examples as texts to score.
//
// Step t learns from examples t G .. t G + G - 1 of a stream of epochs, in each of which every example comes once, in
// an order keyed by seed and epoch. They are packed without padding: a micro-batch takes examples, whole and in order,
// as long as they have no more tokens together than it may.
#pragma once

#include "corpus/batch_source.h"
#include "corpus/examples.h"

namespace dsmoe::corpus {

class ExampleBatches final : public BatchSource {
 public:
  struct Shape {
    uint64_t seed = 1;
    int64_t examples = 32;        ///< G
    int64_t micro_tokens = 4096;  ///< of one micro-batch; an example longer than this is one by itself
  };
  /// The set must outlive this and is not empty.
  ExampleBatches(const ExampleSet& set, const Shape& shape) : set_(set), shape_(shape) {}

  StepSize size(int64_t step) const override;
  int64_t tokens_before(int64_t step) const override;
  int64_t micro_batches(int64_t step) const override;
  void read(int64_t step, int64_t micro, TokenBatch& out) const override;

  /// Steps in which every example comes at least `epochs` times.
  int64_t steps_for(int64_t epochs) const { return (epochs * set_.size() + shape_.examples - 1) / shape_.examples; }
  /// The n-th example of the stream.
  int64_t example(int64_t n) const;

 private:
  /// Where the micro-batches of a step begin in the stream, and the end of the last.
  std::vector<int64_t> borders(int64_t step) const;

  const ExampleSet& set_;
  Shape shape_;
};

class ScoredExamples final : public ScoredTexts {
 public:
  /// All of `set`, from the first on up to about `token_limit` tokens; 0: all. Both must outlive this.
  ScoredExamples(const ExampleSet& set, const std::vector<std::string>& domains, int64_t token_limit);

  int64_t size() const override { return size_; }
  int64_t length(int64_t text) const override { return set_.length(text); }
  int domain(int64_t text) const override { return set_.domain(text); }
  void add(int64_t text, TokenBatch& out) const override { set_.add_to(text, out); }
  const std::vector<std::string>& domain_names() const override { return domains_; }
  int64_t bytes(int domain) const override;

 private:
  const ExampleSet& set_;
  const std::vector<std::string>& domains_;
  int64_t size_ = 0;
};

}  // namespace dsmoe::corpus
