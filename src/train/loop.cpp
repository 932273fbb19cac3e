#include "train/loop.h"

#include <memory>

#include "base/error.h"
#include "formats/model_folder.h"
#include "train/base_model.h"
#include "train/checkpoint.h"
#include "train/memory_need.h"
#include "train/run_folder.h"
#include "train/run_plan.h"
#include "train/run_writer.h"
#include "train/same_run.h"
#include "train/sample.h"
#include "train/trainer.h"
#include "train/validate.h"

namespace dsmoe::train {
namespace {

BaseModel base_of_adapters(const spec::RunConfig& config, const RunOptions& options) {
  return config.train.lora_rank == 0 ? BaseModel{} : base_model(options.init_path, options.parallel_for);
}

bool is_due(int64_t step, int64_t every, int64_t last) { return step == last || (every > 0 && step % every == 0); }

// Everything a run in progress holds. Ranks decide alike: from the same numbers, or from what one of them says to all.
class Run {
 public:
  /// `writer` is null but on the first rank.
  Run(const RunPlan& plan, const RunOptions& options, RunWriter* writer);
  RunEnd to_the_end();

 private:
  bool stop() const { return group_.any(options_.stop()); }
  void one_step();
  void find_what_is_due(int64_t step);
  void do_what_is_due();
  void take_part_in_sample();
  void validate_now();
  void save();

  const RunPlan& plan_;
  const spec::RunConfig& config_;
  const RunOptions& options_;
  const comm::Group& group_;
  RunWriter* writer_;
  std::shared_ptr<const formats::GgufModel> base_;  // weights that stay in their file
  Trainer trainer_;
  bool validation_due_ = false, sample_due_ = false;  // after the last step done
  int64_t saved_at_ = -1;                             // the step of the newest checkpoint
};

Run::Run(const RunPlan& plan, const RunOptions& options, RunWriter* writer)
    : plan_(plan),
      config_(plan.config.config),
      options_(options),
      group_(options.group),
      writer_(writer),
      base_(base_file(options.init_path)),
      trainer_(config_, *plan.data.batches, plan.data.token_frequencies,
               {.parallel_for = options.parallel_for, .group = options.group, .base = base_}) {
  const bool adapted = config_.train.lora_rank > 0;
  if (!options.init_path.empty() && !base_ && (adapted || !plan.checkpoint)) {
    trainer_.model().load(formats::ModelFolder::open(options.init_path));
  }
  if (plan.checkpoint) {
    load_checkpoint(*plan.checkpoint, trainer_.model(), trainer_.optimizer(), plan.beside);
    trainer_.go_to(plan.step());
    saved_at_ = plan.step();
  }
  const auto held = [this](const char* type) { return group_.any(writer_ != nullptr && writer_->held(type)); };
  if (!plan.checkpoint) validation_due_ = plan.data.validation && plan.data.validates_first;
  if (held("step")) {
    find_what_is_due(plan.step());
    const bool validated = held("validation"), sampled = held("sample");
    validation_due_ = validation_due_ && !validated;
    sample_due_ = sample_due_ && !sampled;
  }
}

RunEnd Run::to_the_end() {
  if (writer_) writer_->start(trainer_);
  do_what_is_due();
  while (trainer_.steps_done() < config_.train.steps && !stop()) {
    one_step();
    do_what_is_due();
    if (is_due(trainer_.steps_done(), config_.train.checkpoint_every, config_.train.steps)) save();
  }
  const bool done = trainer_.steps_done() == config_.train.steps && !validation_due_ && !sample_due_;
  if (saved_at_ != trainer_.steps_done() && trainer_.steps_done() > 0) save();
  if (writer_) writer_->sync();
  group_.barrier();  // what the first rank has not written, no rank reports as done
  return done ? RunEnd::kDone : RunEnd::kStopped;
}

void Run::one_step() {
  StepRecord record;
  try {
    record = trainer_.step();
  } catch (const base::Error& error) {
    const std::string what = error.what();
    if (error.kind() == comm::kRankLost) {
      throw base::Error(error.kind(), what + "; step " + std::to_string(trainer_.steps_done() + 1));
    }
    if (error.kind() != base::ErrorKind::kNonFinite || !writer_) throw;
    writer_->sync();
    throw base::Error(error.kind(), what + "; last good checkpoint: " + writer_->last_checkpoint());
  }
  if (writer_) writer_->add(record);
  find_what_is_due(record.step);
}

void Run::find_what_is_due(int64_t step) {
  validation_due_ = plan_.data.validation && is_due(step, config_.train.validate_every, config_.train.steps);
  sample_due_ = config_.train.sample_every > 0 && is_due(step, config_.train.sample_every, config_.train.steps);
}

// In this order whatever was cut: a sample waits for the validation that a stop has put off.
void Run::do_what_is_due() {
  if (validation_due_) validate_now();
  if (!sample_due_ || validation_due_) return;
  writer_ ? writer_->sample(trainer_) : take_part_in_sample();
  sample_due_ = false;
}

void Run::take_part_in_sample() { sample_ids(trainer_.model(), sample_options(config_.train), group_); }

void Run::validate_now() {
  const int64_t most_tokens = config_.train.micro_batch * config_.train.sequence_length;
  auto record = validate(
      trainer_.model(), *plan_.data.validation, most_tokens, [this] { return stop(); }, group_);
  if (!record) return;  // stopped: still owed, and the records show it
  record->step = trainer_.steps_done();
  if (writer_) writer_->add(*record);
  validation_due_ = false;
}

void Run::save() {
  writer_ ? writer_->save(trainer_) : give_to_checkpoint(trainer_.model(), trainer_.optimizer());
  saved_at_ = trainer_.steps_done();
}

}  // namespace

RunEnd run_training(spec::ResolvedConfig config, const RunOptions& options, RunListener& listener) {
  RunData data = open_corpus(config, options.init_path);
  require_whole_shares(config.config.train, options.group.size());
  return run_training(std::move(config), std::move(data), options, listener);
}

RunEnd run_training(spec::ResolvedConfig config, RunData data, const RunOptions& options, RunListener& listener) {
  if (config.config.output.dir.empty()) {
    base::fail_invalid("train", "output.dir must name a folder for the results", "nothing", "set output.dir=FOLDER");
  }
  if (config.config.train.lora_rank > 0 && options.init_path.empty()) {
    base::fail_invalid("train", "train.lora_rank above 0 needs a model that adapters stand beside", "none is named",
                       "dsmoe sft BASE DATA... --lora, or dsmoe train --init BASE");
  }
  const auto file = base_file(options.init_path);
  if (file && config.config.train.lora_rank == 0) {
    base::fail_invalid("train", "the weights of a GGUF file stay as they are", options.init_path.string(),
                       "dsmoe sft BASE DATA... --lora trains adapters beside them; a model folder can be trained");
  }
  const comm::Group& group = options.group;
  mesh_of(config.config.parallel, group);
  require_agreement(group, config.config, data.hash, options.build);
  require_memory(config.config, options.memory, group.size(), file.get());
  if (!group.first()) {
    RunPlan plan = follow_plan(std::move(config), std::move(data), group);
    plan.beside = base_of_adapters(plan.config.config, options);
    return Run(plan, options, nullptr).to_the_end();
  }
  RunFolder folder(config.config.output.dir, *options.files);
  RunPlan plan = plan_run(std::move(config), std::move(data), folder, options, listener);
  plan.beside = base_of_adapters(plan.config.config, options);
  share_plan(plan, group);
  RunWriter writer(plan, folder, options, listener);
  return Run(plan, options, &writer).to_the_end();
}

}  // namespace dsmoe::train
