#include "apps/perplexity_output.h"

#include <cmath>
#include <cstdio>

namespace dsmoe::apps {
namespace {

// "-" for what is not known.
std::string figure(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4f", value);
  return std::isfinite(value) ? text : "-";
}

std::string count(int64_t value) { return std::to_string(value); }

void print_text_row(const std::string& name, const corpus::TextScore& score) {
  std::printf("%-20s %12s %12s %10s %10s %10.3f\n", name.c_str(), count(score.tokens).c_str(),
              count(score.bytes).c_str(), figure(score.nats_per_token()).c_str(), figure(score.bits_per_byte()).c_str(),
              std::exp(score.nats_per_token()));
}

void print_corpus_row(const std::string& name, const corpus::TextScore& score,
                      const std::vector<eval::DocumentScore>& documents) {
  const eval::DocumentEstimates estimates = eval::estimates_of(documents);
  std::printf("%-20s %9s %12s %12s %10s %8s %10s %8s %10.3f\n", name.c_str(), count(std::ssize(documents)).c_str(),
              count(score.tokens).c_str(), count(score.bytes).c_str(), figure(score.nats_per_token()).c_str(),
              figure(estimates.nats_per_token.standard_error).c_str(), figure(score.bits_per_byte()).c_str(),
              figure(estimates.bits_per_byte.standard_error).c_str(), std::exp(score.nats_per_token()));
}

void print_difference_row(const std::string& name, const eval::DocumentEstimates& difference, bool same_tokens) {
  const eval::Estimate &nats = difference.nats_per_token, &bits = difference.bits_per_byte;
  std::printf("%-20s %9s %12s %8s %12s %8s\n", name.c_str(), count(bits.count).c_str(),
              same_tokens ? figure(nats.mean).c_str() : "-", same_tokens ? figure(nats.standard_error).c_str() : "-",
              figure(bits.mean).c_str(), figure(bits.standard_error).c_str());
}

void print_difference(const Against& against) {
  const eval::Comparison& comparison = against.comparison;
  const bool same_tokens = comparison.common == eval::Common::kTokens;
  std::printf("\nthis model minus %s, document by document%s\n", against.file.c_str(),
              same_tokens ? "" : " (the same text in other tokens: bits per byte alone)");
  std::printf("%-20s %9s %12s %8s %12s %8s\n", "domain", "documents", "nats/token", "s.e.", "bits/byte", "s.e.");
  for (const auto& row : comparison.domains) print_difference_row(row.domain, row.difference, same_tokens);
  print_difference_row("all", comparison.all, same_tokens);
}

void add_estimate(base::Json& json, const std::string& name, const eval::Estimate& estimate) {
  json[name] = estimate.mean;
  json[name + "_stderr"] = estimate.standard_error;
}

base::Json difference_json(const eval::DocumentEstimates& difference, bool same_tokens) {
  base::Json json;
  if (same_tokens) add_estimate(json, "nats_per_token", difference.nats_per_token);
  add_estimate(json, "bits_per_byte", difference.bits_per_byte);
  json["documents"] = difference.bits_per_byte.count;
  return json;
}

base::Json against_json(const Against& against) {
  const eval::Comparison& comparison = against.comparison;
  const bool same_tokens = comparison.common == eval::Common::kTokens;
  base::Json json = difference_json(comparison.all, same_tokens);
  for (const auto& row : comparison.domains) {
    json["domains"][row.domain] = difference_json(row.difference, same_tokens);
  }
  json["file"] = against.file;
  return json;
}

base::Json score_json(const corpus::TextScore& score, const std::vector<eval::DocumentScore>& documents) {
  base::Json json = {{"nats_per_token", score.nats_per_token()},
                     {"bits_per_byte", score.bits_per_byte()},
                     {"tokens", score.tokens},
                     {"bytes", score.bytes}};
  if (documents.empty()) return json;
  const eval::DocumentEstimates estimates = eval::estimates_of(documents);
  json["nats_per_token_stderr"] = estimates.nats_per_token.standard_error;
  json["bits_per_byte_stderr"] = estimates.bits_per_byte.standard_error;
  json["documents"] = documents.size();
  return json;
}

}  // namespace

void print_perplexity(const eval::Perplexity& result, const std::optional<Against>& against) {
  if (result.documents.empty()) {
    std::printf("%-20s %12s %12s %10s %10s %10s\n", "domain", "tokens", "bytes", "nats/token", "bits/byte",
                "perplexity");
    return print_text_row("all", result.total);
  }
  std::printf("%-20s %9s %12s %12s %10s %8s %10s %8s %10s\n", "domain", "documents", "tokens", "bytes", "nats/token",
              "s.e.", "bits/byte", "s.e.", "perplexity");
  for (const auto& domain : result.domains) {
    print_corpus_row(domain.name, domain.score, eval::of_domain(result.documents, domain.name));
  }
  print_corpus_row("all", result.total, result.documents);
  if (against) print_difference(*against);
}

base::Json perplexity_json(const eval::Perplexity& result, const std::optional<Against>& against) {
  base::Json json = score_json(result.total, result.documents);
  for (const auto& domain : result.domains) {
    json["domains"][domain.name] = score_json(domain.score, eval::of_domain(result.documents, domain.name));
  }
  if (against) json["against"] = against_json(*against);
  return json;
}

}  // namespace dsmoe::apps
