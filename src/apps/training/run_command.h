// What the commands that train share: a run's signals, its progress, its page and how it ends.
#pragma once

#include <functional>
#include <string>

#include "apps/train_arguments.h"
#include "base/file.h"
#include "train/loop.h"

namespace dsmoe::apps {

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
