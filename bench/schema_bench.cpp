// What a schema costs a token: the mask of a step over 102,400 tokens, along documents of several forms, and how many
// nodes of the tries it walks. Beside it the sampler's own look at as many logits.
#include <chrono>
#include <cstdio>

#include "base/rng.h"
#include "engine/sampler.h"
#include "schema/json_rule.h"

namespace {

using namespace dsmoe;
using Clock = std::chrono::steady_clock;

double microseconds(Clock::time_point from) {
  return std::chrono::duration<double, std::micro>(Clock::now() - from).count();
}

// As a large vocabulary is: bytes, words with and without a space, word parts with punctuation, two- and three-byte
// letters whole and cut.
std::vector<std::string> texts(size_t count) {
  base::Rng rng(1);
  std::vector<std::string> all;
  for (int byte = 0; byte < 256; ++byte) all.emplace_back(1, static_cast<char>(byte));
  const char* marks[] = {"\"", "\":", "\",", "\\", "\n", "}", "]", ", ", " ", "\xe4\xb8", "\x80"};
  while (all.size() < count) {
    std::string text = rng.below(2) == 0 ? " " : "";
    const bool wide = rng.below(3) == 0;
    for (uint64_t letters = 1 + rng.below(8); letters > 0; --letters) {
      if (wide) {
        text += {'\xe4', static_cast<char>(0xb8 + rng.below(8)), static_cast<char>(0x80 + rng.below(64))};
      } else {
        text += static_cast<char>('a' + rng.below(26));
      }
    }
    if (rng.below(12) == 0) text += marks[rng.below(std::size(marks))];
    all.push_back(std::move(text));
  }
  return all;
}

void measure(const char* name, const std::string& schema, const std::string& text,
             const std::shared_ptr<const schema::Vocabulary>& vocabulary) {
  const auto grammar = std::make_shared<schema::Grammar>(schema::compile(base::parse_json(schema, "schema")));
  schema::JsonRule rule(grammar, vocabulary);
  double sum = 0, most = 0;
  for (const char byte : text) {
    const auto start = Clock::now();
    rule.allowed();
    const double took = microseconds(start);
    sum += took, most = std::max(most, took);
    rule.accept(static_cast<unsigned char>(byte));
  }
  const auto steps = static_cast<double>(text.size());
  std::printf("%-34s %4.0f steps  %8.1f us a step  %8.1f us at most  %7.0f nodes a step\n", name, steps, sum / steps,
              most, static_cast<double>(rule.walked()) / steps);
}

}  // namespace

int main() {
  constexpr size_t kTokens = 102400;
  const auto start = Clock::now();
  const auto vocabulary = std::make_shared<const schema::Vocabulary>(texts(kTokens));
  std::printf("%zu tokens sorted in %.0f ms: %zu nodes, %zu of them not plain\n", kTokens, microseconds(start) / 1e3,
              vocabulary->all().nodes.size(), vocabulary->special().nodes.size());
  const std::string person =
      R"({"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"},
      "tags": {"type": "array", "items": {"type": "string"}}}, "required": ["name", "age", "tags"]})";
  const std::string document =
      R"({"name": "Ada Lovelace of London", "age": 36, "tags": ["first", "analytical engine"]})";
  measure("object of strings and numbers", person, document, vocabulary);
  measure("any object", R"({"type": "object"})", document, vocabulary);
  measure("string of at most 200", R"({"type": "string", "maxLength": 200})", "\"" + std::string(150, 'x') + "\"",
          vocabulary);
  measure("one of many",
          R"({"anyOf": [{"type": "string", "maxLength": 40}, {"enum": ["Ada", "Bob"]}, {"type": "array"}]})",
          R"("Ada Lovelace of London and Surrey")", vocabulary);
  engine::Sampler sampler({.temperature = 0});
  std::vector<float> logits(kTokens, 1.0f);
  const auto sampling = Clock::now();
  for (int i = 0; i < 20; ++i) sampler.sample(logits, {});
  std::printf("%-34s             %8.1f us a step\n", "greedy choice without a schema", microseconds(sampling) / 20);
  return 0;
}
