#include "train/run_writer.h"

#include <chrono>

#include "train/checkpoint.h"
#include "train/sample.h"

namespace dsmoe::train {

namespace fs = base::fs;
using Clock = std::chrono::steady_clock;

RunWriter::RunWriter(const RunPlan& plan, RunFolder& folder, const RunOptions& options, RunListener& listener)
    : plan_(plan),
      folder_(folder),
      options_(options),
      listener_(listener),
      records_(folder.path(), plan.step(), plan.config.config.train.log_every, *options.files),
      watch_(plan.config.config.model.num_experts_per_tok) {
  if (plan.checkpoint) {
    watch_.restore(plan.checkpoint->state.router_watch);
    saved_as_ = plan.checkpoint->path;
  }
  if (plan.config.config.train.sample_every > 0) tokenizer_ = tokenizer::load_tokenizer(plan.data.tokenizer_from);
}

void RunWriter::start(const Trainer& trainer) {
  RunStart start;
  start.output = folder_.path().string();
  start.step = plan_.step();
  start.steps = plan_.config.config.train.steps;
  start.resumed_from = saved_as_.string();
  for (const Parameter& p : trainer.optimizer().parameters()) start.parameters += p.whole_numel();
  start.tokens_per_step = plan_.data.batches->tokens_before(start.steps) / start.steps;
  records_.add_line(start.to_json());
  if (plan_.data.description.contains("experts")) {
    base::Json chosen = plan_.data.description["experts"];
    chosen.erase("layers");  // every expert's scores
    chosen["type"] = "experts";
    records_.add_line(chosen);
  }
  listener_.on_start(start);
}

void RunWriter::add(const StepRecord& record) {
  records_.add(record);
  listener_.on_step(record);
  for (const AlarmRecord& alarm : watch_.observe(record.step, record.layers)) raise(alarm);
  if (const auto alarm = records_.take_alarm()) raise(*alarm);
}

void RunWriter::raise(const AlarmRecord& alarm) {
  records_.add_line(alarm.to_json());
  listener_.on_alarm(alarm);
}

void RunWriter::add(const ValidationRecord& record) {
  records_.add(record);
  listener_.on_validation(record);
}

void RunWriter::sample(const Trainer& trainer) {
  const SampleRecord record{
      trainer.steps_done(),
      sample_text(trainer.model(), *tokenizer_, sample_options(plan_.config.config.train), options_.group)};
  records_.add_line(record.to_json());
  listener_.on_sample(record);
}

void RunWriter::save(const Trainer& trainer) {
  const auto start = Clock::now();
  records_.sync();  // a checkpoint is never newer than the records before it
  const spec::TrainConfig& train = plan_.config.config.train;
  const TrainerState state{.step = trainer.steps_done(),
                           .tokens = trainer.tokens(),
                           .seed = train.seed,
                           .threads = options_.threads,
                           .data_hash = plan_.data.hash,
                           .router_watch = watch_.state()};
  const fs::path path = folder_.checkpoint_path(state.step);
  const uint64_t bytes = write_checkpoint(
      path, {trainer.model(), trainer.optimizer(), state, plan_.config, plan_.data.tokenizer_from, plan_.beside},
      *options_.files, options_.parallel_for);
  saved_as_ = path;
  folder_.publish(state.step, train.keep_checkpoints);
  const CheckpointRecord record{state.step, path.string(), bytes,
                                std::chrono::duration<double>(Clock::now() - start).count()};
  records_.add_line(record.to_json());
  listener_.on_checkpoint(record);
}

}  // namespace dsmoe::train
