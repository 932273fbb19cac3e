#include "corpus/batches.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/rng.h"
#include "corpus/keyed_permutation.h"
#include "corpus/lattice.h"
#include "corpus/token_stream.h"

namespace dsmoe::corpus {
namespace {

// Streams of random_bits: one purpose each.
constexpr uint64_t kOffsetStream = 0x6f66667365740000, kWindowStream = 0x77696e646f770000,
                   kDocumentStream = 0x646f63756d000000;
// With weights the residues only set how finely shares are rounded.
constexpr uint64_t kWeightedModulus = uint64_t{1} << 40;

// Whole numbers in proportion to the weights, summing to `total`: each rounded down, the rest to the largest
// remainders.
std::vector<uint64_t> apportion(const std::vector<double>& weights, uint64_t total) {
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  std::vector<uint64_t> shares;
  std::vector<std::pair<double, size_t>> remainders;
  uint64_t given = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    const double exact = weights[i] / sum * static_cast<double>(total);
    shares.push_back(std::min(static_cast<uint64_t>(exact), total - given));
    given += shares.back();
    if (weights[i] > 0) remainders.emplace_back(static_cast<double>(shares.back()) - exact, i);
  }
  std::sort(remainders.begin(), remainders.end());
  for (size_t i = 0; given < total; ++i, ++given) ++shares[remainders[i % remainders.size()].second];
  return shares;
}

}  // namespace

struct BatchOrder::Layout {
  int64_t epoch;
  TokenStream stream;
};

BatchOrder::BatchOrder(const TokenDataset& dataset, uint64_t seed, int64_t sequence_length,
                       const std::map<std::string, double>& weights)
    : dataset_(dataset),
      seed_(seed),
      sequence_length_(sequence_length),
      domains_(dataset.domain_names().size()),
      layouts_(2 * domains_.size()) {
  if (sequence_length < 1) {
    base::fail_invalid("data", "sequence_length must be at least 1", std::to_string(sequence_length));
  }
  for (int64_t document = 0; document < dataset.documents(); ++document) {
    Domain& domain = domains_[static_cast<size_t>(dataset.domain(document))];
    domain.documents.push_back(document);
    domain.tokens += dataset.tokens_in(document);
  }
  std::vector<uint64_t> shares;
  for (Domain& domain : domains_) {
    domain.windows = std::max<int64_t>(domain.tokens - 1, 0) / sequence_length;
    shares.push_back(static_cast<uint64_t>(domain.windows));
  }
  if (!weights.empty()) shares = apportion(checked_weights(weights), kWeightedModulus);
  give_shares(shares);
}

BatchOrder::~BatchOrder() = default;

std::vector<double> BatchOrder::checked_weights(const std::map<std::string, double>& weights) const {
  std::vector<double> out(domains_.size());
  double sum = 0;
  for (const auto& [name, weight] : weights) {
    const auto domain = static_cast<size_t>(dataset_.domain_of(name));
    if (!(weight >= 0) || !std::isfinite(weight)) {
      base::fail_invalid("data", "a domain's weight must be a number from 0 up", name + " = " + std::to_string(weight));
    }
    if (weight > 0 && domains_[domain].windows == 0) {
      base::fail_invalid("data", "a domain is too small for one window of sequence_length + 1 tokens",
                         name + " has " + std::to_string(domains_[domain].tokens) + " tokens, " +
                             std::to_string(sequence_length_ + 1) + " needed",
                         "lower train.sequence_length or leave the domain's weight out");
    }
    out[domain] = weight;
    sum += weight;
  }
  if (!(sum > 0) || !std::isfinite(sum)) {
    base::fail_invalid("data", "the weights must have a positive, finite sum", std::to_string(sum));
  }
  return out;
}

void BatchOrder::give_shares(const std::vector<uint64_t>& shares) {
  for (size_t i = 0; i < domains_.size(); ++i) {
    domains_[i].share_begin = modulus_;
    modulus_ += shares[i];
    domains_[i].share_end = modulus_;
  }
  if (modulus_ == 0) {
    base::fail_invalid("data", "no domain has sequence_length + 1 tokens",
                       std::to_string(dataset_.total_tokens()) + " tokens in all, " +
                           std::to_string(sequence_length_ + 1) + " needed in one domain",
                       "lower train.sequence_length or give more text");
  }
  const Lattice lattice = Lattice::golden(modulus_, base::random_bits(seed_, kOffsetStream, 0));
  multiplier_ = lattice.multiplier;
  offset_ = lattice.offset;
}

BatchOrder::Pick BatchOrder::pick(int64_t n) const {
  const Lattice lattice{modulus_, multiplier_, offset_};
  const uint64_t residue = lattice.residue(static_cast<uint64_t>(n));
  const auto found = std::upper_bound(domains_.begin(), domains_.end(), residue,
                                      [](uint64_t value, const Domain& domain) { return value < domain.share_end; });
  const int index = static_cast<int>(found - domains_.begin());
  const int64_t draw = draws(index, n), epoch = draw / found->windows;
  const KeyedPermutation shuffle(
      static_cast<uint64_t>(found->windows),
      base::random_bits(seed_, kWindowStream + static_cast<uint64_t>(index), static_cast<uint64_t>(epoch)));
  return {index, epoch, static_cast<int64_t>(shuffle(static_cast<uint64_t>(draw % found->windows)))};
}

int64_t BatchOrder::draws(int domain, int64_t n) const {
  const Domain& d = domains_[static_cast<size_t>(domain)];
  const Lattice lattice{modulus_, multiplier_, offset_};
  return static_cast<int64_t>(lattice.visits(static_cast<uint64_t>(n), d.share_begin, d.share_end));
}

double BatchOrder::share(int domain) const {
  const Domain& d = domains_[static_cast<size_t>(domain)];
  return static_cast<double>(d.share_end - d.share_begin) / static_cast<double>(modulus_);
}

int64_t BatchOrder::sequences_per_epoch() const {
  int64_t sum = 0;
  for (const Domain& domain : domains_) sum += domain.windows;
  return sum;
}

std::shared_ptr<const BatchOrder::Layout> BatchOrder::layout(int domain, int64_t epoch) const {
  const std::lock_guard lock(mutex_);
  auto& cached = layouts_[2 * static_cast<size_t>(domain) + static_cast<size_t>(epoch % 2)];
  if (cached && cached->epoch == epoch) return cached;
  std::vector<int64_t> documents = domains_[static_cast<size_t>(domain)].documents;
  base::Rng rng(
      base::random_bits(seed_, kDocumentStream + static_cast<uint64_t>(domain), static_cast<uint64_t>(epoch)));
  rng.shuffle(documents);
  auto made = std::make_shared<Layout>(Layout{epoch, {}});
  for (const int64_t document : documents) made->stream.add(dataset_, document);
  return cached = std::move(made);
}

void BatchOrder::read(const Pick& pick, std::span<int32_t> out) const {
  DSMOE_CHECK(static_cast<int64_t>(out.size()) == sequence_length_ + 1, "room for S+1 ids");
  layout(pick.domain, pick.epoch)->stream.read(dataset_, pick.window * sequence_length_, out);
}

void BatchOrder::sequence(int64_t step, int64_t row, int64_t global_batch, std::span<int32_t> out, int& domain) const {
  DSMOE_CHECK(step >= 0 && row >= 0 && row < global_batch, "a row of a batch");
  const Pick picked = pick(step * global_batch + row);
  read(picked, out);
  domain = picked.domain;
}

}  // namespace dsmoe::corpus
