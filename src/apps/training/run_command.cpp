// A run's options, signals, progress and end.
#include "apps/training/run_command.h"

#include <c10/util/Exception.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <iostream>
#include <memory>

#include "apps/command.h"
#include "apps/stop_signals.h"
#include "apps/training/ranks.h"
#include "apps/training/threads.h"
#include "apps/training/train_progress.h"
#include "base/error.h"
#include "base/json.h"
#include "formats/verified.h"
#include "moe/parallel.h"
#include "spec/settings.h"
#include "study/report.h"
#include "train/run_folder.h"

namespace dsmoe::apps {
namespace {

// Said as soon as a signal comes: a step may take minutes. On a terminal a line of progress may be open.
constexpr const char* kAcknowledgement = "train: stopping after this step; once more to stop now\n";
constexpr const char* kClearedAcknowledgement = "\r\x1b[Ktrain: stopping after this step; once more to stop now\n";

bool live_terminal() {
  const char* term = std::getenv("TERM");
  return ::isatty(STDERR_FILENO) == 1 && term != nullptr && std::string(term) != "dumb";
}

// LibTorch reports memory that is not there as its own exception.
[[noreturn]] void rethrow(const c10::Error& error) {
  const std::string text = error.what_without_backtrace();
  if (text.find("alloc") == std::string::npos) throw std::runtime_error(text);
  base::fail(base::ErrorKind::kFailure, "memory", "not enough memory for this run", text.substr(0, text.find('\n')),
             "lower train.micro_batch or set train.recompute=true; dsmoe plan says what a run takes");
}

void print_summary(const TrainProgress& progress, bool done) {
  const base::Json summary = {
      {"end", done ? "done" : "stopped"}, {"step", progress.last_step()}, {"checkpoint", progress.last_checkpoint()}};
  std::cout << base::dump_json(summary) << "\n";
}

// The page is made of the folder's files, so it can be made again: where it cannot be written now, the run is none the
// worse.
void write_page(const base::fs::path& folder, TrainProgress& progress) {
  try {
    base::write_file(folder / train::kRunPage, study::run_page(folder, "dsmoe " + version_text()));
  } catch (const std::exception& error) {
    progress.on_notice("the run's page was not written: " + std::string(error.what()));
  }
}

// However the run ends of itself, its page is written: done, stopped, or with a loss that is not finite.
train::RunEnd run_and_write_page(RunToStart run, const train::RunOptions& options, TrainProgress& progress) {
  const base::fs::path folder = run.config.config.output.dir;
  train::RunListener silent;  // of the ranks that write nothing
  const bool first = options.group.first();
  try {
    const train::RunEnd end = run.train(std::move(run.config), options, first ? progress : silent);
    if (first) write_page(folder, progress);
    return end;
  } catch (const base::Error& error) {
    if (first && error.kind() == base::ErrorKind::kNonFinite) write_page(folder, progress);
    throw;
  } catch (const c10::Error& error) {
    rethrow(error);
  }
}

}  // namespace

train::RunOptions run_options(const RunArguments& arguments) {
  train::RunOptions options;
  if (arguments.resume == "auto") {
    options.resume = train::Resume::kAuto;
  } else if (arguments.resume != "never") {
    options.resume = train::Resume::kPath;
    options.resume_path = arguments.resume;
  }
  if (was_restarted()) options.resume = train::Resume::kAuto;
  options.threads = use_threads(arguments.threads);
  options.parallel_for = moe::torch_parallel_for();
  if (arguments.no_memory_check) options.memory = UINT64_MAX;
  return options;
}

void run_to_the_end(RunToStart run, const RunArguments& arguments) {
  if (arguments.print_config) {
    std::cout << spec::to_toml(run.config.config, &run.config.origins);
    return;
  }
  const bool live = live_terminal();
  const StopSignals signals({SIGINT, SIGTERM, SIGHUP, SIGUSR1}, live ? kClearedAcknowledgement : kAcknowledgement);
  const comm::Group group = ranks_of_environment();
  std::signal(SIGPIPE, SIG_IGN);  // nobody reading the progress is no reason to stop
  TrainProgress progress(arguments.quiet, live);
  if (std::getenv("OPENBLAS_CORETYPE") != nullptr && run.config.config.train.precision == spec::Precision::kF32) {
    progress.on_notice("OPENBLAS_CORETYPE is set, which slows float32 products; unset it unless you mean it");
  }
  train::RunOptions options = run_options(arguments);
  options.init_path = run.init;
  options.group = group;
  options.build = version_text();
  options.stop = [&signals] { return signals.requested(); };
  if (!run.init.empty() && !arguments.no_verify) {
    formats::verify_once(run.init, {.parallel_for = options.parallel_for});
  }
  const train::RunEnd end = run_and_write_page(std::move(run), options, progress);
  if (arguments.json && group.first()) print_summary(progress, end == train::RunEnd::kDone);
  if (end == train::RunEnd::kStopped) {
    const std::string where = group.first() ? " after step " + std::to_string(progress.last_step()) : "";
    base::fail(base::ErrorKind::kStopped, "train", "stopped" + where, progress.last_checkpoint(),
               "the same command with --resume auto goes on");
  }
}

}  // namespace dsmoe::apps
