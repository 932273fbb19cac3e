// Whole runs of the preset tiny: what they leave, that a cut one ends like an uncut one, and what they refuse.
#include "train/loop.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <sstream>

#include "corpus/dataset.h"
#include "formats/manifest.h"
#include "formats/model_folder.h"
#include "formats/model_folder_writer.h"
#include "train/checkpoint.h"
#include "train/test_support.h"

namespace dsmoe::train {
namespace {

using namespace testing;

/// Keeps everything, and can ask to stop after a step or in the middle of a validation.
class Recorder : public RunListener {
 public:
  void on_notice(const std::string& text) override { notices.push_back(text); }
  void on_start(const RunStart& value) override { start = value; }
  void on_step(const StepRecord& record) override {
    steps.push_back(record);
    stop = stop || record.step == stop_after;
  }
  void on_validation(const ValidationRecord& record) override { validations.push_back(record); }
  void on_checkpoint(const CheckpointRecord& record) override { checkpoints.push_back(record); }

  RunEnd run(const spec::ResolvedConfig& config, RunOptions options = {}) {
    options.stop = [this] { return stop; };
    options.files = &base::unsynced_files;
    return run_training(config, options, *this);
  }

  int64_t stop_after = -1;
  bool stop = false;
  RunStart start;
  std::vector<std::string> notices;
  std::vector<StepRecord> steps;
  std::vector<ValidationRecord> validations;
  std::vector<CheckpointRecord> checkpoints;
};

RunOptions resume_auto() {
  RunOptions options;
  options.resume = Resume::kAuto;
  return options;
}

/// metrics.jsonl without what a clock says and without what tells of cuts.
std::vector<std::string> series(const fs::path& output) {
  std::vector<std::string> lines;
  std::istringstream text(base::read_file(output / "metrics.jsonl"));
  for (std::string line; std::getline(text, line);) {
    base::Json record = base::parse_json(line, "metrics.jsonl");
    if (record["type"] != "step" && record["type"] != "validation" && record["type"] != "sample") continue;
    record.erase("tokens_per_s");
    record.erase("seconds");
    lines.push_back(base::dump_json(record));
  }
  return lines;
}

/// Weights and optimiser state must be the same bytes; trainer_state.json the same text.
void expect_same_checkpoint(const fs::path& a, const fs::path& b) {
  for (const char* file : {"model.safetensors", "optimizer.safetensors", "trainer_state.json"}) {
    EXPECT_TRUE(base::read_file(a / file) == base::read_file(b / file)) << file << " differs";
  }
}

class LoopTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    shared_ = new base::TestFolder("loop");
    make_corpus(shared_->path() / "corpus");
  }
  static void TearDownTestSuite() {
    delete shared_;
    shared_ = nullptr;
  }
  static fs::path corpus() { return shared_->path() / "corpus"; }
  static spec::ResolvedConfig config(const fs::path& output, std::vector<std::string> settings = {}) {
    return tiny_run(corpus(), output, std::move(settings));
  }
  static base::TestFolder* shared_;
};
base::TestFolder* LoopTest::shared_ = nullptr;

TEST_F(LoopTest, ARunLeavesWhatItPromises) {
  const base::TestFolder temp("leaves");
  const fs::path out = temp.path() / "run";
  Recorder recorder;
  EXPECT_EQ(recorder.run(config(out)), RunEnd::kDone);
  ASSERT_EQ(recorder.steps.size(), 12U);
  EXPECT_LT(recorder.steps.back().loss, recorder.steps.front().loss) << "it learns";
  const double vocabulary = static_cast<double>(corpus::TokenDataset::open(corpus(), "train").vocab_size());
  EXPECT_NEAR(recorder.steps.front().loss, std::log(vocabulary), 0.1) << "small weights know nothing: they guess";
  EXPECT_EQ(recorder.steps.back().tokens, 12 * 4 * 64);
  for (const StepRecord& step : recorder.steps) {
    ASSERT_EQ(step.layers.size(), 2U) << "the first of three layers is dense";
    for (const LayerLoad& load : step.layers) {
      int64_t sum = 0;
      for (const int64_t count : load.counts_E) sum += count;
      EXPECT_EQ(sum, 4 * 64 * 3) << "each token chose three experts";
    }
  }
  EXPECT_EQ(recorder.validations.size(), 3U) << "steps 5, 10 and the last";
  EXPECT_EQ(recorder.validations.back().domains.size(), 2U);
  EXPECT_EQ(recorder.checkpoints.size(), 3U) << "steps 4, 8 and 12";
  EXPECT_EQ(formats::ModelFolder::open(out / "latest").config().n_routed_experts, 8);
  EXPECT_TRUE(formats::ModelFolder::open(out / "step-00000012").verify());
  EXPECT_FALSE(fs::exists(out / "step-00000004")) << "keep_checkpoints is 2";
  EXPECT_EQ(spec::resolve((out / "run.toml").string()).config.train.steps, 12);
  for (const auto& entry : fs::directory_iterator(out)) {
    EXPECT_EQ(entry.path().filename().string().find(".tmp-"), std::string::npos) << entry.path();
  }
}

