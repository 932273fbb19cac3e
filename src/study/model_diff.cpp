#include "study/model_diff.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/memory.h"
#include "study/routing_saturation.h"
#include "study/token_text.h"

namespace dsmoe::study {
namespace {

constexpr double kEdges[] = {-4, -2, -1, -0.5, -0.1, 0.1, 0.5, 1, 2, 4};
constexpr size_t kPlaces = 20;
constexpr int64_t kBefore = 12, kBehind = 6;  // tokens around a place
constexpr int64_t kPassage = 96;              // tokens

using Window = RoutingTrace::Window;

// Differences and texts of one comparison.
class Comparison {
 public:
  Comparison(const ReadText& text, const Reading& a, const Reading& b, const tokenizer::Tokenizer* tokenizer)
      : text_(text), a_(a), b_(b), tokenizer_(tokenizer) {
    for (size_t t = 0; t < a.nats.size(); ++t) {
      if (!std::isfinite(a.nats[t]) || !std::isfinite(b.nats[t])) {
        base::fail(base::ErrorKind::kNonFinite, "study", "a model's logits are not finite",
                   std::isfinite(a.nats[t]) ? "the second" : "the first",
                   "its weights are damaged or its training has diverged");
      }
      differences_.push_back(b.nats[t] - a.nats[t]);
    }
  }

  std::vector<ModelDiff::Step> steps() const {
    std::vector<ModelDiff::Step> steps;
    for (size_t i = 0; i <= std::size(kEdges); ++i) {
      steps.push_back({i == 0 ? -INFINITY : kEdges[i - 1], i == std::size(kEdges) ? INFINITY : kEdges[i], 0, 0});
    }
    for (const double difference : differences_) {
      ModelDiff::Step& step = steps[static_cast<size_t>(std::ranges::upper_bound(kEdges, difference) - kEdges)];
      ++step.tokens;
      step.nats += difference / static_cast<double>(differences_.size());
    }
    return steps;
  }

  /// The places of the largest differences times `sign`, those above zero.
  std::vector<ModelDiff::Place> places(double sign) const {
    std::vector<size_t> order(differences_.size());
    std::iota(order.begin(), order.end(), size_t{0});
    const size_t most = std::min(kPlaces, order.size());
    std::ranges::partial_sort(order, order.begin() + static_cast<std::ptrdiff_t>(most), [&](size_t x, size_t y) {
      const double one = sign * differences_[x], other = sign * differences_[y];
      return one != other ? one > other : x < y;
    });
    std::vector<ModelDiff::Place> places;
    for (size_t i = 0; i < most && sign * differences_[order[i]] > 0; ++i) {
      places.push_back(place(static_cast<int64_t>(order[i])));
    }
    return places;
  }

  /// Of each domain the stretch of a window whose differences are largest, whatever their sign.
  std::vector<ModelDiff::Passage> passages() const {
    std::vector<ModelDiff::Passage> passages;
    for (size_t domain = 0; domain < text_.domains.size(); ++domain) {
      int64_t best = -1, length = 0;
      double most = -1;
      for (const Window& window : text_.windows) {
        if (window.domain != domain) continue;
        for (int64_t begin = window.begin; begin < window.end; begin += kPassage) {
          const int64_t end = std::min(begin + kPassage, window.end);
          double sum = 0;
          for (int64_t t = begin; t < end; ++t) sum += std::abs(differences_[static_cast<size_t>(t)]);
          if (sum > most) best = begin, length = end - begin, most = sum;
        }
      }
      if (best < 0) continue;
      passages.push_back({text_.domains[domain], {}});
      for (int64_t t = best; t < best + length; ++t) passages.back().tokens.push_back(token(t));
    }
    return passages;
  }

 private:
  std::string shown(int32_t id) const {
    return tokenizer_ != nullptr ? token_text(*tokenizer_, id) : std::to_string(id);
  }

  ModelDiff::Token token(int64_t t) const {
    const auto at = static_cast<size_t>(t);
    return {shown(text_.targets[at]), a_.nats[at], b_.nats[at]};
  }

