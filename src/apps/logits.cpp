#include <algorithm>
#include <cmath>
#include <iostream>
#include <memory>

#include "apps/commands.h"
#include "apps/open_model.h"
#include "apps/output_arguments.h"
#include "apps/stop_signals.h"
#include "base/error.h"
#include "base/output.h"
#include "formats/model_files.h"
#include "formats/npy.h"

namespace dsmoe::apps {
namespace {

struct Options {
  ModelArguments model;
  std::string tokens, prompt;
  OutputArguments output;
};

// `values` are rows of V logits, the first of them after token number `first`.
void require_finite(std::span<const float> values, size_t first, int64_t V) {
  const auto bad = std::find_if(values.begin(), values.end(), [](float value) { return !std::isfinite(value); });
  if (bad == values.end()) return;
  const auto at = static_cast<size_t>(bad - values.begin()), width = static_cast<size_t>(V);
  base::fail(base::ErrorKind::kNonFinite, "logits", "the model's logits are not finite",
             "after token " + std::to_string(first + at / width) + ", id " + std::to_string(at % width),
             "the weights are damaged, or training had diverged");
}

void act(const Options& options) {
  const bool is_text = !options.prompt.empty();
  const std::vector<int32_t> given = is_text ? std::vector<int32_t>() : parse_token_ids(options.tokens);
  base::require_output_file(options.output.path, options.output.force, formats::model_files(options.model.path));
  loading::Model model = open_model(options.model);
  const std::vector<int32_t> ids = is_text ? text_ids(model, options.prompt) : given;
  // A few rows at a time, so that a large vocabulary needs no more memory than the model's own chunks.
  const int64_t V = model.config().vocab_size, rows = static_cast<int64_t>(ids.size());
  const size_t piece = std::max<size_t>(1, (size_t{16} << 20) / static_cast<size_t>(V));
  engine::Session session(model.engine());
  session.check(ids);
  const WorkSignals signals;
  formats::NpyWriter file(options.output.path, {rows, V});
  for (size_t at = 0; at < ids.size(); at += piece) {
    if (signals.requested()) {
      base::fail(base::ErrorKind::kFailure, "logits", "stopped on request", "", "nothing is left behind");
    }
    const std::span<const float> values =
        session.append_all(std::span(ids).subspan(at, std::min(piece, ids.size() - at)));
    require_finite(values, at, V);
    file.append(values);
  }
  file.finish();
  std::cerr << options.output.path << ": float32 [" << rows << ", " << V << "]\n";
}

}  // namespace

void add_logits(CLI::App& program) {
  auto options = std::make_shared<Options>();
  CLI::App* command = program.add_subcommand("logits", "Write the logits after every token as a .npy file");
  options->model.add_to(*command);
  auto* input = command->add_option_group("input")->require_option(1);
  input->add_option("--tokens", options->tokens, "token ids: 1,2,3");
  input->add_option("-p,--prompt", options->prompt, "text; needs the model's tokenizer");
  add_output(*command, options->output, "-o,--output", "the file: float32 [tokens, vocabulary]")->required();
  command->callback([options] { act(*options); });
}

}  // namespace dsmoe::apps
