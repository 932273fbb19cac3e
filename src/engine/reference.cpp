#include "engine/reference.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "kernels/product.h"

namespace dsmoe::engine {
namespace {

using Vector = std::vector<double>;

double silu(double x) { return x / (1 + std::exp(-x)); }

Vector times(const kernels::Matrix& weights, const Vector& x) {
  Vector y(static_cast<size_t>(weights.rows));
  std::vector<float> row(static_cast<size_t>(weights.cols));
  for (int64_t n = 0; n < weights.rows; ++n) {
    kernels::weight_row(weights, n, row);
    for (size_t k = 0; k < row.size(); ++k) y[static_cast<size_t>(n)] += double{row[k]} * x[k];
  }
  return y;
}

void add(Vector& x, const Vector& y, double scale = 1) {
  for (size_t i = 0; i < x.size(); ++i) x[i] += scale * y[i];
}

Vector times(const kernels::Matrix& weights, const kernels::LowRank& adapter, const Vector& x) {
  Vector y = times(weights, x);
  if (!adapter.adds()) return y;
  const Vector narrow = times(adapter.a, x);
  std::vector<float> row(y.size());
  for (int64_t r = 0; r < adapter.b.rows; ++r) {
    kernels::weight_row(adapter.b, r, row);
    add(y, {row.begin(), row.end()}, narrow[static_cast<size_t>(r)]);
  }
  return y;
}

Vector rms_norm(const Vector& x, const std::vector<float>& weight, double eps) {
  double squares = 0;
  for (const double value : x) squares += value * value;
  Vector y = x;
  for (size_t i = 0; i < y.size(); ++i) {
    y[i] *= weight[i] / std::sqrt(squares / static_cast<double>(x.size()) + eps);
  }
  return y;
}

/// Element i of a head pairs with i + A/2 and turns by position * theta^(-2i/A).
void rotate(Vector& heads, int64_t head_dim, double theta, int64_t position) {
  const size_t half = static_cast<size_t>(head_dim) / 2;
  for (size_t begin = 0; begin < heads.size(); begin += 2 * half) {
    for (size_t i = 0; i < half; ++i) {
      const double angle = static_cast<double>(position) *
                           std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim));
      const double a = heads[begin + i], b = heads[begin + half + i];
      heads[begin + i] = a * std::cos(angle) - b * std::sin(angle);
      heads[begin + half + i] = b * std::cos(angle) + a * std::sin(angle);
    }
  }
}

/// Queries of one token over all keys and values so far.
Vector attend(const Vector& q, const std::vector<Vector>& keys, const std::vector<Vector>& values, size_t head_dim,
              size_t group) {
  Vector out(q.size());
  for (size_t head = 0; head * head_dim < q.size(); ++head) {
    const size_t at = head * head_dim, kv_at = head / group * head_dim;
    Vector scores;
    for (const Vector& key : keys) {
      double score = 0;
      for (size_t d = 0; d < head_dim; ++d) score += q[at + d] * key[kv_at + d];
      scores.push_back(score / std::sqrt(static_cast<double>(head_dim)));
    }
    const double top = *std::max_element(scores.begin(), scores.end());
    double total = 0;
    for (double& score : scores) total += score = std::exp(score - top);
    for (size_t j = 0; j < values.size(); ++j) {
      for (size_t d = 0; d < head_dim; ++d) out[at + d] += scores[j] / total * values[j][kv_at + d];
    }
  }
  return out;
}

Vector ffn(const kernels::Ffn& weights, const Vector& x) {
  Vector hidden = times(weights.gate, weights.gate_adapter, x);
  const Vector up = times(weights.up, weights.up_adapter, x);
  for (size_t f = 0; f < hidden.size(); ++f) hidden[f] = silu(hidden[f]) * up[f];
  return times(weights.down, weights.down_adapter, hidden);
}

/// Indices from best to worst, of equals the lower first.
std::vector<int32_t> ranked(const Vector& scores) {
  std::vector<int32_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return scores[static_cast<size_t>(a)] > scores[static_cast<size_t>(b)];
  });
  return order;
}

