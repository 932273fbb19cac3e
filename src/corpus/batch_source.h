// What a run trains on and is scored on, as the model reads it: texts one after another, each token with its target.
//
// Two interfaces: a BatchSource says which texts each step of a run learns from, ScoredTexts what is scored now and
// then. The windows of a corpus (batches.h, validation.h) and the examples of conversations (example_batches.h) stand
// behind both.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace dsmoe::corpus {

/// A target that does not count; what LibTorch's cross entropy ignores by default.
inline constexpr int32_t kNotScored = -100;

/// Texts that a model reads at once. None sees another, and each has the positions 0, 1, ...
struct TokenBatch {
  std::vector<int32_t> ids, targets;  ///< [T]; a target is what follows its id, or kNotScored where there is no loss
  std::vector<int64_t> lengths;       ///< of each text; they sum to T

  /// One text of S ids from S + 1: the targets are the ids one further.
  void add_window(std::span<const int32_t> window);
  void clear() { ids.clear(), targets.clear(), lengths.clear(); }
};

/// How much a step learns from.
struct StepSize {
  int64_t tokens = 0;   ///< that the model reads
  int64_t targets = 0;  ///< with a loss, at least 1: the loss is the mean over these
};

/// A pure function of the step, so that going on with a run needs the step and nothing else.
class BatchSource {
 public:
  virtual ~BatchSource() = default;
  virtual StepSize size(int64_t step) const = 0;
  /// The sum of size().tokens over the steps before this one.
  virtual int64_t tokens_before(int64_t step) const = 0;
  /// A step is read in this many pieces, at least one.
  virtual int64_t micro_batches(int64_t step) const = 0;
  /// Replaces what `out` holds.
  virtual void read(int64_t step, int64_t micro, TokenBatch& out) const = 0;
};

/// Texts to score, in an order of their own.
class ScoredTexts {
 public:
  virtual ~ScoredTexts() = default;
  virtual int64_t size() const = 0;
  /// Ids of a text.
  virtual int64_t length(int64_t text) const = 0;
  virtual int domain(int64_t text) const = 0;
  /// Adds it behind what `out` holds.
  virtual void add(int64_t text, TokenBatch& out) const = 0;

  virtual const std::vector<std::string>& domain_names() const = 0;
  /// Bytes of what a domain's targets spell.
  virtual int64_t bytes(int domain) const = 0;
};

/// Fills the S + 1 ids of row `row` of the global batch of `step`: a pure function of the two.
using RowSource = std::function<void(int64_t step, int64_t row, std::span<int32_t> out)>;

/// Rows of one length, `micro_batch` at a time; every token has a target.
class RowBatches final : public BatchSource {
 public:
  /// `global_batch` rows a step, a multiple of `micro_batch`.
  struct Shape {
    int64_t micro_batch, global_batch, sequence_length;
  };
  RowBatches(RowSource rows, const Shape& shape) : rows_(std::move(rows)), shape_(shape) {}

  StepSize size(int64_t) const override { return {tokens_per_step(), tokens_per_step()}; }
  int64_t tokens_before(int64_t step) const override { return step * tokens_per_step(); }
  int64_t micro_batches(int64_t) const override { return shape_.global_batch / shape_.micro_batch; }
  void read(int64_t step, int64_t micro, TokenBatch& out) const override;

 private:
  int64_t tokens_per_step() const { return shape_.global_batch * shape_.sequence_length; }

  RowSource rows_;
  Shape shape_;
};

}  // namespace dsmoe::corpus
