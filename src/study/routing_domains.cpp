#include "study/routing_domains.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace dsmoe::study {
namespace {

using Matrix = std::vector<std::vector<double>>;

int64_t domains_used(const RoutingTrace& trace) {
  return std::ranges::count_if(tokens_by_domain(trace), [](int64_t tokens) { return tokens > 0; });
}

// Picks by window, and by domain, of one layer.
struct WindowCounts {
  Matrix windows, domains;          // [window][expert], [domain][expert]
  std::vector<int64_t> windows_of;  // [domain]
};

WindowCounts count_windows(const RoutingTrace& trace, size_t layer) {
  const auto E = static_cast<size_t>(trace.n_routed_experts);
  WindowCounts counts{
      {}, Matrix(trace.domains.size(), std::vector<double>(E, 0.0)), std::vector<int64_t>(trace.domains.size(), 0)};
  for (const RoutingTrace::Window& window : trace.windows) {
    std::vector<double> experts(E, 0.0);
    for (int64_t t = window.begin; t < window.end; ++t) {
      for (const uint16_t expert : trace.picks(layer, t)) {
        if (expert != kNoExpert) experts[expert] += 1;
      }
    }
    for (size_t e = 0; e < E; ++e) counts.domains[window.domain][e] += experts[e];
    counts.windows.push_back(std::move(experts));
    ++counts.windows_of[window.domain];
  }
  return counts;
}

// Mutual information of pick and domain where each domain weighs the same, kept so that one domain can be exchanged:
// the entropy of the mean share less the mean of the domains' entropies.
class PickInformation {
 public:
  explicit PickInformation(const Matrix& domains) : sum_E_(domains.front().size(), 0.0) {
    for (const std::vector<double>& row : domains) {
      share_DE_.push_back(shares(row));
      entropy_D_.push_back(entropy(share_DE_.back()));
      if (std::ranges::count_if(row, [](double n) { return n > 0; }) == 0) continue;
      used_ += 1;
      sum_entropy_ += entropy_D_.back();
      for (size_t e = 0; e < sum_E_.size(); ++e) sum_E_[e] += share_DE_.back()[e];
    }
  }
  double bits() const { return entropy_of_mean(sum_E_) - sum_entropy_ / used_; }
  // With other counts for one domain.
  double bits_with(size_t domain, const std::vector<double>& counts) const {
    const std::vector<double> share = shares(counts);
    std::vector<double> sum = sum_E_;
    for (size_t e = 0; e < sum.size(); ++e) sum[e] += share[e] - share_DE_[domain][e];
    return entropy_of_mean(sum) - (sum_entropy_ + entropy(share) - entropy_D_[domain]) / used_;
  }

 private:
  static std::vector<double> shares(std::vector<double> counts) {
    double total = 0;
    for (const double n : counts) total += n;
    for (double& n : counts) n = total > 0 ? n / total : 0;
    return counts;
  }
  static double entropy(const std::vector<double>& shares) {
    double bits = 0;
    for (const double p : shares) {
      if (p > 0) bits -= p * std::log2(p);
    }
    return bits;
  }
  double entropy_of_mean(const std::vector<double>& sum) const {
    double bits = 0;
    for (const double s : sum) {
      if (s > 0) bits -= s / used_ * std::log2(s / used_);
    }
    return bits;
  }

  Matrix share_DE_;
  std::vector<double> entropy_D_, sum_E_;
  double used_ = 0, sum_entropy_ = 0;
};

// One token of a domain that a reader learns from, or is asked about.
struct Case {
  int64_t token;
  size_t domain;
  double weight;
};

// The multinomial logistic regression of a token's domain on the experts it picked.
class DomainReader {
 public:
  DomainReader(const RoutingTrace& trace, size_t layer)
      : trace_(trace),
        layer_(layer),
        classes_(trace.domains.size()),
        scale_(1 / std::sqrt(static_cast<double>(trace.num_experts_per_tok))),
        weights_(static_cast<size_t>(trace.n_routed_experts) * classes_, 0.0) {}

  // Accelerated gradient steps (Nesterov) on the weighted cross entropy and the prior. The cases' weights sum to one
  // and inputs have length one, so the curvature is at most 1/2 and steps of length 2 / (1 + prior) descend.
  void learn(const std::vector<Case>& cases) {
    const double prior = 1 / static_cast<double>(cases.size()), step = 1 / (0.5 + prior);
    std::vector<double> before = weights_, ahead = weights_, gradient;
    double momentum = 1;
    for (int iteration = 0; iteration < kIterations; ++iteration) {
      gradient.assign(weights_.size(), 0.0);
      weights_.swap(ahead);  // the gradient is that of the point ahead
      for (const Case& one : cases) add_gradient(one, gradient);
      weights_.swap(ahead);
      const double next = (1 + std::sqrt(1 + 4 * momentum * momentum)) / 2, carry = (momentum - 1) / next;
      momentum = next;
      for (size_t i = 0; i < weights_.size(); ++i) {
        weights_[i] = ahead[i] - step * (gradient[i] + prior * ahead[i]);
        ahead[i] = weights_[i] + carry * (weights_[i] - before[i]);
      }
      before = weights_;
    }
  }
  // Bits of the right domain's code.
  double cost(const Case& one) {
    read(one.token);
    return -std::log2(std::max(probability_[one.domain], 1e-300));
  }

 private:
  static constexpr int kIterations = 100;

