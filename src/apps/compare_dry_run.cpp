#include "apps/compare_dry_run.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <iostream>

#include "apps/progress.h"
#include "base/error.h"
#include "base/process.h"
#include "compare/page.h"
#include "compare/runner.h"

namespace dsmoe::apps {
namespace {

// A file in memory alone, which goes with this object; other programs of this user may write to its path.
class MemoryFile {
 public:
  MemoryFile() : fd_(::memfd_create("dsmoe-compare", MFD_CLOEXEC)) {
    if (fd_ < 0) base::fail_io("compare", "cannot make a file in memory", "", errno);
  }
  ~MemoryFile() { ::close(fd_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  base::fs::path path() const { return "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(fd_); }
  std::string text() const {
    std::string text(1 << 20, '\0');
    const ssize_t got = ::pread(fd_, text.data(), text.size(), 0);
    text.resize(got > 0 ? static_cast<size_t>(got) : 0);
    return text;
  }

 private:
  int fd_;
};

// Tokens a second that a run trains at, by two of its steps.
double measured_speed(const compare::Run& run, const DryRunOptions& options) {
  const MemoryFile log;
  std::vector<std::string> words = {options.trainer.string(), "bench", run.arm->preset};
  words.insert(words.end(), run.settings.begin(), run.settings.end());
  words.insert(words.end(), {"--steps", "2", "--json", "--threads", std::to_string(options.threads)});
  base::ChildProcess bench(words, {log.path(), 0, SIGTERM});
  const int code = bench.wait();
  const std::string text = log.text();
  const size_t brace = text.find('{');
  if (code != 0 || brace == std::string::npos) {
    base::fail(base::ErrorKind::kFailure, "compare", run.name() + " cannot be measured",
               "dsmoe-train bench ended with exit code " + std::to_string(code), text.substr(0, 300));
  }
  const base::Json json = base::parse_json(text.substr(brace), "dsmoe-train bench");
  return base::require_number(json, "tokens_per_s", "dsmoe-train bench");
}

}  // namespace

void say_what_would_run(const compare::Plan& plan, const std::vector<compare::Run>& runs,
                        const DryRunOptions& options) {
  compare::require_equal_budgets(plan, runs);
  const auto results = options.folder.empty() ? std::vector<compare::RunResult>()
                                              : compare::read_results(compare::results_folder(options.folder),
                                                                      compare::read_probes(options.folder));
  const compare::Summary summary = compare::summarise(plan, runs, results);
  std::cout << compare::text_table(summary) << "\n";
  double seconds_left = 0;
  for (const compare::ArmRow& row : summary.rows) {
    const auto left = static_cast<double>(plan.seeds.size() - row.runs.size());
    if (left == 0) continue;
    double seconds = row.seconds;
    if (row.runs.empty()) {
      for (const compare::Run& run : runs) {
        if (run.arm != row.arm) continue;
        std::cerr << "measuring " << row.arm->name << "\n";
        seconds = static_cast<double>(row.budget.tokens) / measured_speed(run, options);
        break;
      }
    }
    seconds_left += left * seconds;
  }
  std::cout << summary.planned - summary.finished << " of " << summary.planned << " runs to do, "
            << summary.rows.front().budget.tokens << " tokens each in the first arm: about "
            << duration_text(seconds_left) << " of training, one run after another; scoring and studies come on top\n";
}

}  // namespace dsmoe::apps
