// Commands of this program, run one after another as a person could type them: each is shown, and then runs as a
// process of its own.
#pragma once

#include <string>
#include <vector>

#include "apps/stop_signals.h"
#include "base/file.h"

namespace dsmoe::apps {

struct CommandStep {
  std::vector<std::string> words;  ///< behind the program's name
  base::fs::path output;           ///< standard output goes there, whole or not at all; empty: it is shown
  std::string program = "dsmoe";   ///< which of the programs that lie in one folder
};

/// A word as a shell reads it back.
std::string shell_quoted(const std::string& word);
/// The step as a line for a shell: "dsmoe plan run.toml --json > plan.json"; `folder` stands before the program's name.
std::string step_text(const std::string& folder, const CommandStep& step);

class CommandSteps {
 public:
  /// `folder`: where the programs lie; `shown`: what a person types before their names, such as "build/bin/".
  CommandSteps(base::fs::path folder, std::string shown) : folder_(std::move(folder)), shown_(std::move(shown)) {}

  /// The programs' folder, shown as this program's own name was typed.
  static CommandSteps as_typed();
  /// A step as it is shown.
  std::string text(const CommandStep& step) const { return step_text(shown_, step); }

  /// Shows the command on standard error, runs it and waits. What stops this process stops the command too. Throws
  /// Error: kStopped where it was stopped, and one of its own exit code where it failed, after its own message.
  void run(const CommandStep& step);

 private:
  int run_and_wait(const CommandStep& step, const base::fs::path& output);

  base::fs::path folder_;
  std::string shown_;
  StopSignals signals_;
};

}  // namespace dsmoe::apps
