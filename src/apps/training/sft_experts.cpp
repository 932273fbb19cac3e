#include "apps/training/sft_experts.h"

#include "apps/training/sft_configuration.h"
#include "base/error.h"
#include "corpus/example_batches.h"
#include "formats/model_folder.h"
#include "spec/counts.h"
#include "spec/rules.h"
#include "spec/trained_experts.h"
#include "train/base_model.h"
#include "train/expert_scores.h"
#include "train/memory_need.h"
#include "train/run_folder.h"

namespace dsmoe::apps {
namespace {

namespace fs = base::fs;
using base::Json;

constexpr int64_t kMostTokens = int64_t{1} << 17;  // what the paper scores by
constexpr const char* kFile = "data.json";

/// The score and the share that decide, as they are kept.
Json asked_for(const SftArguments& arguments) {
  const double own = arguments.esft == "gate" ? 0.1 : 0.2;  // the paper's
  return {{"score", arguments.esft}, {"share", arguments.esft_share > 0 ? arguments.esft_share : own}};
}

std::string text_of(const Json& asked) {
  return asked["score"].get<std::string>() + " " + spec::number_text(asked["share"].get<double>());
}

/// Where the run that is to go on keeps its choice; empty: nothing goes on.
fs::path kept_file(const train::RunOptions& options, const fs::path& output) {
  if (options.resume == train::Resume::kNever) return {};
  if (options.resume == train::Resume::kAuto) return output / kFile;
  const fs::path checkpoint = fs::absolute(options.resume_path).lexically_normal();
  const fs::path named = checkpoint.has_filename() ? checkpoint : checkpoint.parent_path();
  return named.parent_path() / kFile;
}

/// The choice that the run began with; null: it has made none yet.
Json kept_choice(const fs::path& file, const Json& asked) {
  if (file.empty() || !fs::exists(file)) return nullptr;
  const std::string where = file.string();
  const Json all = base::parse_json(base::read_file(file), where);
  if (!all.is_object() || !all.contains("experts")) return nullptr;
  const Json& kept = all["experts"];
  base::require_string(kept, "targets", where);
  for (const char* key : {"chosen", "of"}) {
    base::require_int(base::require_member(kept, "experts", where), key, 0, INT64_MAX, where);
  }
  const Json began = {{"score", base::require_string(kept, "score", where)},
                      {"share", base::require_number(kept, "share", where)}};
  if (began != asked) {
    base::fail_invalid("resume", "--esft and --esft-share must be those that the run began with",
                       text_of(asked) + "; it began with " + text_of(began),
                       "a run keeps its experts; train in another folder, or set them back");
  }
  return kept;
}

/// The forward pass of the base as it is trained, without anything to train. Throws Error(kInvalid) where not even the
/// smallest choice fits into memory.
train::ExpertScores scores_of(const SftArguments& arguments, const corpus::ExampleSet& examples,
                              const train::RunOptions& options, const spec::RunConfig& config) {
  const spec::TrainConfig& t = config.train;
  const auto file = train::base_file(arguments.base);
  spec::RunConfig least = config;
  if (!file) least.train.lora_rank = 0;
  least.train.lora_targets = "mlp.experts.0";  // one of each layer
  train::require_memory(least, options.memory, options.group.size(), file.get());
  model::TransformerOptions as_trained;
  as_trained.compute = t.precision == spec::Precision::kBf16 ? torch::kBFloat16 : torch::kFloat32;
  as_trained.base = file;
  model::Transformer model(config.model, {}, as_trained);
  if (!file) model.load(formats::ModelFolder::open(arguments.base));
  const corpus::ExampleBatches batches(
      examples, {static_cast<uint64_t>(t.seed), t.global_batch, t.micro_batch * t.sequence_length});
  return train::score_experts(model, batches, batches.steps_for(1), kMostTokens);
}

Json choice_of(const train::ExpertScores& scores, const Json& asked) {
  const auto score = asked["score"] == "gate" ? train::ExpertScore::kGate : train::ExpertScore::kToken;
  const auto chosen = train::choose_experts(scores, score, asked["share"].get<double>());
  std::string targets;
  for (const spec::RoutedExpert& e : chosen) targets += (targets.empty() ? "" : ",") + e.target();
  int64_t all = 0;
  for (const train::LayerScores& layer : scores.layers) all += std::ssize(layer.gates_E);
  return {{"score", asked["score"]}, {"share", asked["share"]},
          {"tokens", scores.tokens}, {"experts", {{"chosen", chosen.size()}, {"of", all}}},
          {"targets", targets},      {"layers", train::layers_json(scores, chosen)}};
}

}  // namespace

void require_choice(const spec::ResolvedConfig& config) {
  if (!config.config.model.is_moe()) {
    base::fail_invalid("sft", "--esft needs a base model with routed experts", "this one is dense");
  }
  if (!set_by_hand(config, "train.lora_targets")) return;
  base::fail(base::ErrorKind::kUsage, "sft", "--esft chooses the experts: they must not be named too",
             "train.lora_targets");
}

Json choose_experts(const SftArguments& arguments, const corpus::ExampleSet& examples, const train::RunOptions& options,
                    spec::ResolvedConfig& config) {
  const Json asked = asked_for(arguments);
  Json choice = kept_choice(kept_file(options, config.config.output.dir), asked);
  if (choice.is_null()) choice = choice_of(scores_of(arguments, examples, options, config.config), asked);
  spec::TrainConfig& train = config.config.train;
  train.lora_targets = choice["targets"].get<std::string>();
  config.origins["train.lora_targets"] = "--esft";
  spec::validate(config.config);
  choice["parameters"] = {{"trained", spec::trained_parameters(config.config.model, train)},
                          {"of", spec::count_parameters(config.config.model).total()}};
  return choice;
}

std::string choice_sentence(const Json& choice) {
  const Json &experts = choice["experts"], &parameters = choice["parameters"];
  return "experts that train: " + base::dump_json(experts["chosen"]) + " of " + base::dump_json(experts["of"]) +
         ", by " + text_of(choice) + " of each layer; " + base::dump_json(parameters["trained"]) +
         " parameters beside " + base::dump_json(parameters["of"]) + " of the model";
}

}  // namespace dsmoe::apps