TEST_F(LoopTest, TheSameConfigurationGivesTheSameBits) {
  const base::TestFolder temp("same");
  Recorder a, b;
  a.run(config(temp.path() / "a"));
  b.run(config(temp.path() / "b"));
  EXPECT_EQ(series(temp.path() / "a"), series(temp.path() / "b"));
  expect_same_checkpoint(temp.path() / "a" / "latest", temp.path() / "b" / "latest");
  Recorder c;
  c.run(config(temp.path() / "c", {"train.seed=2"}));
  EXPECT_NE(series(temp.path() / "a"), series(temp.path() / "c")) << "the seed decides";
}

TEST_F(LoopTest, CutAfterEveryStepItEndsLikeTheUncutRun) {
  const base::TestFolder temp("cuts");
  Recorder whole;
  whole.run(config(temp.path() / "whole"));
  for (int64_t cut = 1; cut <= 12; ++cut) {
    Recorder piece;
    piece.stop_after = cut < 12 ? cut : -1;
    EXPECT_EQ(piece.run(config(temp.path() / "cut"), resume_auto()), cut < 12 ? RunEnd::kStopped : RunEnd::kDone);
    EXPECT_EQ(piece.start.step, cut - 1) << "it goes on where the last one stopped";
  }
  EXPECT_EQ(series(temp.path() / "whole"), series(temp.path() / "cut"));
  expect_same_checkpoint(temp.path() / "whole" / "latest", temp.path() / "cut" / "latest");
}

TEST_F(LoopTest, AValidationThatWasCutIsMadeUp) {
  const base::TestFolder temp("validation");
  Recorder whole;
  whole.run(config(temp.path() / "whole"));
  Recorder piece;
  piece.stop_after = 5;  // before the validation of step 5
  EXPECT_EQ(piece.run(config(temp.path() / "cut"), resume_auto()), RunEnd::kStopped);
  EXPECT_TRUE(piece.validations.empty());
  Recorder rest;
  EXPECT_EQ(rest.run(config(temp.path() / "cut"), resume_auto()), RunEnd::kDone);
  EXPECT_EQ(rest.validations.size(), 3U);
  EXPECT_EQ(series(temp.path() / "whole"), series(temp.path() / "cut"));
}

TEST_F(LoopTest, AStopInTheLastValidationLeavesNothingBehindWhenMadeUp) {
  const base::TestFolder temp("last");
  make_corpus(temp.path() / "corpus");
  write_byte_tokenizer(temp.path() / "corpus");
  const auto run = [&](const char* name) {
    return tiny_run(temp.path() / "corpus", temp.path() / name, {"train.sample_every=6"});
  };
  Recorder whole, piece, rest, after;
  EXPECT_EQ(whole.run(run("whole")), RunEnd::kDone);
  piece.stop_after = 12;
  EXPECT_EQ(piece.run(run("cut"), resume_auto()), RunEnd::kStopped) << "its validation and its sample are owed";
  EXPECT_EQ(piece.checkpoints.back().step, 12);
  EXPECT_EQ(rest.run(run("cut"), resume_auto()), RunEnd::kDone);
  EXPECT_TRUE(rest.steps.empty());
  EXPECT_EQ(series(temp.path() / "whole"), series(temp.path() / "cut")) << "the sample after the validation";
  expect_same_checkpoint(temp.path() / "whole" / "latest", temp.path() / "cut" / "latest");
  EXPECT_EQ(after.run(run("cut"), resume_auto()), RunEnd::kDone);
  EXPECT_TRUE(after.validations.empty()) << "made up once";
}

