// The command line of `dsmoe train`, for both programs: dsmoe checks it, tells it in help, completion and manual, and
// hands the words over; dsmoe-train trains by it.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace dsmoe::apps {

/// Of every command that trains.
struct RunArguments {
  std::string resume = "never";
  int threads = 0;
  bool print_config = false, quiet = false, json = false, no_memory_check = false, no_verify = false;
};

/// Adds --resume, --threads, --no-verify, --no-memory-check, --print-config, --quiet, --json and the exit codes.
void add_run_arguments(CLI::App& command, RunArguments& arguments);

struct TrainArguments {
  std::string config;
  std::vector<std::string> overrides;
  std::string init;
  RunArguments run;

  void add_to(CLI::App& command);
};

/// Throws Error(kUsage), saying what to do instead, where what was given for a configuration is text to learn from, a
/// corpus or a model.
void require_configuration(const std::string& given);

}  // namespace dsmoe::apps
