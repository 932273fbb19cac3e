// Carrying a plan out, with a small program in the trainer's place that does what dsmoe train does to a folder.
#include "compare/runner.h"

#include <sys/stat.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/test_files.h"
#include "compare/probe.h"
#include "compare/testing.h"

namespace dsmoe::compare {
namespace {

namespace fs = base::fs;
using testing::HasSubstr;

// Reads train.steps, output.dir and train.seed from its arguments and leaves records and a checkpoint. With a file
// called `fail` or `stop` beside the output it ends with 3, or once with 75 after half of its steps.
constexpr const char* kTrainer = R"sh(#!/bin/sh
for word in "$@"; do
  case "$word" in
    output.dir=*) out=${word#*=} ;;
    train.steps=*) steps=${word#*=} ;;
  esac
done
here=$(dirname "$(dirname "$out")")
mkdir -p "$out/step-1"
echo "$@" >> "$here/calls"
[ ! -e "$here/fail" ] || { echo "error: [train] made to fail"; exit 3; }
if [ -e "$here/stop" ]; then rm "$here/stop"; exit 75; fi
i=0
while [ $i -lt "$steps" ]; do
  i=$((i + 1))
  echo "{\"type\":\"step\",\"step\":$i,\"tokens\":$((i * 4096)),\"loss\":4.5,\"tokens_per_s\":4096}"
done > "$out/metrics.jsonl"
echo >> "$out/metrics.jsonl"
echo '{"type":"validation","step":1,"nats_per_token":4.4,"max_vio":0.5}' >> "$out/metrics.jsonl"
ln -sfn step-1 "$out/latest"
)sh";

class Silent : public RunnerListener {
 public:
  void on_progress(double, double, const std::vector<std::string>&) override {}
  void on_finished(const compare::Run& run, const RunResult&) override { finished.push_back(run.name()); }
  void on_notice(const std::string&) override {}
  std::vector<std::string> finished;
};

class RunnerTest : public testing::Test {
 protected:
  RunnerTest() {
    base::write_file(folder_ / "trainer", kTrainer);
    ::chmod((folder_ / "trainer").c_str(), 0755);
    options_.folder = folder_ / "out";
    options_.data = "data";
    options_.trainer = folder_ / "trainer";
    options_.build = {"0.1.0", "scalar"};
    options_.data_hash = "hash";
    options_.jobs = 2;
    options_.niceness = 0;
    options_.look_every = 0.005;
    options_.score = [](const fs::path& model, RunResult& result) {
      EXPECT_TRUE(fs::exists(model));
      result.score = {4.4, 1.5, 1000, 4000};
    };
    options_.stop = [] { return false; };
  }
  RunnerEnd go(const std::string& text = kTwoArms) {
    const Plan plan = parse_plan(text, "plan");
    return run_comparison(plan, text, runs_of(plan), options_, listener_);
  }
  std::string refusal(const std::string& text = kTwoArms) {
    try {
      go(text);
    } catch (const base::Error& error) {
      return error.what();
    }
    return "done";
  }