/// What separates the first n of a ranking from the rest.
double gap(const Vector& scores, const std::vector<int32_t>& order, size_t n) {
  if (n == 0 || n >= order.size()) return std::numeric_limits<double>::infinity();
  const double last = scores[static_cast<size_t>(order[n - 1])], next = scores[static_cast<size_t>(order[n])];
  return std::isinf(last) || std::isinf(next) ? std::numeric_limits<double>::infinity() : last - next;
}

Vector affinities_of(const spec::ModelConfig& config, std::span<const double> logits) {
  Vector s;
  double total = 0;
  const double top = *std::max_element(logits.begin(), logits.end());
  for (const double logit : logits) {
    s.push_back(config.scoring_func == spec::ScoringFunc::kSigmoid ? 1 / (1 + std::exp(-logit))
                                                                   : std::exp(logit - top));
    total += s.back();
  }
  if (config.scoring_func == spec::ScoringFunc::kSoftmax) {
    for (double& x : s) x /= total;
  }
  return s;
}

constexpr double kNever = -std::numeric_limits<double>::infinity();

/// Only the best topk_group groups stay: by maximum (V2) or by the sum of the two best (V3).
void keep_best_groups(const spec::ModelConfig& config, Vector& scores, double& margin) {
  const size_t groups = static_cast<size_t>(config.n_group), size = scores.size() / groups;
  Vector group_scores;
  for (size_t g = 0; g < groups; ++g) {
    Vector members(scores.begin() + static_cast<int64_t>(g * size),
                   scores.begin() + static_cast<int64_t>((g + 1) * size));
    std::sort(members.rbegin(), members.rend());
    const bool two = config.topk_method == spec::TopkMethod::kNoauxTc && size > 1;
    group_scores.push_back(members[0] + (two ? members[1] : 0));
  }
  const auto order = ranked(group_scores);
  const size_t kept = static_cast<size_t>(config.topk_group);
  margin = std::min(margin, gap(group_scores, order, kept));
  for (size_t i = kept; i < groups; ++i) {
    for (size_t e = 0; e < size; ++e) scores[static_cast<size_t>(order[i]) * size + e] = kNever;
  }
}

std::vector<int32_t> picked(const spec::ModelConfig& config, const Vector& s, std::span<const float> bias,
                            int64_t layer, const Intervention& intervention, double& margin) {
  Vector scores = s;
  for (size_t e = 0; e < bias.size(); ++e) scores[e] += bias[e];
  if (config.topk_method != spec::TopkMethod::kGreedy) keep_best_groups(config, scores, margin);
  const auto top = static_cast<size_t>(
      std::llround(intervention.masked_top_fraction * static_cast<double>(config.n_routed_experts)));
  const auto by_affinity = ranked(s);
  if (top > 0) margin = std::min(margin, gap(s, by_affinity, top));
  for (size_t i = 0; i < top; ++i) scores[static_cast<size_t>(by_affinity[i])] = kNever;
  for (const auto& [masked_layer, experts] : intervention.masked) {
    if (masked_layer != layer && masked_layer != Intervention::kEveryLayer) continue;
    for (const int32_t e : experts) scores[static_cast<size_t>(e)] = kNever;
  }
  auto order = ranked(scores);
  const auto k = static_cast<size_t>(intervention.slots(config, layer));
  margin = std::min(margin, gap(scores, order, k));
  order.resize(k);
  while (!order.empty() && scores[static_cast<size_t>(order.back())] == kNever) order.pop_back();
  return order;
}

}  // namespace

Reference::Choice reference_choice(const spec::ModelConfig& config, std::span<const double> logits_E,
                                   std::span<const float> bias_E, int64_t layer, const Intervention& intervention,
                                   double& margin) {
  const Vector s = affinities_of(config, logits_E);
  Reference::Choice choice;
  const auto* forced = intervention.forced_in(layer);
  choice.experts = forced ? *forced : picked(config, s, bias_E, layer, intervention, margin);
  double sum = 0;
  for (const int32_t e : choice.experts) sum += s[static_cast<size_t>(e)];
  for (const int32_t e : choice.experts) {
    double gate = s[static_cast<size_t>(e)];
    if (config.normalizes_gates()) gate /= sum + config.gate_epsilon();
    if (config.scales_gates()) gate *= config.routed_scaling_factor;
    choice.gates.push_back(gate);
  }
  return choice;
}

