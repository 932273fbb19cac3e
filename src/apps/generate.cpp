#include "engine/generate.h"

#include <chrono>
#include <cstdio>
#include <iostream>
#include <memory>
#include <optional>

#include "apps/commands.h"
#include "apps/open_model.h"
#include "apps/stop_signals.h"
#include "apps/text_input.h"
#include "base/error.h"
#include "base/json.h"

namespace dsmoe::apps {
namespace {

struct Options {
  ModelArguments model;
  std::string prompt, file;
  std::optional<std::string> tokens;
  engine::GenerateOptions generate;
  bool echo = false, json = false;
};

using Clock = std::chrono::steady_clock;
double seconds_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

// What is to be continued, read before a model is opened: ids, or else text.
struct Prompt {
  std::vector<int32_t> ids;
  std::string text;
};

Prompt read_prompt(const Options& options) {
  if (options.tokens) return {parse_token_ids(*options.tokens), ""};
  return {{}, options.file.empty() ? options.prompt : read_text(options.file)};
}

std::vector<int32_t> prompt_ids(const Prompt& given, loading::Model& model) {
  if (!given.ids.empty()) return given.ids;
  std::vector<int32_t> ids = text_ids(model, given.text);
  if (ids.empty() && model.config().bos_token_id < 0) {
    base::fail(base::ErrorKind::kUsage, "generate", "a model without bos needs a prompt", "", "give it some text");
  }
  if (ids.empty()) ids.push_back(static_cast<int32_t>(model.config().bos_token_id));
  return ids;
}

void require_context(const std::vector<int32_t>& prompt, const spec::ModelConfig& config) {
  if (std::ssize(prompt) <= config.max_position_embeddings) return;
  base::fail_invalid("generate",
                     "the prompt must fit into the context of " + std::to_string(config.max_position_embeddings),
                     std::to_string(prompt.size()) + " tokens", "shorten it, or raise --ctx-size where it is set");
}

// Streams text, or ids where there is no tokenizer.
class Output {
 public:
  Output(bool quiet, bool text) : quiet_(quiet), text_(text) {}
  bool show(int32_t token, std::string_view text) {
    if (!started_) first_ = Clock::now(), started_ = true;
    if (!quiet_ && text_) std::cout << text << std::flush;
    if (!quiet_ && !text_) std::cout << (any_ ? "," : "") << token << std::flush;
    any_ = true;
    return !signals_.requested() && static_cast<bool>(std::cout);
  }
  Clock::time_point first_token() const { return first_; }

 private:
  bool quiet_, text_, any_ = false, started_ = false;
  Clock::time_point first_ = Clock::now();
  const StopSignals signals_;
};

void act(const Options& options) {
  validate(options.generate.sampling);
  const Prompt given = read_prompt(options);
  loading::Model model = open_model(options.model);
  const tokenizer::Tokenizer* tokenizer = model.tokenizer();
  const auto prompt = prompt_ids(given, model);
  if (options.model.context > 0) require_context(prompt, model.config());
  engine::GenerateOptions generate = options.generate;
  generate.ends = model.end_tokens();
  if (options.echo && !options.json && tokenizer != nullptr) std::cout << tokenizer->decode(prompt, true) << std::flush;

  engine::Session session(model.engine());
  Output output(options.json, tokenizer != nullptr);
  const auto start = Clock::now();
  const engine::Generation result =
      engine::generate(session, model.config(), prompt, generate, tokenizer,
                       [&](int32_t token, std::string_view text) { return output.show(token, text); });
  const auto end = Clock::now();

  const double prefill = seconds_between(start, output.first_token());
  const double decode = seconds_between(output.first_token(), end);
  const auto count = static_cast<double>(result.tokens.size());
  const double prompt_rate = prefill > 0 ? static_cast<double>(prompt.size()) / prefill : 0;
  const double rate = decode > 0 && count > 1 ? (count - 1) / decode : 0;
  if (options.json) {
    const base::Json json = {{"text", result.text},
                             {"tokens", result.tokens},
                             {"prompt_tokens", prompt.size()},
                             {"finish_reason", engine::finish_name(result.finish)},
                             {"seed", options.generate.sampling.seed},
                             {"prompt_tokens_per_s", prompt_rate},
                             {"tokens_per_s", rate}};
    std::cout << base::dump_json(json) << "\n";
  } else {
    std::cout << "\n";
  }
  std::fprintf(stderr, "%zu tokens of prompt at %.0f/s, %zu generated at %.1f/s (%s), seed %llu\n", prompt.size(),
               prompt_rate, result.tokens.size(), rate, std::string(engine::finish_name(result.finish)).c_str(),
               static_cast<unsigned long long>(options.generate.sampling.seed));
}

}  // namespace

void add_generate(CLI::App& program) {
  auto options = std::make_shared<Options>();
  CLI::App* command = program.add_subcommand("generate", "Continue a prompt, streaming to standard output");
  options->model.cache_type = "f16";
  options->model.add_to(*command);
  options->model.add_context(*command);
  auto* input = command->add_option_group("input")->require_option(1);
  input->add_option("-p,--prompt", options->prompt, "text to continue");
  input->add_option("-f,--file", options->file, "a file with the prompt; -: standard input");
  input->add_option("--tokens", options->tokens, "token ids: 1,2,3; without a tokenizer ids come out too");
  add_sampling(*command, options->generate);
  command->add_flag("--echo", options->echo, "show the prompt before its continuation");
  command->add_flag("--json", options->json, "one object on standard output instead of the text");
  command->callback([options] { act(*options); });
}

}  // namespace dsmoe::apps
