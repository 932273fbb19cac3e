#include "serve/metrics.h"

#include <algorithm>

#include "base/json.h"

namespace dsmoe::serve {
namespace {

std::string number(double value) { return base::dump_json(base::Json(value)); }

void head(std::string& out, const std::string& name, const char* type, const std::string& help) {
  out += "# HELP " + name + " " + help + "\n# TYPE " + name + " " + type + "\n";
}

void one(std::string& out, const std::string& name, const char* type, const std::string& help, int64_t value) {
  head(out, name, type, help);
  out += name + " " + std::to_string(value) + "\n";
}

// Layers without experts have no series.
void write_experts(std::string& out, const ExpertTokens& tokens, int64_t experts) {
  if (tokens.empty()) return;
  head(out, "dsmoe_expert_tokens_total", "counter", "Tokens that a routed expert has read.");
  for (int64_t first = 0; first < std::ssize(tokens); first += experts) {
    const auto layer = tokens.begin() + first;
    if (std::all_of(layer, layer + experts, [](int64_t count) { return count == 0; })) continue;
    for (int64_t e = 0; e < experts; ++e) {
      out += "dsmoe_expert_tokens_total{layer=\"" + std::to_string(first / experts) + "\",expert=\"" +
             std::to_string(e) + "\"} " + std::to_string(layer[e]) + "\n";
    }
  }
}

}  // namespace

void Histogram::observe(double seconds) {
  const auto bucket = std::lower_bound(kBounds.begin(), kBounds.end(), seconds);
  ++counts_[static_cast<size_t>(bucket - kBounds.begin())];
  sum_ += seconds;
}

void Histogram::write(std::string& out, const std::string& name, const std::string& help) const {
  head(out, name, "histogram", help);
  uint64_t below = 0;
  for (size_t b = 0; b < counts_.size(); ++b) {
    below += counts_[b];
    out += name + "_bucket{le=\"" + (b < kBounds.size() ? number(kBounds[b]) : "+Inf") + "\"} " +
           std::to_string(below) + "\n";
  }
  out += name + "_sum " + number(sum_) + "\n" + name + "_count " + std::to_string(below) + "\n";
}

void Metrics::answered(int status) {
  const std::lock_guard lock(mutex_);
  ++answers_[status];
}
void Metrics::finished(const std::string& finish_reason) {
  const std::lock_guard lock(mutex_);
  ++finishes_[finish_reason];
}
void Metrics::first_token(double seconds) {
  const std::lock_guard lock(mutex_);
  first_token_.observe(seconds);
}
void Metrics::next_token(double seconds) {
  const std::lock_guard lock(mutex_);
  next_token_.observe(seconds);
}
void Metrics::request_ended(double seconds) {
  const std::lock_guard lock(mutex_);
  whole_.observe(seconds);
}

std::string Metrics::text(const SchedulerLoad& load, int64_t experts) const {
  const std::lock_guard lock(mutex_);
  std::string out;
  one(out, "dsmoe_requests_running", "gauge", "Sequences that are computed now.", load.running);
  one(out, "dsmoe_requests_waiting", "gauge", "Sequences that wait for a slot.", load.waiting);
  one(out, "dsmoe_cache_bytes", "gauge", "Bytes of keys and values, as far as running sequences may grow.",
      load.cache_bytes);
  one(out, "dsmoe_passes_total", "counter", "Passes of the engine.", load.passes);
  one(out, "dsmoe_prompt_tokens_total", "counter", "Tokens of prompts that were computed.", load.prompt_tokens);
  one(out, "dsmoe_cached_tokens_total", "counter", "Tokens of prompts that were known already.", load.cached_tokens);
  one(out, "dsmoe_generation_tokens_total", "counter", "Tokens that were chosen.", load.generated_tokens);
  head(out, "dsmoe_request_success_total", "counter", "Choices that have finished, by the reason.");
  for (const auto& [reason, count] : finishes_) {
    out += "dsmoe_request_success_total{finished_reason=\"" + reason + "\"} " + std::to_string(count) + "\n";
  }
  head(out, "dsmoe_http_answers_total", "counter", "HTTP answers, by status.");
  for (const auto& [status, count] : answers_) {
    out += "dsmoe_http_answers_total{status=\"" + std::to_string(status) + "\"} " + std::to_string(count) + "\n";
  }
  write_experts(out, load.expert_tokens, experts);
  first_token_.write(out, "dsmoe_time_to_first_token_seconds", "From a request's arrival to its first token.");
  next_token_.write(out, "dsmoe_inter_token_latency_seconds", "From one token of a sequence to the next.");
  whole_.write(out, "dsmoe_e2e_request_latency_seconds", "From a request's arrival to its end.");
  return out;
}

}  // namespace dsmoe::serve
