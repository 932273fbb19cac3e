#include <cmath>
#include <cstdio>
#include <iostream>
#include <memory>
#include <optional>

#include "apps/eval.h"
#include "apps/open_model.h"
#include "apps/progress.h"
#include "apps/stop_signals.h"
#include "apps/text_input.h"
#include "apps/whole_number.h"
#include "base/error.h"
#include "base/json.h"
#include "eval/perplexity.h"
#include "tokenizer/tokenizer_json.h"

namespace dsmoe::apps {
namespace {

struct Options {
  ModelArguments model;
  std::string file, data, split = "valid";
  eval::PerplexityOptions perplexity;
  bool json = false;
};

base::Json as_json(const corpus::TextScore& score) {
  return {{"nats_per_token", score.nats_per_token()},
          {"bits_per_byte", score.bits_per_byte()},
          {"tokens", score.tokens},
          {"bytes", score.bytes}};
}

void print(const eval::Perplexity& result) {
  const auto line = [](const std::string& name, const corpus::TextScore& score) {
    std::printf("%-20s %12lld %12lld %10.4f %10.4f %10.3f\n", name.c_str(), static_cast<long long>(score.tokens),
                static_cast<long long>(score.bytes), score.nats_per_token(), score.bits_per_byte(),
                std::exp(score.nats_per_token()));
  };
  std::printf("%-20s %12s %12s %10s %10s %10s\n", "domain", "tokens", "bytes", "nats/token", "bits/byte", "perplexity");
  for (const auto& domain : result.domains) line(domain.name, domain.score);
  line("all", result.total);
}

/// What is scored, opened before the model: a corpus, or else text.
struct Input {
  std::optional<corpus::TokenDataset> corpus;
  std::string text;
};

Input open_input(const Options& options) {
  if (options.data.empty()) return {std::nullopt, read_text(options.file)};
  return {corpus::TokenDataset::open(options.data, options.split), ""};
}

eval::Perplexity measure(const Options& options, const Input& input, loading::Model& model, base::Json& json) {
  const StopSignals signals({SIGINT, SIGTERM, SIGHUP}, kStopping);
  Progress progress("scoring", 0, count_text);
  const auto on_scored = [&](int64_t done, int64_t) {
    if (signals.requested()) base::fail(base::ErrorKind::kStopped, "perplexity", "stopped on request");
    progress.update(static_cast<uint64_t>(done));
  };
  if (input.corpus) {
    model.require_same_tokens(*input.corpus);
    json["data"] = options.data;
    json["split"] = options.split;
    json["data_hash"] = input.corpus->hash();
    return eval::perplexity(model.engine(), *input.corpus, options.perplexity, on_scored);
  }
  const tokenizer::Tokenizer& tokenizer = model.require_tokenizer("text needs one; --data takes a corpus of token ids");
  json["data"] = options.file;
  return eval::perplexity(model.engine(), tokenizer, input.text, options.perplexity, on_scored);
}

void act(const Options& options) {
  const Input input = open_input(options);
  loading::Model model = open_model(options.model);
  base::Json source;
  const eval::Perplexity result = measure(options, input, model, source);
  if (!std::isfinite(result.total.nats)) {
    base::fail(base::ErrorKind::kNonFinite, "perplexity", "the model's logits are not finite", {},
               "its weights are damaged or its training has diverged");
  }
  if (!options.json) return print(result);
  base::Json json = as_json(result.total);
  for (const auto& domain : result.domains) json["domains"][domain.name] = as_json(domain.score);
  json["model"] = options.model.path;
  json.update(source);
  std::cout << base::dump_json(json) << "\n";
}

}  // namespace

void add_eval_perplexity(CLI::App& group) {
  auto options = std::make_shared<Options>();
  CLI::App* command = group.add_subcommand("perplexity", "How well it predicts text: nats per token, bits per byte");
  options->model.add_to(*command);
  auto* input = command->add_option_group("input")->require_option(1);
  input->add_option("FILE", options->file, "a text file, or - for standard input; needs the model's tokenizer");
  input->add_option("--data", options->data, "a corpus, as dsmoe data build leaves it");
  command->add_option("--split", options->split, "which part of the corpus")->capture_default_str();
  add_whole_number(*command, "--sequence-length", options->perplexity.sequence_length,
                   "tokens a window; 0: max_position_embeddings");
  add_whole_number(*command, "--limit", options->perplexity.token_limit, "about this many tokens of the corpus; 0: all",
                   {0, int64_t{1} << 40});
  command->add_flag("--second-half", options->perplexity.second_half,
                    "of a text file, what llama-perplexity measures: whole windows, the second half of each scored");
  command->add_flag("--json", options->json, "one object on standard output");
  command->callback([options] { act(*options); });
}

}  // namespace dsmoe::apps
