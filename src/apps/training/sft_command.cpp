// dsmoe-train sft: a base model learns to answer, from conversations.
#include <algorithm>
#include <iostream>
#include <memory>

#include "apps/sft_arguments.h"
#include "apps/training/run_command.h"
#include "apps/training/sft_configuration.h"
#include "apps/training/sft_experts.h"
#include "apps/training/training_commands.h"
#include "base/error.h"
#include "corpus/example_batches.h"
#include "corpus/source_files.h"
#include "loading/model.h"

namespace dsmoe::apps {
namespace {

namespace fs = base::fs;

bool is_file(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

/// section.key=value, of a section that exists, where no file has that name.
bool is_setting(const std::string& word) {
  std::error_code ignored;
  if (word.find('=') == std::string::npos || fs::exists(word, ignored)) return false;
  constexpr std::string_view kSections[] = {"model.", "train.", "data.", "output.", "parallel.", "plan."};
  return std::ranges::any_of(kSections, [&](std::string_view section) { return word.starts_with(section); });
}

/// All that the examples of a run are; it lives as long as the run.
struct Examples {
  corpus::ExampleData data;
  std::string format;

  base::Json describe(const std::vector<fs::path>& files) const {
    base::Json names = base::Json::array();
    for (const fs::path& file : files) names.push_back(file.string());
    return {{"files", names},
            {"chat_format", format},
            {"conversations", data.read},
            {"train", {{"examples", data.train.size()}, {"tokens", data.train.tokens()}}},
            {"valid", {{"examples", data.valid.size()}, {"tokens", data.valid.tokens()}}},
            {"cut", data.cut},
            {"too_long", data.too_long},
            {"faulty", data.faulty}};
  }
  std::string sentence() const {
    std::string text = std::to_string(data.train.size()) + " examples to learn from, " +
                       std::to_string(data.valid.size()) + " held out, in the chat format " + format;
    if (data.cut > 0) text += "; " + std::to_string(data.cut) + " cut to the length";
    if (data.too_long > 0) text += "; " + std::to_string(data.too_long) + " left out as too long";
    if (data.faulty > 0)
      text += "; " + std::to_string(data.faulty) + " left out as faulty, first: " + data.first_faulty;
    return text;
  }
};

corpus::ExampleOptions example_options(const SftArguments& arguments, const spec::TrainConfig& train) {
  return {.longest = train.sequence_length,
          .long_examples = arguments.long_examples == "skip" ? corpus::LongExamples::kSkip : corpus::LongExamples::kCut,
          .faulty = arguments.faulty == "skip" ? corpus::FaultyExamples::kSkip : corpus::FaultyExamples::kStop,
          .valid_share = arguments.valid_share};
}

std::shared_ptr<Examples> read(const SftArguments& arguments, const std::vector<fs::path>& files,
                               const spec::RunConfig& config) {
  const auto tokenizer = loading::tokenizer_of(arguments.base, config.model);
  if (!tokenizer) {
    base::fail_invalid("sft", "the base model must have a tokenizer", arguments.base + " has none",
                       "put the tokenizer.json that it was trained with beside its config.json");
  }
  const auto encoder = loading::chat_encoder_of(arguments.base, *tokenizer, config.model, arguments.format);
  auto examples = std::make_shared<Examples>();
  examples->format = encoder.format().name;
  examples->data = corpus::read_examples(files, encoder, example_options(arguments, config.train));
  return examples;
}

train::RunData run_data(std::shared_ptr<Examples> examples, const std::vector<fs::path>& files,
                        const SftArguments& arguments, const spec::TrainConfig& train) {
  const corpus::ExampleData& set = examples->data;
  train::RunData data;
  data.batches = std::make_unique<corpus::ExampleBatches>(
      set.train, corpus::ExampleBatches::Shape{static_cast<uint64_t>(train.seed), train.global_batch,
                                               train.micro_batch * train.sequence_length});
  if (set.valid.size() > 0) {
    data.validation = std::make_unique<corpus::ScoredExamples>(set.valid, set.domains, train.validate_tokens);
  }
  data.validates_first = true;
  data.hash = set.train.hash() + "-" + set.valid.hash();
  if (!is_file(arguments.base)) data.tokenizer_from = arguments.base;
  data.without_validation = "a --valid-share above 0 holds some out";
  data.description = examples->describe(files);
  data.owner = std::move(examples);
  return data;
}

// What is trained is a folder's weights, or adapters beside those of a folder or file.
void require_trainable(const SftArguments& arguments) {
  if (arguments.lora || !is_file(arguments.base)) return;
  base::fail(base::ErrorKind::kUsage, "sft", "the weights of a GGUF file stay as they are", arguments.base,
             "--lora trains adapters beside them; the folder that the file was made from can be trained whole");
}

void run(const SftArguments& arguments) {
  require_trainable(arguments);
  std::vector<std::string> settings, sources;
  for (const std::string& word : arguments.words) (is_setting(word) ? settings : sources).push_back(word);
  if (sources.empty()) {
    base::fail(base::ErrorKind::kUsage, "sft", "DATA must name conversations to learn from", "none is named",
               "dsmoe sft BASE DATA... -o OUT");
  }
  if (!arguments.output.empty()) settings.push_back("output.dir=" + arguments.output);
  SftRecipe recipe = sft_recipe(arguments.recipe);
  if (arguments.epochs > 0) recipe.epochs = arguments.epochs;
  if (arguments.batch > 0) recipe.examples = arguments.batch;
  if (arguments.lora) {
    recipe.lora_rank = arguments.lora_rank;
    recipe.lora_alpha = arguments.lora_alpha;
    recipe.lora_targets = arguments.lora_targets;
  }
  const bool choosing = !arguments.esft.empty();
  recipe.experts_alone = choosing;
  spec::ResolvedConfig config = sft_configuration(arguments.base, recipe, settings);
  if (choosing) require_choice(config);
  if (is_file(arguments.base) && config.config.train.sample_every > 0) {
    base::fail(base::ErrorKind::kUsage, "sft", "samples on the way need a model folder, for its tokenizer",
               "train.sample_every=" + std::to_string(config.config.train.sample_every), "leave it at 0");
  }
  if (config.config.output.dir.empty()) {
    base::fail(base::ErrorKind::kUsage, "sft", "-o must name a folder for the results", "none is named",
               "dsmoe sft BASE DATA... -o OUT");
  }
  const std::vector<fs::path> files = corpus::find_sources(sources).files;
  for (const fs::path& file : files) {
    std::string& path = config.config.data.path;
    path += (path.empty() ? "" : " ") + file.string();
  }
  config.config.data.chat_format = arguments.format.empty() ? "own" : arguments.format;
  const auto examples = read(arguments, files, config.config);
  const int64_t steps = corpus::ExampleBatches(examples->data.train, {.examples = config.config.train.global_batch})
                            .steps_for(recipe.epochs);
  fit_steps(config, recipe, steps);
  if (!arguments.run.print_config) std::cerr << "sft: " << examples->sentence() << "\n";
  const auto train = [&](spec::ResolvedConfig resolved, const train::RunOptions& options,
                         train::RunListener& listener) {
    train::RunData data = run_data(examples, files, arguments, resolved.config.train);
    if (choosing) {
      data.description["experts"] = choose_experts(arguments, examples->data.train, options, resolved);
      listener.on_notice(choice_sentence(data.description["experts"]));
    }
    return train::run_training(std::move(resolved), std::move(data), options, listener);
  };
  run_to_the_end({std::move(config), arguments.base, train}, arguments.run);
}

}  // namespace

void add_sft(CLI::App& program) {
  CLI::App* command =
      program.add_subcommand("sft", "Teach a base model to answer, from conversations; docs/finetuning.md has it all");
  const auto arguments = std::make_shared<SftArguments>();
  arguments->add_to(*command);
  command->callback([arguments] { run(*arguments); });
}

}  // namespace dsmoe::apps