  ModelDiff::Place place(int64_t t) const {
    const auto window = std::ranges::upper_bound(text_.windows, t, {}, &Window::begin) - 1;
    const auto joined = [&](const std::vector<int32_t>& ids, int64_t begin, int64_t end) {
      begin = std::clamp(begin, window->begin, window->end), end = std::clamp(end, begin, window->end);
      const auto some = std::span(ids).subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
      if (tokenizer_ != nullptr) return tokenizer_->decode(some, false);
      std::string out;
      for (const int32_t id : some) out += std::to_string(id) + " ";
      return out;
    };
    return {text_.domains[window->domain], joined(text_.tokens, t + 1 - kBefore, t + 1),
            joined(text_.targets, t + 1, t + 1 + kBehind), token(t)};
  }

  const ReadText& text_;
  const Reading &a_, &b_;
  const tokenizer::Tokenizer* tokenizer_;
  std::vector<double> differences_;
};

std::vector<ModelDiff::Layer> common_layers(const RoutingTrace& a, const RoutingTrace& b) {
  std::vector<ModelDiff::Layer> layers;
  if (a.layers != b.layers || a.n_routed_experts != b.n_routed_experts) return layers;
  for (size_t l = 0; l < a.layers.size(); ++l) {
    layers.push_back({a.layers[l], agreement(b, a, l), agreement_by_chance(b, a, l)});
  }
  return layers;
}

}  // namespace

Reading empty_reading(const spec::ModelConfig& config, const engine::Intervention& intervention, int64_t tokens) {
  Reading reading;
  RoutingTrace& trace = reading.routing;
  if (config.moe_layers() > 0) {
    trace = empty_trace(config, {});
    trace.router_entropy.clear();
    trace.num_experts_per_tok = 0;
    for (const int64_t layer : trace.layers) {
      trace.num_experts_per_tok = std::max(trace.num_experts_per_tok, intervention.slots(config, layer));
    }
  }
  const double of_token =
      sizeof(double) + sizeof(int32_t) +
      sizeof(uint16_t) * static_cast<double>(trace.layers.size()) * static_cast<double>(trace.num_experts_per_tok);
  const double bytes = of_token * static_cast<double>(tokens), free = static_cast<double>(base::available_memory());
  if (bytes > free) {
    base::fail_invalid("study", "the losses and choices of all tokens must fit into memory",
                       "needs " + std::to_string(std::llround(bytes / 1e6)) + " MB, free are " +
                           std::to_string(std::llround(free / 1e6)) + " MB",
                       "look at fewer tokens: --limit");
  }
  return reading;
}

void ReadingProbe::on_routing(int64_t layer, const engine::RoutingView& routing) {
  require_finite(layer, routing);
  const auto row = static_cast<size_t>(std::ranges::lower_bound(trace_.layers, layer) - trace_.layers.begin());
  if (row == 0) trace_.tokens.insert(trace_.tokens.end(), routing.tokens.begin(), routing.tokens.end());
  std::vector<uint16_t>& picks = trace_.experts[row];
  for (size_t t = 0; t < routing.tokens.size(); ++t) {
    for (int64_t k = 0; k < trace_.num_experts_per_tok; ++k) {
      const auto at = t * static_cast<size_t>(routing.slots) + static_cast<size_t>(k);
      const int32_t expert = k < routing.slots ? routing.ids_TK[at] : -1;
      picks.push_back(expert < 0 ? kNoExpert : static_cast<uint16_t>(expert));
    }
  }
}

ModelDiff diff_models(const ReadText& text, const Reading& a, const Reading& b, std::vector<ModelDiff::Row> rows,
                      const tokenizer::Tokenizer* tokenizer) {
  DSMOE_CHECK(a.nats.size() == text.targets.size() && b.nats.size() == text.targets.size(), "a loss for each token");
  const Comparison comparison(text, a, b, tokenizer);
  ModelDiff diff;
  diff.rows = std::move(rows);
  diff.steps = comparison.steps();
  diff.b_worse = comparison.places(1);
  diff.a_worse = comparison.places(-1);
  diff.passages = comparison.passages();
  diff.layers = common_layers(a.routing, b.routing);
  return diff;
}

}  // namespace dsmoe::study
