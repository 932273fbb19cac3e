#include "train/loop.h"

#include <chrono>

#include "base/error.h"
#include "formats/adapter_folder.h"
#include "formats/model_folder.h"
#include "tokenizer/tokenizer_json.h"
#include "train/checkpoint.h"
#include "train/memory_need.h"
#include "train/records.h"
#include "train/router_watch.h"
#include "train/run_folder.h"
#include "train/run_plan.h"
#include "train/sample.h"
#include "train/trainer.h"
#include "train/validate.h"

namespace dsmoe::train {
namespace {

namespace fs = base::fs;
using Clock = std::chrono::steady_clock;

bool is_due(int64_t step, int64_t every, int64_t last) { return step == last || (every > 0 && step % every == 0); }

// Everything a run in progress holds.
class Run {
 public:
  Run(const RunPlan& plan, RunFolder& folder, const RunOptions& options, RunListener& listener);
  RunEnd to_the_end();

 private:
  void announce();
  void one_step();
  void find_what_is_due(int64_t step);
  void do_what_is_due();
  void validate_now();
  void sample_now();
  void save();
  void raise(const AlarmRecord& alarm);

  const RunPlan& plan_;
  const spec::RunConfig& config_;
  RunFolder& folder_;
  const RunOptions& options_;
  RunListener& listener_;
  Trainer trainer_;
  RunRecords records_;
  RouterWatch watch_;
  BaseModel beside_;  // of adapters
  std::optional<tokenizer::Tokenizer> tokenizer_;
  bool validation_due_ = false, sample_due_ = false;  // after the last step done
  fs::path saved_as_;                                 // the newest checkpoint
  int64_t saved_at_ = -1;                             // and its step
};

Run::Run(const RunPlan& plan, RunFolder& folder, const RunOptions& options, RunListener& listener)
    : plan_(plan),
      config_(plan.config.config),
      folder_(folder),
      options_(options),
      listener_(listener),
      trainer_(config_, *plan.data.batches, plan.data.token_frequencies, options.parallel_for),
      records_(folder.path(), plan.step(), config_.train.log_every, *options.files),
      watch_(config_.model.num_experts_per_tok) {
  const bool adapted = config_.train.lora_rank > 0;
  if (adapted) beside_ = {options.init_path, formats::hash_of_weights(options.init_path, options.parallel_for)};
  if (!options.init_path.empty() && (adapted || !plan.checkpoint)) {
    trainer_.model().load(formats::ModelFolder::open(options.init_path));
  }
  if (plan.checkpoint) {
    load_checkpoint(*plan.checkpoint, trainer_.model(), trainer_.optimizer(), beside_);
    trainer_.go_to(plan.step());
    watch_.restore(plan.checkpoint->state.router_watch);
    saved_at_ = plan.step();
    saved_as_ = plan.checkpoint->path;
  }
  if (config_.train.sample_every > 0) tokenizer_ = tokenizer::load_tokenizer(plan.data.tokenizer_from);
  if (!plan.checkpoint) validation_due_ = plan.data.validation && plan.data.validates_first;
  if (records_.held("step")) {
    find_what_is_due(plan.step());
    validation_due_ = validation_due_ && !records_.held("validation");
    sample_due_ = sample_due_ && !records_.held("sample");
  }
}

void Run::announce() {
  RunStart start;
  start.output = folder_.path().string();
  start.step = plan_.step();
  start.steps = config_.train.steps;
  start.resumed_from = saved_as_.string();
  for (const Parameter& p : trainer_.optimizer().parameters()) start.parameters += p.value.numel();
  start.tokens_per_step = plan_.data.batches->tokens_before(start.steps) / start.steps;
  records_.add_line(start.to_json());
  listener_.on_start(start);
}

RunEnd Run::to_the_end() {
  announce();
  do_what_is_due();
  while (trainer_.steps_done() < config_.train.steps && !options_.stop()) {
    one_step();
    do_what_is_due();
    if (is_due(trainer_.steps_done(), config_.train.checkpoint_every, config_.train.steps)) save();
  }
  const bool done = trainer_.steps_done() == config_.train.steps && !validation_due_ && !sample_due_;
  if (saved_at_ != trainer_.steps_done() && trainer_.steps_done() > 0) save();
  records_.sync();
  return done ? RunEnd::kDone : RunEnd::kStopped;
}

void Run::one_step() {
  StepRecord record;
  try {
    record = trainer_.step();
  } catch (const base::Error& error) {
    if (error.kind() != base::ErrorKind::kNonFinite) throw;
    records_.sync();
    const std::string good = saved_as_.empty() ? "none yet" : saved_as_.string();
    throw base::Error(error.kind(), std::string(error.what()) + "; last good checkpoint: " + good);
  }
  records_.add(record);
  listener_.on_step(record);
  for (const AlarmRecord& alarm : watch_.observe(record.step, record.layers)) raise(alarm);
  if (const auto alarm = records_.take_alarm()) raise(*alarm);
  find_what_is_due(record.step);
}

void Run::find_what_is_due(int64_t step) {
  validation_due_ = plan_.data.validation && is_due(step, config_.train.validate_every, config_.train.steps);
  sample_due_ = tokenizer_ && is_due(step, config_.train.sample_every, config_.train.steps);
}

// In this order whatever was cut: a sample waits for the validation that a stop has put off.
void Run::do_what_is_due() {
  if (validation_due_) validate_now();
  if (sample_due_ && !validation_due_) sample_now();
}

void Run::raise(const AlarmRecord& alarm) {
  records_.add_line(alarm.to_json());
  listener_.on_alarm(alarm);
}

void Run::validate_now() {
  const int64_t most_tokens = config_.train.micro_batch * config_.train.sequence_length;
  const auto record = validate(trainer_.model(), *plan_.data.validation, most_tokens, options_.stop);
  if (!record) return;  // stopped: still owed, and the records show it
  ValidationRecord stamped = *record;
  stamped.step = trainer_.steps_done();
  records_.add(stamped);
  listener_.on_validation(stamped);
  validation_due_ = false;
}

void Run::sample_now() {
  const SampleRecord record{trainer_.steps_done(), sample_text(trainer_.model(), *tokenizer_,
                                                               {.seed = static_cast<uint64_t>(config_.train.seed)})};
  records_.add_line(record.to_json());
  listener_.on_sample(record);
  sample_due_ = false;
}

void Run::save() {
  const auto start = Clock::now();
  records_.sync();  // a checkpoint is never newer than the records before it
  const int64_t step = trainer_.steps_done();
  const TrainerState state{.step = step,
                           .tokens = trainer_.tokens(),
                           .seed = config_.train.seed,
                           .threads = options_.threads,
                           .data_hash = plan_.data.hash,
                           .router_watch = watch_.state()};
  const fs::path path = folder_.checkpoint_path(step);
  const uint64_t bytes = write_checkpoint(
      path, {trainer_.model(), trainer_.optimizer(), state, plan_.config, plan_.data.tokenizer_from, beside_},
      *options_.files, options_.parallel_for);
  saved_at_ = step;
  saved_as_ = path;
  folder_.publish(step, config_.train.keep_checkpoints);
  const CheckpointRecord record{step, path.string(), bytes,
                                std::chrono::duration<double>(Clock::now() - start).count()};
  records_.add_line(record.to_json());
  listener_.on_checkpoint(record);
}

}  // namespace

RunEnd run_training(spec::ResolvedConfig config, const RunOptions& options, RunListener& listener) {
  RunData data = open_corpus(config, options.init_path);
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
  require_memory(config.config, options.memory);
  RunFolder folder(config.config.output.dir, *options.files);
  const RunPlan plan = plan_run(std::move(config), std::move(data), folder, options, listener);
  Run run(plan, folder, options, listener);
  return run.to_the_end();
}

}  // namespace dsmoe::train