namespace {

Reference::Choice hash_choice(const spec::ModelConfig& config, const LayerWeights& weights, int32_t token,
                              int64_t layer, const Intervention& intervention) {
  Reference::Choice choice;
  if (const auto* forced = intervention.forced_in(layer)) choice.experts = *forced;
  for (int64_t k = 0; !intervention.forced_in(layer) && k < intervention.slots(config, layer); ++k) {
    const int32_t expert = weights.hash_table[static_cast<size_t>(token * config.num_experts_per_tok + k)];
    if (!intervention.masks(layer, expert)) choice.experts.push_back(expert);
  }
  choice.gates.assign(choice.experts.size(), 1.0);  // no multiplier
  return choice;
}

// Neighbours of each head apart: the even elements, then the odd ones (formats/gguf_model.h).
Vector apart(const Vector& heads, size_t head_dim) {
  Vector out(heads.size());
  for (size_t i = 0; i < heads.size(); ++i) {
    const size_t within = i % head_dim;
    out[i - within + within / 2 + within % 2 * (head_dim / 2)] = heads[i];
  }
  return out;
}

}  // namespace

Reference reference_forward(const Weights& weights, std::span<const int32_t> tokens, const Intervention& intervention) {
  const spec::ModelConfig& c = weights.config();
  const auto layers = static_cast<size_t>(c.num_hidden_layers);
  const auto head_dim = static_cast<size_t>(c.head_dim());
  const auto group = static_cast<size_t>(c.num_attention_heads / c.num_key_value_heads);
  Reference result;
  result.choices.resize(layers);
  std::vector<std::vector<Vector>> keys(layers), values(layers);  // layer, position
  for (const int32_t token : tokens) {
    const auto position = static_cast<int64_t>(keys[0].size());
    double margin = std::numeric_limits<double>::infinity();
    Vector x;
    for (int64_t d = 0; d < c.hidden_size; ++d) x.push_back(kernels::weight_at(weights.embedding(), token, d));
    for (size_t layer = 0; layer < layers; ++layer) {
      const LayerWeights& w = weights.layers()[layer];
      Vector h = rms_norm(x, w.attention_norm, c.rms_norm_eps);
      Vector q = times(w.q, w.q_adapter, h), k = times(w.k, w.k_adapter, h);
      if (weights.pairs_neighbours()) {
        q = apart(q, head_dim);
        k = apart(k, head_dim);
      }
      rotate(q, c.head_dim(), c.rope_theta, position);
      rotate(k, c.head_dim(), c.rope_theta, position);
      keys[layer].push_back(k);
      values[layer].push_back(times(w.v, w.v_adapter, h));
      add(x, times(w.o, w.o_adapter, attend(q, keys[layer], values[layer], head_dim, group)));

      h = rms_norm(x, w.ffn_norm, c.rms_norm_eps);
      if (!w.is_moe) {
        add(x, ffn(w.dense, h));
        continue;
      }
      const auto l = static_cast<int64_t>(layer);
      auto choice = w.hash_table.empty()
                        ? reference_choice(c, times(w.router, h), w.router_bias, l, intervention, margin)
                        : hash_choice(c, w, token, l, intervention);
      for (size_t i = 0; i < choice.experts.size(); ++i) {
        choice.outputs.push_back(ffn(w.experts[static_cast<size_t>(choice.experts[i])], h));
        add(x, choice.outputs[i], choice.gates[i]);
      }
      if (w.has_shared() && !intervention.drop_shared) add(x, ffn(w.shared, h));
      result.choices[layer].push_back(std::move(choice));
    }
    const Vector logits = times(weights.head(), rms_norm(x, weights.final_norm(), c.rms_norm_eps));
    result.logits_TV.insert(result.logits_TV.end(), logits.begin(), logits.end());
    result.margins_T.push_back(margin);
  }
  return result;
}

}  // namespace dsmoe::engine
