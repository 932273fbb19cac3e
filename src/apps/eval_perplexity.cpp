// `dsmoe eval perplexity`: a text file or a corpus scored, document by document, and against another model's records.
#include <cmath>
#include <iostream>
#include <memory>
#include <optional>

#include "apps/eval.h"
#include "apps/intervention_arguments.h"
#include "apps/open_model.h"
#include "apps/output_arguments.h"
#include "apps/perplexity_output.h"
#include "apps/progress.h"
#include "apps/stop_signals.h"
#include "apps/text_input.h"
#include "apps/whole_number.h"
#include "base/error.h"
#include "base/json.h"
#include "base/output.h"
#include "formats/model_files.h"

namespace dsmoe::apps {
namespace {

struct Options {
  ModelArguments model;
  std::string file, data, split = "valid";
  eval::PerplexityOptions perplexity;
  InterventionArguments experts;
  OutputArguments samples;
  std::string against;
  bool json = false;

  bool of_documents() const { return !samples.path.empty() || !against.empty(); }
};

/// What is scored and compared with, opened before the model.
struct Input {
  std::optional<corpus::TokenDataset> corpus;
  std::string text;
  std::vector<eval::DocumentRecord> against;
};

Input open_input(const Options& options) {
  if (options.data.empty()) return {std::nullopt, read_text(options.file), {}};
  Input input{corpus::TokenDataset::open(options.data, options.split), "", {}};
  input.corpus->require_tokens();
  if (!options.against.empty()) input.against = eval::read_records(options.against);
  return input;
}

void check_output(const Options& options) {
  if (options.samples.path.empty()) return;
  std::vector<base::fs::path> inputs = formats::model_files(options.model.path);
  inputs.emplace_back(options.data);
  if (!options.against.empty()) inputs.emplace_back(options.against);
  base::require_output_file(options.samples.path, options.samples.force, inputs);
}

/// The records of what will be scored; refuses those of the other model before anything is computed.
std::vector<eval::DocumentRecord> describe(const Options& options, const Input& input, loading::Model& model) {
  if (!input.corpus) return {};
  model.require_same_tokens(*input.corpus);
  if (!options.of_documents()) return {};
  auto records = eval::describe_documents(
      *input.corpus, eval::windows_of(model.engine(), *input.corpus, options.perplexity), model.tokenizer());
  if (!input.against.empty()) eval::require_same_documents(records, input.against, options.against);
  return records;
}

eval::Perplexity measure(const Options& options, const Input& input, loading::Model& model) {
  const WorkSignals signals;
  Progress progress("scoring", 0, count_text);
  const auto on_scored = [&](int64_t done, int64_t) {
    if (signals.requested()) base::fail(base::ErrorKind::kStopped, "perplexity", "stopped on request");
    progress.update(static_cast<uint64_t>(done));
  };
  if (input.corpus) return eval::perplexity(model.engine(), *input.corpus, options.perplexity, on_scored);
  const tokenizer::Tokenizer& tokenizer = model.require_tokenizer("text needs one; --data takes a corpus of token ids");
  return eval::perplexity(model.engine(), tokenizer, input.text, options.perplexity, on_scored);
}

base::Json source_json(const Options& options, const Input& input) {
  base::Json json = {{"model", options.model.path}};
  if (const base::Json changed = options.experts.json(); !changed.empty()) json["experts"] = changed;
  json["data"] = input.corpus ? options.data : options.file;
  if (!input.corpus) return json;
  json["split"] = options.split;
  json["data_hash"] = input.corpus->hash();
  return json;
}

void act(const Options& options) {
  check_output(options);
  const Input input = open_input(options);
  loading::Model model = open_model(options.model);
  auto records = describe(options, input, model);
  const eval::Perplexity result = measure(options, input, model);
  if (!std::isfinite(result.total.nats)) {
    base::fail(base::ErrorKind::kNonFinite, "perplexity", "the model's logits are not finite", {},
               "its weights are damaged or its training has diverged");
  }
  if (!records.empty()) eval::set_scores(records, result.documents);
  if (!options.samples.path.empty()) base::write_file(options.samples.path, eval::record_lines(records));
  std::optional<Against> against;
  if (!input.against.empty()) {
    against = {options.against, eval::compare_documents(records, input.against, options.against)};
  }
  if (!options.json) return print_perplexity(result, against);
  base::Json json = perplexity_json(result, against);
  json.update(source_json(options, input));
  std::cout << base::dump_json(json) << "\n";
}

constexpr const char* kExample =
    "Of a corpus, s.e. is the standard error over documents. Two models are compared document by document, which "
    "tells\n"
    "far smaller differences apart (docs/evaluation.md):\n\n"
    "  dsmoe eval perplexity -m runs/a/latest --data shards --samples a.jsonl\n"
    "  dsmoe eval perplexity -m runs/b/latest --data shards --against a.jsonl";

}  // namespace

void add_eval_perplexity(CLI::App& group) {
  auto options = std::make_shared<Options>();
  CLI::App* command = group.add_subcommand("perplexity", "How well it predicts text: nats per token, bits per byte");
  options->model.add_to(*command);
  auto* input = command->add_option_group("input")->require_option(1);
  input->add_option("FILE", options->file, "a text file, or - for standard input; needs the model's tokenizer");
  CLI::Option* data = input->add_option("--data", options->data, "a corpus, as dsmoe data build leaves it");
  command->add_option("--split", options->split, "which part of the corpus")->capture_default_str()->needs(data);
  add_whole_number(*command, "--sequence-length", options->perplexity.sequence_length,
                   "tokens a window; 0: max_position_embeddings");
  add_whole_number(*command, "--limit", options->perplexity.token_limit,
                   "about this many tokens of the corpus; 0: the whole split", {0, int64_t{1} << 40})
      ->needs(data);
  command
      ->add_flag("--second-half", options->perplexity.second_half,
                 "of a text file, what llama-perplexity measures: whole windows, the second half of each scored")
      ->excludes(data);
  add_output(*command, options->samples, "--samples",
             "of a corpus, a file for the score of each document, an object a line")
      ->needs(data);
  command
      ->add_option("--against", options->against,
                   "FILE: what --samples left of another model; the difference, with its error over pairs of documents")
      ->needs(data);
  command->add_flag("--json", options->json, "one object on standard output");
  options->experts.add_to(*command);
  command->footer(kExample);
  command->callback([options] {
    options->perplexity.intervention = options->experts.intervention();
    act(*options);
  });
}

}  // namespace dsmoe::apps