TEST_F(LoopTest, ADamagedCheckpointIsNamedAndTheOneBeforeIsUsed) {
  const base::TestFolder temp("damaged");
  Recorder whole;
  whole.run(config(temp.path() / "run", {"train.steps=8"}));
  std::string weights = base::read_file(temp.path() / "run" / "step-00000008" / "model.safetensors");
  weights[weights.size() / 2] = static_cast<char>(weights[weights.size() / 2] ^ 4);
  overwrite(temp.path() / "run" / "step-00000008" / "model.safetensors", weights);
  Recorder again;
  again.run(config(temp.path() / "run", {"train.steps=8"}), resume_auto());
  EXPECT_EQ(again.start.step, 4);
  ASSERT_GE(again.notices.size(), 2U);
  EXPECT_NE(again.notices[0].find("step-00000008"), std::string::npos);
  EXPECT_TRUE(fs::exists(temp.path() / "run" / "aside-step-00000008")) << "moved, not removed";
  EXPECT_NO_THROW(formats::verify_manifest(temp.path() / "run" / "step-00000008")) << "made again";
}

TEST_F(LoopTest, AnotherConfigurationIsRefusedNamingTheKey) {
  const base::TestFolder temp("other");
  const fs::path out = temp.path() / "run";
  Recorder recorder;
  recorder.run(config(out, {"train.steps=4"}));
  const auto refusal = [&](std::vector<std::string> settings) {
    Recorder other;
    return error_of([&] { other.run(config(out, std::move(settings)), resume_auto()); });
  };
  for (const char* setting : {"train.seed=7", "train.learning_rate=0.5", "train.micro_batch=4", "train.beta2=0.9",
                              "model.n_shared_experts=1", "train.warmup_steps=1"}) {
    const base::Error error = refusal({setting});
    const std::string key = std::string(setting).substr(0, std::string(setting).find('='));
    EXPECT_EQ(error.exit_code(), 3) << setting;
    EXPECT_NE(std::string(error.what()).find(key), std::string::npos) << error.what();
  }
  EXPECT_EQ(refusal({"train.steps=3"}).exit_code(), 3) << "it has done more already";
  Recorder further;
  EXPECT_EQ(
      further.run(config(out, {"train.steps=6", "train.validate_every=3", "train.keep_checkpoints=1"}), resume_auto()),
      RunEnd::kDone);
  EXPECT_EQ(further.steps.size(), 2U);
}

TEST_F(LoopTest, OtherDataIsRefused) {
  const base::TestFolder temp("data");
  make_corpus(temp.path() / "corpus", 80);
  Recorder recorder, other;
  recorder.run(config(temp.path() / "run", {"train.steps=4"}));
  const base::Error error = error_of(
      [&] { other.run(tiny_run(temp.path() / "corpus", temp.path() / "run", {"train.steps=8"}), resume_auto()); });
  EXPECT_NE(std::string(error.what()).find("other data"), std::string::npos) << error.what();
}

TEST_F(LoopTest, ARenamedCheckpointIsRefusedNotForgotten) {
  const base::TestFolder out("renamed");
  Recorder recorder, again;
  recorder.run(config(out.path(), {"train.steps=2"}));
  fs::rename(out / "step-00000002", out / "step-2");
  fs::remove(out / "metrics.jsonl");
  for (const RunOptions& options : {resume_auto(), RunOptions()}) {
    const base::Error error = error_of([&] { again.run(config(out.path(), {"train.steps=2"}), options); });
    EXPECT_NE(std::string(error.what()).find("step-2"), std::string::npos) << error.what();
  }
}

TEST_F(LoopTest, WithoutResumeARunIsNotOverwritten) {
  const base::TestFolder temp("never");
  Recorder recorder, again;
  recorder.run(config(temp.path() / "run", {"train.steps=2"}));
  const base::Error error = error_of([&] { again.run(config(temp.path() / "run", {"train.steps=2"})); });
  EXPECT_EQ(error.exit_code(), 3);
  EXPECT_NE(std::string(error.what()).find("--resume auto"), std::string::npos);
}

