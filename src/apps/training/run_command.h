// What the commands that train share: the options of a run, its signals, its progress, its page and how it ends.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

#include "base/file.h"
#include "train/loop.h"

namespace dsmoe::apps {

struct RunArguments {
  std::string resume = "never";
  int threads = 0;
  bool print_config = false, quiet = false, json = false, no_memory_check = false, no_verify = false;
};

/// Adds --resume, --threads, --no-verify, --no-memory-check, --print-config, --quiet, --json and the exit codes.
void add_run_arguments(CLI::App& command, RunArguments& arguments);

/// A run as it is started.
struct RunToStart {
  spec::ResolvedConfig config;
  base::fs::path init;  ///< the folder of the first weights; empty: random ones
  /// Trains.
  std::function<train::RunEnd(spec::ResolvedConfig, const train::RunOptions&, train::RunListener&)> train;
};

/// Trains, shows it, and writes the run's page however it ends. Throws Error(kStopped) where a signal ended it.
void run_to_the_end(RunToStart run, const RunArguments& arguments);

/// Threads of the run, and their pool.
train::RunOptions run_options(const RunArguments& arguments);

}  // namespace dsmoe::apps
