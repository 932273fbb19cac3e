// dsmoe launch: a training command in several processes of this machine.
#include <csignal>
#include <cstring>
#include <iostream>
#include <memory>

#include "apps/commands.h"
#include "apps/launched_ranks.h"
#include "apps/real_number.h"
#include "apps/stop_signals.h"
#include "apps/training_program.h"
#include "apps/whole_number.h"
#include "base/error.h"
#include "base/file.h"

namespace dsmoe::apps {
namespace {

struct LaunchArguments {
  int ranks = 0, restarts = 0;
  double timeout = 300;
  bool check = false;
  std::vector<std::string> words;
};

std::string how(const JobEnd& end) {
  const std::string rank = "rank " + std::to_string(end.rank);
  if (end.code <= 128) return rank + " ended with exit code " + std::to_string(end.code);
  const int signal = end.code - 128;
  return rank + " was ended by signal " + std::to_string(signal) + " (" + ::strsignal(signal) + ")";
}

// Bad configuration, a full disk or a loss that is not finite would come again; what a machine does to a process, and
// what no error foresaw, may not.
bool may_pass(const JobEnd& end) {
  return end.code > 128 || end.code == 7 || end.code == static_cast<int>(base::ErrorKind::kFailure);
}

[[noreturn]] void fail(const JobEnd& end) {
  const bool by_signal = end.code > 128;
  base::fail(
      by_signal ? base::ErrorKind::kFailure : static_cast<base::ErrorKind>(end.code), "launch", "the job has ended",
      how(end),
      by_signal ? "the same command with --resume auto goes on from the last checkpoint" : "what it said is above");
}

void run(const LaunchArguments& arguments) {
  const std::string& command = arguments.words.front();
  if (command != "train" && command != "sft") {
    base::fail(base::ErrorKind::kUsage, "launch", "the command to launch is train or sft", base::in_quotes(command),
               "dsmoe launch -n 2 -- train CONFIG output.dir=RUN");
  }
  LaunchPlan plan;
  plan.words = {training_program().string()};
  plan.words.insert(plan.words.end(), arguments.words.begin(), arguments.words.end());
  plan.ranks = arguments.ranks;
  plan.timeout = arguments.timeout;
  plan.check = arguments.check;
  const StopSignals signals({SIGINT, SIGTERM, SIGHUP, SIGUSR1});
  std::signal(SIGPIPE, SIG_IGN);
  for (;; ++plan.restart) {
    const JobEnd end = run_ranks(plan, [&] { return signals.requested(); });
    if (end.code == 0) return;
    const bool stopped = signals.requested() || end.code == static_cast<int>(base::ErrorKind::kStopped);
    if (stopped) {
      base::fail(base::ErrorKind::kStopped, "launch", "stopped", how(end),
                 "the same command with --resume auto goes on");
    }
    if (plan.restart >= arguments.restarts || !may_pass(end)) fail(end);
    std::cerr << "launch: " << how(end) << "; starting again from the last checkpoint, " << plan.restart + 1 << " of "
              << arguments.restarts << "\n";
  }
}

}  // namespace

void add_launch(CLI::App& program) {
  CLI::App* command = program.add_subcommand("launch", "Train in several processes of this machine");
  const auto arguments = std::make_shared<LaunchArguments>();
  add_whole_number(*command, "-n,--processes", arguments->ranks,
                   "processes; each takes as many micro-batches of a step", {1, 1024})
      ->required()
      ->default_str("");
  add_whole_number(*command, "--max-restarts", arguments->restarts, "starts again that often after a process was lost",
                   {0, 1'000'000});
  add_real_number(*command, "--timeout", arguments->timeout, "seconds that a process waits for the others")
      ->check(CLI::Range(0.1, 1e6).description(""));
  command->add_flag("--check", arguments->check, "compare what processes are about to do, to find one out of step");
  command->add_option("command", arguments->words, "train or sft with its arguments, behind --")
      ->required()
      ->type_name("COMMAND");
  command->callback([arguments] { run(*arguments); });
}

}  // namespace dsmoe::apps