TEST_F(LoopTest, GoingBackToANamedCheckpoint) {
  const base::TestFolder temp("path");
  const fs::path out = temp.path() / "run";
  Recorder first, second;
  first.run(config(out));
  RunOptions options;
  options.resume = Resume::kPath;
  options.resume_path = out / "step-00000008";
  EXPECT_EQ(second.run(config(out), options), RunEnd::kDone);
  EXPECT_EQ(second.start.step, 8);
  expect_same_checkpoint(out / "aside-step-00000012", out / "step-00000012");
  for (const char* spelling :
       {"step-00000008/", "step-00000008//", "./step-00000008/.", "step-00000012/../step-00000008"}) {
    Recorder again;
    options.resume_path = out.string() + "/" + spelling;
    again.stop = true;
    again.run(config(out), options);
    EXPECT_EQ(again.start.step, 8) << spelling;
    fs::remove_all(out / "step-00000012");
    fs::copy(out / "aside-step-00000012", out / "step-00000012");
  }
}

TEST_F(LoopTest, ACheckpointUnderAnotherStepsNameIsRefusedAndStays) {
  const base::TestFolder temp("renamed");
  const fs::path out = temp.path() / "run";
  Recorder recorder;
  recorder.run(config(out, {"train.steps=4"}));
  for (const char* name : {"step-00000099", "step-00000002"}) {
    fs::rename(out / "step-00000004", out / name);
    RunOptions named;
    named.resume = Resume::kPath;
    named.resume_path = out / name;
    for (const RunOptions& options : {resume_auto(), named}) {
      Recorder other;
      const base::Error error = error_of([&] { other.run(config(out, {"train.steps=8"}), options); });
      EXPECT_EQ(error.exit_code(), 3);
      EXPECT_NE(std::string(error.what()).find("holds step 4"), std::string::npos) << error.what();
      EXPECT_TRUE(fs::exists(out / name)) << "not set aside";
    }
    fs::rename(out / name, out / "step-00000004");
  }
  Recorder again;
  again.run(config(out, {"train.steps=8"}), resume_auto());
  EXPECT_EQ(again.start.step, 4);
}

TEST_F(LoopTest, ARunThatDoesNotFitIntoMemoryIsRefusedBeforeItBegins) {
  const base::TestFolder temp("memory");
  RunOptions options;
  options.memory = 1000000;
  Recorder recorder;
  const base::Error error = error_of([&] { recorder.run(config(temp.path() / "run"), options); });
  EXPECT_EQ(error.exit_code(), 3);
  EXPECT_NE(std::string(error.what()).find("available are 0.001 GB"), std::string::npos) << error.what();
  EXPECT_FALSE(fs::exists(temp.path() / "run"));
  options.memory = UINT64_MAX;
  EXPECT_EQ(recorder.run(config(temp.path() / "run", {"train.steps=1"}), options), RunEnd::kDone);
}

TEST_F(LoopTest, CutBeforeTheFirstCheckpointTheStepsStayFixed) {
  const base::TestFolder temp("minutes_early");
  Recorder first, second;
  RunOptions options = resume_auto();
  options.step_seconds = 0.1;
  first.stop = true;  // before the first step
  EXPECT_EQ(first.run(config(temp.path() / "run", {"train.minutes=0.02"}), options), RunEnd::kStopped);
  EXPECT_TRUE(first.checkpoints.empty()) << "nothing has been learnt";
  options.step_seconds = 0.01;
  second.stop = true;
  second.run(config(temp.path() / "run", {"train.minutes=0.02"}), options);
  EXPECT_EQ(second.start.steps, first.start.steps);
}

TEST_F(LoopTest, SpeedIsMeasuredWithoutATrace) {
  const base::TestFolder temp("measure");
  Recorder measured;
  measured.run(config(temp.path() / "run", {"train.minutes=0.0001"}));
  EXPECT_EQ(measured.start.steps, 1) << "no time at all is still one step";
  Recorder fixed;
  fixed.run(config(temp.path() / "fixed", {"train.steps=1"}));
  EXPECT_EQ(measured.steps.at(0).loss, fixed.steps.at(0).loss);
}

