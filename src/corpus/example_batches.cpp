#include "corpus/example_batches.h"

#include "base/rng.h"
#include "corpus/keyed_permutation.h"

namespace dsmoe::corpus {
namespace {

constexpr uint64_t kExampleStream = 0x6578616d706c6500;  // random_bits for the order of examples alone

}  // namespace

int64_t ExampleBatches::example(int64_t n) const {
  const auto size = static_cast<uint64_t>(set_.size()), at = static_cast<uint64_t>(n);
  const KeyedPermutation order(size, base::random_bits(shape_.seed, kExampleStream, at / size));
  return static_cast<int64_t>(order(at % size));
}

StepSize ExampleBatches::size(int64_t step) const {
  StepSize sum;
  for (int64_t n = step * shape_.examples; n < (step + 1) * shape_.examples; ++n) {
    sum.tokens += set_.length(example(n));
    sum.targets += set_.targets(example(n));
  }
  return sum;
}

int64_t ExampleBatches::tokens_before(int64_t step) const {
  const int64_t end = step * shape_.examples, epochs = end / set_.size();
  int64_t tokens = epochs * set_.tokens();
  for (int64_t n = epochs * set_.size(); n < end; ++n) tokens += set_.length(example(n));
  return tokens;
}

std::vector<int64_t> ExampleBatches::borders(int64_t step) const {
  const int64_t begin = step * shape_.examples, end = begin + shape_.examples;
  std::vector<int64_t> borders = {begin};
  int64_t tokens = 0;
  for (int64_t n = begin; n < end; ++n) {
    const int64_t length = set_.length(example(n));
    if (tokens > 0 && tokens + length > shape_.micro_tokens) {
      borders.push_back(n);
      tokens = 0;
    }
    tokens += length;
  }
  borders.push_back(end);
  return borders;
}

int64_t ExampleBatches::micro_batches(int64_t step) const { return std::ssize(borders(step)) - 1; }

void ExampleBatches::read(int64_t step, int64_t micro, TokenBatch& out) const {
  out.clear();
  const std::vector<int64_t> borders = this->borders(step);
  const auto at = static_cast<size_t>(micro);
  for (int64_t n = borders[at]; n < borders[at + 1]; ++n) set_.add_to(example(n), out);
}

ScoredExamples::ScoredExamples(const ExampleSet& set, const std::vector<std::string>& domains, int64_t token_limit)
    : set_(set), domains_(domains) {
  for (int64_t tokens = 0; size_ < set.size() && (token_limit == 0 || tokens < token_limit); ++size_) {
    tokens += set.length(size_);
  }
}

int64_t ScoredExamples::bytes(int domain) const {
  int64_t bytes = 0;
  for (int64_t i = 0; i < size_; ++i) bytes += set_.domain(i) == domain ? set_.bytes(i) : 0;
  return bytes;
}

}  // namespace dsmoe::corpus
