// Runs whose experts are spread over ranks, from the outside: what they write is what one rank writes, and any of them
// goes on from any other. Ranks are threads of this process.
#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "comm/threads.h"
#include "train/checkpoint.h"
#include "train/loop.h"
#include "train/test_support.h"
#include "train/trainer.h"

namespace dsmoe::train {
namespace {

using namespace testing;

/// Ranks, of which `expert` have the experts between them.
struct Shape {
  int ranks, expert;
};

class Recorder : public RunListener {
 public:
  void on_step(const StepRecord& record) override { steps.push_back(record); }
  void on_validation(const ValidationRecord& record) override { validations.push_back(record); }
  void on_sample(const SampleRecord& record) override { samples.push_back(record); }
  std::vector<StepRecord> steps;
  std::vector<ValidationRecord> validations;
  std::vector<SampleRecord> samples;
};

class MeshRun : public ::testing::Test {
 protected:
  MeshRun() {
    at::set_num_threads(1);
    make_corpus(temp_.path() / "corpus");
    write_byte_tokenizer(temp_.path() / "corpus");
  }
  ~MeshRun() override { at::set_num_threads(threads_before_); }

  spec::ResolvedConfig config(const std::string& output, int expert) const {
    return tiny_run(temp_.path() / "corpus", temp_.path() / output,
                    {"parallel.expert=" + std::to_string(expert), "train.sample_every=6", "train.global_batch=8",
                     "train.validate_tokens=400", "train.aux_loss_alpha=0.1", "train.capacity_factor=2"});
  }
  /// From where the run in that folder is, for so many steps.
  Recorder run(const std::string& output, const Shape& shape, size_t steps) const {
    Recorder recorder;
    comm::on_threads(shape.ranks, [&](const comm::Group& group) {
      RunListener silent;
      RunOptions options;
      options.group = group;
      options.resume = Resume::kAuto;
      options.files = &base::unsynced_files;
      options.stop = [&] { return group.first() && recorder.steps.size() == steps; };
      run_training(config(output, shape.expert), options, group.first() ? static_cast<RunListener&>(recorder) : silent);
    });
    return recorder;
  }

  base::TestFolder temp_{"mesh"};
  int threads_before_ = at::get_num_threads();
};

TEST_F(MeshRun, WhatRanksWriteIsWhatOneRankWrites) {
  spec::ResolvedConfig one = config("run", 1);
  const RunData data = open_corpus(one, {});
  Trainer trainer(one.config, *data.batches, {}, {});
  trainer.step();
  const TrainerState state{
      .step = 1, .tokens = trainer.tokens(), .seed = one.config.train.seed, .data_hash = data.hash};
  const auto write = [&](const Trainer& from, const std::string& name) {
    write_checkpoint(temp_.path() / name, {from.model(), from.optimizer(), state, one, temp_.path() / "corpus"},
                     base::unsynced_files, base::serial_for);
  };
  write(trainer, "one");
  const CheckpointInfo info = open_checkpoint(temp_.path() / "one");
  for (const auto& [ranks, expert] : {Shape{2, 2}, Shape{4, 2}, Shape{3, 3}}) {
    const std::string name = std::to_string(ranks) + "-" + std::to_string(expert);
    spec::RunConfig many = one.config;
    many.parallel.expert = expert;
    comm::on_threads(ranks, [&](const comm::Group& group) {
      Trainer other(many, *data.batches, {}, {base::serial_for, group});
      load_checkpoint(info, other.model(), other.optimizer());
      group.first() ? write(other, name) : give_to_checkpoint(other.model(), other.optimizer());
    });
    for (const char* file : {"config.json", "model.safetensors", "optimizer.safetensors", "manifest.json"}) {
      EXPECT_TRUE(base::read_file(temp_.path() / "one" / file) == base::read_file(temp_.path() / name / file))
          << file << " of " << name;
    }
  }
}

TEST_F(MeshRun, AnyMeshGoesOnFromAnyOther) {
  const Recorder one = run("one", {1, 1}, 100);
  ASSERT_EQ(one.steps.size(), 12U);
  Recorder all;
  const auto go_on = [&](const Shape& shape, size_t steps) {
    const Recorder part = run("many", shape, steps);
    all.steps.insert(all.steps.end(), part.steps.begin(), part.steps.end());
    all.validations.insert(all.validations.end(), part.validations.begin(), part.validations.end());
    all.samples.insert(all.samples.end(), part.samples.begin(), part.samples.end());
  };
  for (const Shape& shape : {Shape{2, 2}, Shape{1, 1}, Shape{4, 2}, Shape{4, 4}, Shape{4, 1}}) go_on(shape, 2);
  go_on({2, 2}, 100);  // to the end
  ASSERT_EQ(all.steps.size(), one.steps.size());
  for (size_t s = 0; s < one.steps.size(); ++s) {
    SCOPED_TRACE("step " + std::to_string(s + 1));
    EXPECT_EQ(all.steps[s].step, one.steps[s].step);
    EXPECT_NEAR(all.steps[s].loss, one.steps[s].loss, 1e-4);
    EXPECT_NEAR(all.steps[s].balance_loss, one.steps[s].balance_loss, 1e-4);
    EXPECT_NEAR(all.steps[s].grad_norm, one.steps[s].grad_norm, 1e-3 * one.steps[s].grad_norm);
  }
  ASSERT_EQ(all.validations.size(), one.validations.size());
  for (size_t v = 0; v < one.validations.size(); ++v) {
    EXPECT_EQ(all.validations[v].all.tokens, one.validations[v].all.tokens);
    EXPECT_NEAR(all.validations[v].all.nats_per_token, one.validations[v].all.nats_per_token, 1e-4);
  }
  EXPECT_EQ(all.samples.size(), one.samples.size());
}

TEST_F(MeshRun, AnExpertThatDoesNotDivideTheProcessesIsRefused) {
  EXPECT_THAT(error_of([&] { run("three", {3, 2}, 1); }).what(), ::testing::HasSubstr("train.global_batch"));
  const std::string said = error_of([&] { run("two", {2, 4}, 1); }).what();
  EXPECT_THAT(said, ::testing::HasSubstr("[parallel] expert must divide the number of processes: 4 and 2"));
  EXPECT_THAT(error_of([&] { run("one", {1, 2}, 1); }).what(), ::testing::HasSubstr("2 and 1"));
  EXPECT_FALSE(fs::exists(temp_.path() / "two"));
}

}  // namespace
}  // namespace dsmoe::train