TEST_F(LoopTest, MinutesFixTheStepsOnceAndForAll) {
  const base::TestFolder temp("minutes");
  const fs::path out = temp.path() / "run";
  const std::vector<std::string> settings = {"train.minutes=0.02"};  // 1.2 s
  RunOptions options = resume_auto();
  options.step_seconds = 0.1;
  Recorder first;
  first.stop_after = 3;
  ASSERT_EQ(first.run(config(out, settings), options), RunEnd::kStopped);
  const int64_t steps = first.start.steps;
  EXPECT_GT(steps, 5);
  EXPECT_LT(steps, 12) << "validations take their part";
  EXPECT_EQ(spec::resolve((out / "run.toml").string()).config.train.steps, steps);
  Recorder second;
  EXPECT_EQ(second.run(config(out, settings), resume_auto()), RunEnd::kDone);
  EXPECT_EQ(second.start.steps, steps) << "not measured again";
  Recorder fixed;
  fixed.run(config(temp.path() / "fixed", {"train.steps=" + std::to_string(steps)}));
  std::vector<StepRecord> pieces = first.steps;
  pieces.insert(pieces.end(), second.steps.begin(), second.steps.end());
  ASSERT_EQ(fixed.steps.size(), pieces.size());
  for (size_t i = 0; i < pieces.size(); ++i) EXPECT_EQ(fixed.steps[i].loss, pieces[i].loss);
  // Named steps make the run longer, as in a run that never knew minutes; other minutes are another run.
  Recorder longer, other;
  longer.run(config(out, {"train.steps=" + std::to_string(steps + 1)}), resume_auto());
  EXPECT_EQ(longer.start.steps, steps + 1);
  EXPECT_EQ(longer.start.step, steps);
  EXPECT_THROW(other.run(config(out, {"train.minutes=0.03"}), resume_auto()), base::Error);
}

/// A model folder whose weights hold a NaN, for --init.
void write_poisoned(const spec::ModelConfig& model, const fs::path& path) {
  base::FolderWriter folder(path, base::unsynced_files);
  formats::ModelFolderWriter writer(folder.path(), model, {.dtype = formats::Dtype::kF32}, base::unsynced_files);
  spec::for_each_tensor(model, [&](const spec::TensorSpec& tensor) {
    std::vector<float> values(static_cast<size_t>(tensor.numel()), 0.01F);
    if (tensor.role == spec::TensorRole::kHead) values[5] = std::numeric_limits<float>::quiet_NaN();
    writer.append_f32(values);
  });
  writer.finish();
  folder.commit();
}

TEST_F(LoopTest, ANonFiniteLossStopsBeforeTheUpdate) {
  const base::TestFolder temp("nan");
  const spec::ResolvedConfig run = config(temp.path() / "run");
  write_poisoned(run.config.model, temp.path() / "poisoned");
  RunOptions options;
  options.init_path = temp.path() / "poisoned";
  Recorder recorder;
  const base::Error error = error_of([&] { recorder.run(run, options); });
  EXPECT_EQ(error.exit_code(), 6);
  EXPECT_NE(std::string(error.what()).find("step 1"), std::string::npos) << error.what();
  EXPECT_NE(std::string(error.what()).find("last good checkpoint: none yet"), std::string::npos) << error.what();
  EXPECT_TRUE(recorder.steps.empty());
  EXPECT_FALSE(fs::exists(temp.path() / "run" / "step-00000001"));
}

TEST_F(LoopTest, BordersOfDocumentsComeFromTheData) {
  const base::TestFolder temp("borders");
  Recorder recorder;
  const base::Error error = error_of([&] { recorder.run(config(temp.path() / "a", {"model.bos_token_id=3"})); });
  EXPECT_NE(std::string(error.what()).find("model.bos_token_id"), std::string::npos) << error.what();
  const base::Error small = error_of([&] { recorder.run(config(temp.path() / "b", {"model.vocab_size=200"})); });
  EXPECT_NE(std::string(small.what()).find("model.vocab_size"), std::string::npos) << small.what();
  const base::Error missing = error_of([&] { recorder.run(config(temp.path() / "c", {"data.path="})); });
  EXPECT_NE(std::string(missing.what()).find("data.path"), std::string::npos) << missing.what();
}

}  // namespace
}  // namespace dsmoe::train