  // The probability of each domain that has tokens.
  void read(int64_t token) {
    probability_.assign(classes_, 0.0);
    for (const uint16_t expert : trace_.picks(layer_, token)) {
      if (expert == kNoExpert) continue;
      const double* row = weights_.data() + expert * classes_;
      for (size_t d = 0; d < classes_; ++d) probability_[d] += row[d];
    }
    double sum = 0;
    for (size_t d = 0; d < classes_; ++d) {
      probability_[d] = tokens_[d] > 0 ? std::exp(scale_ * probability_[d]) : 0;
      sum += probability_[d];
    }
    for (double& p : probability_) p /= sum;
  }
  void add_gradient(const Case& one, std::vector<double>& gradient) {
    read(one.token);
    probability_[one.domain] -= 1;
    for (const uint16_t expert : trace_.picks(layer_, one.token)) {
      if (expert == kNoExpert) continue;
      double* row = gradient.data() + expert * classes_;
      for (size_t d = 0; d < classes_; ++d) row[d] += scale_ * one.weight * probability_[d];
    }
  }

  const RoutingTrace& trace_;
  size_t layer_, classes_;
  double scale_;
  std::vector<int64_t> tokens_ = tokens_by_domain(trace_);
  std::vector<double> weights_, probability_;
};

// The first and the second half of each domain's tokens, thinned out, domains weighing the same within each half.
std::vector<std::vector<Case>> halves(const RoutingTrace& trace, int64_t longest) {
  const std::vector<int64_t> tokens = tokens_by_domain(trace);
  const int64_t stride = std::max<int64_t>(1, (trace.size() + longest - 1) / longest);
  std::vector<std::vector<Case>> halves(2);
  std::vector<std::vector<double>> seen(2, std::vector<double>(tokens.size(), 0.0));
  std::vector<int64_t> place(tokens.size(), 0);
  for (const RoutingTrace::Window& window : trace.windows) {
    for (int64_t t = window.begin; t < window.end; ++t) {
      const int64_t i = place[window.domain]++;
      const size_t half = 2 * i >= tokens[window.domain] ? 1 : 0;
      if (i % stride != 0) continue;
      halves[half].push_back({t, window.domain, 0});
      seen[half][window.domain] += 1;
    }
  }
  for (size_t half = 0; half < 2; ++half) {
    const auto used = static_cast<double>(std::ranges::count_if(seen[half], [](double n) { return n > 0; }));
    for (Case& one : halves[half]) one.weight = 1 / (used * seen[half][one.domain]);
  }
  return halves;
}

}  // namespace

DomainBits pick_bits(const RoutingTrace& trace, size_t layer) {
  DomainBits out;
  const int64_t D = domains_used(trace);
  if (D < 2) return out;
  const double width = static_cast<double>(trace.n_routed_experts) / static_cast<double>(trace.num_experts_per_tok);
  out.most = std::min(std::log2(static_cast<double>(D)), std::log2(width));

  const WindowCounts counts = count_windows(trace, layer);
  const PickInformation information(counts.domains);
  out.bits = information.bits();
  const double w = 1 / static_cast<double>(D);
  std::vector<std::vector<double>> without(trace.domains.size());  // [domain] I_-w of its windows
  for (size_t i = 0; i < trace.windows.size(); ++i) {
    const size_t domain = trace.windows[i].domain;
    if (counts.windows_of[domain] < 2) continue;
    std::vector<double> rest = counts.domains[domain];
    for (size_t e = 0; e < rest.size(); ++e) rest[e] -= counts.windows[i][e];
    without[domain].push_back(information.bits_with(domain, rest));
  }
  const std::vector<int64_t> tokens = tokens_by_domain(trace);
  double variance = 0;
  for (size_t d = 0; d < without.size(); ++d) {
    if (counts.windows_of[d] == 1) {
      out.chance += (width - 1) / (2 * std::numbers::ln2) * w * (1 - w) / static_cast<double>(tokens[d]);
    }
    const auto W = static_cast<double>(without[d].size());
    if (W < 2) continue;
    double mean = 0;
    for (const double bits : without[d]) mean += bits / W;
    out.chance += (W - 1) * (mean - out.bits);
    for (const double bits : without[d]) variance += (W - 1) / W * (bits - mean) * (bits - mean);
  }
  out.deviation = std::sqrt(variance);
  return out;
}

DomainBits token_bits(const RoutingTrace& trace, size_t layer, int64_t longest) {
  DomainBits out;
  const int64_t D = domains_used(trace);
  if (D < 2) return out;
  out.most = std::log2(static_cast<double>(D));
  const auto cases = halves(trace, longest);
  for (size_t half = 0; half < 2; ++half) {
    if (cases[half].empty() || cases[1 - half].empty()) continue;
    DomainReader reader(trace, layer);
    reader.learn(cases[1 - half]);
    double cost = 0;
    for (const Case& one : cases[half]) cost += one.weight * reader.cost(one);
    out.bits += (out.most - cost) / 2;
  }
  return out;
}

std::vector<DomainSpecialisation> specialisation_by_domain(const RoutingTrace& trace,
                                                           const base::ParallelFor& parallel) {
  std::vector<DomainSpecialisation> out(trace.layers.size());
  parallel(static_cast<int64_t>(out.size()), 1, [&](int64_t begin, int64_t end) {
    for (auto layer = static_cast<size_t>(begin); layer < static_cast<size_t>(end); ++layer) {
      out[layer] = {pick_bits(trace, layer), token_bits(trace, layer)};
    }
  });
  return out;
}

}  // namespace dsmoe::study
