// The order of training: which S+1 token ids are row r of step t, as a pure function of (seed, t, r). Nothing is
// remembered between calls, so resuming a run, or giving its rows to other machines, needs the step and nothing else.
//
// The n-th sequence of a run, n = step * global_batch + row, is found in three steps, each random access:
//
//   1. Its domain. Each domain owns a share of the residues 0..M-1, in proportion to its weight, and sequence n takes
//      the residue (a n + b) mod M with a/M near the golden ratio: every stretch of sequences, each batch too, holds
//      each domain in its proportion to within a few sequences, so that the mixture adds no noise to the gradient.
//      Without weights the shares are the domains' windows in an epoch and M their sum. How often the domain was drawn
//      before n is a count of lattice points, O(log M).
//   2. Its window. The k-th draw of a domain with W windows takes window p(k mod W) in the domain's epoch k / W, where
//      p is a shuffle keyed by seed, domain and epoch.
//   3. Its tokens. An epoch of a domain is all of its documents, whole, one after another, in an order of its own;
//      window w is ids [w S, w S + S] of that stream, so W = (tokens - 1) / S, rounded down.
//
// What is seen: in an epoch of a domain every token but the first is a target exactly once, except for a tail of fewer
// than S, which other documents form in the next epoch. Without weights all domains pass their epochs together: M
// sequences show every window once. A domain with no window (fewer than S + 1 tokens) is left out.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "corpus/dataset.h"

namespace dsmoe::corpus {

class BatchOrder {
 public:
  /// `weights`, domain to weight >= 0, need not sum to 1; domains not named are left out; empty means in proportion to
  /// tokens. The dataset must outlive this. Throws base::Error(kInvalid) for unknown names, bad weights, and domains
  /// with a weight but too few tokens for one window.
  BatchOrder(const TokenDataset& dataset, uint64_t seed, int64_t sequence_length,
             const std::map<std::string, double>& weights = {});
  ~BatchOrder();

  /// Fills `out` with the S+1 ids of a row and says its domain. Safe from several threads.
  void sequence(int64_t step, int64_t row, int64_t global_batch, std::span<int32_t> out, int& domain) const;

  struct Pick {
    int domain;
    int64_t epoch, window;
    bool operator==(const Pick&) const = default;
  };
  /// Which window sequence n is.
  Pick pick(int64_t n) const;
  /// The S+1 ids of a window.
  void read(const Pick& pick, std::span<int32_t> out) const;

  int64_t sequence_length() const { return sequence_length_; }
  int64_t windows(int domain) const { return domains_[static_cast<size_t>(domain)].windows; }
  /// The part of all sequences that a domain gets, in [0, 1].
  double share(int domain) const;
  /// How many of the first n sequences are of a domain; by windows(), how many epochs it has passed.
  int64_t draws(int domain, int64_t n) const;
  /// Sequences in which, without weights, every window comes once.
  int64_t sequences_per_epoch() const;

 private:
  struct Domain {
    std::vector<int64_t> documents;
    int64_t tokens = 0, windows = 0;
    uint64_t share_begin = 0, share_end = 0;  // residues
  };
  struct Layout;  // the shuffled documents of one epoch

  std::vector<double> checked_weights(const std::map<std::string, double>& weights) const;
  void give_shares(const std::vector<uint64_t>& shares);
  std::shared_ptr<const Layout> layout(int domain, int64_t epoch) const;

  const TokenDataset& dataset_;
  uint64_t seed_;
  int64_t sequence_length_;
  std::vector<Domain> domains_;
  uint64_t modulus_ = 0, multiplier_ = 0, offset_ = 0;  // M, a, b

  // The last two epochs asked for of each domain. Only spares work: what it holds is a function of its key.
  mutable std::mutex mutex_;
  mutable std::vector<std::shared_ptr<const Layout>> layouts_;
};

}  // namespace dsmoe::corpus