  base::TestFolder folder_{"runner"};
  RunnerOptions options_;
  Silent listener_;
};

TEST_F(RunnerTest, RunsEveryArmOfEverySeedAndOnlyOnce) {
  EXPECT_EQ(go(), RunnerEnd::kDone);
  EXPECT_EQ(read_results(results_folder(options_.folder)).size(), 6u);
  EXPECT_EQ(listener_.finished.size(), 6u);
  EXPECT_FALSE(fs::exists(options_.folder / "runs" / "gshard-seed1" / "step-1")) << "checkpoints go with the result";
  EXPECT_EQ(go(), RunnerEnd::kDone);
  EXPECT_EQ(listener_.finished.size(), 6u) << "nothing is run twice";
}

TEST_F(RunnerTest, ARunThatWasStoppedGoesOn) {
  fs::create_directories(options_.folder);
  base::write_file(options_.folder / "stop", "");
  options_.jobs = 1;
  EXPECT_EQ(go(), RunnerEnd::kDone);
  EXPECT_EQ(listener_.finished.size(), 6u);
  const std::string calls = base::read_file(options_.folder / "calls");
  EXPECT_EQ(std::count(calls.begin(), calls.end(), '\n'), 7);
  EXPECT_THAT(calls, HasSubstr("--resume auto"));
}

TEST_F(RunnerTest, AFailedRunIsNamedWithItsLastWords) {
  fs::create_directories(options_.folder);
  base::write_file(options_.folder / "fail", "");
  EXPECT_THAT(refusal(), HasSubstr("made to fail"));
}

TEST_F(RunnerTest, RefusesAnotherPlanBuildOrData) {
  ASSERT_EQ(go(), RunnerEnd::kDone);
  EXPECT_THAT(refusal(std::string("# changed\n") + kTwoArms), HasSubstr("another plan"));
  options_.build.isa = "avx2";
  EXPECT_THAT(refusal(), HasSubstr("one build and instruction set"));
  options_.build.isa = "scalar";
  options_.data_hash = "other";
  EXPECT_THAT(refusal(), HasSubstr("the same data"));
}

TEST_F(RunnerTest, AnotherBuildGoesOnWhereAProbeRunGivesTheSameBits) {
  ASSERT_EQ(go(), RunnerEnd::kDone);
  const Build before = options_.build;
  fs::remove(results_folder(options_.folder) / "gshard-seed2.json");
  options_.build.isa = "avx2";
  EXPECT_THAT(refusal(), HasSubstr("--probe RUN"));
  const Plan plan = parse_plan(kTwoArms, "plan");
  const auto probe = [&](const std::string& name) {
    return probe_build(plan, kTwoArms, runs_of(plan), name, options_, listener_);
  };
  EXPECT_THROW(probe("nobody"), base::Error);
  EXPECT_THROW(probe("gshard-seed2"), base::Error) << "it has no result";

  const auto score = options_.score;
  options_.score = [](const fs::path&, RunResult& result) {
    result.score = {std::nextafter(4.4, 5.0), 1.5, 1000, 4000};  // the least other bits
  };
  EXPECT_THROW(probe("gshard-seed1"), base::Error);
  EXPECT_TRUE(read_probes(options_.folder).empty());

  options_.score = score;
  EXPECT_EQ(probe("gshard-seed1"), RunnerEnd::kDone);
  EXPECT_TRUE(builds_agree(before, options_.build, read_probes(options_.folder)));
  EXPECT_FALSE(builds_agree(before, {"0.2.0", "avx2"}, read_probes(options_.folder)));
  EXPECT_EQ(go(), RunnerEnd::kDone);
  EXPECT_EQ(read_results(results_folder(options_.folder), read_probes(options_.folder)).size(), 6u);
  EXPECT_THROW(read_results(results_folder(options_.folder)), base::Error);
  EXPECT_THROW(probe("gshard-seed2"), base::Error) << "it is of this build";
}

TEST_F(RunnerTest, NothingOfAStrangersIsWrittenOver) {
  fs::create_directories(options_.folder);
  base::write_file(options_.folder / "report.html", "precious");
  EXPECT_THAT(refusal(), HasSubstr("would write over"));
  EXPECT_EQ(base::read_file(options_.folder / "report.html"), "precious");
  fs::remove(options_.folder / "report.html");
  fs::create_directories(options_.folder / "results");
  EXPECT_THAT(refusal(), HasSubstr("results; move it away"));
  fs::remove(options_.folder / "results");
  EXPECT_TRUE(fs::is_empty(options_.folder)) << "and nothing is left there";
  base::write_file(options_.folder / "notes", "beside it");
  EXPECT_EQ(go(), RunnerEnd::kDone);
  EXPECT_EQ(go(), RunnerEnd::kDone) << "its own it makes anew";
}

TEST_F(RunnerTest, AFolderThatCannotBeIsRefusedByTheRuleOfOutputs) {
  options_.folder = folder_ / "file";
  base::write_file(options_.folder, "x");
  EXPECT_THAT(refusal(), HasSubstr("[output] a folder is to be made, and something else is there"));
  options_.folder = folder_ / std::string(300, 'a');
  EXPECT_THAT(refusal(), HasSubstr("[output] a name is too long"));
}

TEST_F(RunnerTest, APausedComparisonStartsNothingAndAStopLeavesIt) {
  ASSERT_EQ(go(), RunnerEnd::kDone);
  fs::remove_all(results_folder(options_.folder));
  set_paused(options_.folder, true);
  int asked = 0;
  options_.stop = [&] { return ++asked > 2; };
  listener_.finished.clear();
  EXPECT_EQ(go(), RunnerEnd::kStopped);
  EXPECT_TRUE(listener_.finished.empty());
  set_paused(options_.folder, false);
  options_.stop = [] { return false; };
  EXPECT_EQ(go(), RunnerEnd::kDone);
  EXPECT_THROW(set_paused(folder_ / "nothing", true), base::Error);
}

TEST_F(RunnerTest, AStopWhileAModelIsScoredLeavesNoResultAndIsMadeUpFor) {
  bool stopping = true;
  options_.study = [&](const fs::path&, const compare::Run&, RunStudies& studies) {
    if (stopping) base::fail(base::ErrorKind::kStopped, "test", "stopped");
    studies.tasks.push_back({"t", "acc", "h", 1, 0, 1, 0, 0, false});
  };
  EXPECT_EQ(go(), RunnerEnd::kStopped);
  EXPECT_TRUE(fs::is_empty(results_folder(options_.folder)));
  stopping = false;
  EXPECT_EQ(go(), RunnerEnd::kDone);
  EXPECT_EQ(read_studies(studies_folder(options_.folder)).size(), 6u);
  EXPECT_EQ(listener_.finished.size(), 6u);
}

TEST_F(RunnerTest, ATrainerThatIsMissingIsNamed) {
  options_.trainer = folder_ / "missing";
  EXPECT_THAT(refusal(), HasSubstr("cannot start"));
}

}  // namespace
}  // namespace dsmoe::compare
