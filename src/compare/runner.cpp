#include "compare/runner.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <deque>
#include <thread>

#include "base/error.h"
#include "base/output.h"

namespace dsmoe::compare {

namespace fs = base::fs;

fs::path plan_file(const fs::path& folder) { return folder / "plan.toml"; }
fs::path results_folder(const fs::path& folder) { return folder / "results"; }
fs::path studies_folder(const fs::path& folder) { return folder / "studies"; }
fs::path result_file(const fs::path& folder, const Run& run) { return results_folder(folder) / (run.name() + ".json"); }
fs::path model_folder(const fs::path& folder, const Run& run) { return folder / "runs" / run.name() / "latest"; }

namespace {

constexpr int kStopped = 75;  // dsmoe train's exit code after it saved on request

fs::path pause_file(const fs::path& folder) { return folder / "paused"; }

// Held while a process carries the comparison out; the system lets go of it when the process ends, however it ends.
class Lock {
 public:
  explicit Lock(const fs::path& file) : fd_(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666)) {
    if (fd_ < 0) base::fail_io("compare", "cannot make the lock", file.string(), errno);
    if (::flock(fd_, LOCK_EX | LOCK_NB) != 0) {
      ::close(fd_);
      base::fail_invalid("compare", "another process carries this comparison out", file.parent_path().string(),
                         "wait for it, or stop it");
    }
  }
  ~Lock() { ::close(fd_); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

 private:
  int fd_;
};

std::string last_line(const fs::path& file) {
  std::error_code fault;
  const uint64_t size = fs::file_size(file, fault);
  if (fault || size > (1 << 24)) return file.string();
  std::string text = base::read_file(file);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text.substr(text.rfind('\n') + 1);
}

// The tokens that the newest record of a run tells, from the end of its metrics.jsonl.
double tokens_done(const fs::path& metrics) {
  std::error_code fault;
  const auto size = static_cast<int64_t>(fs::file_size(metrics, fault));
  if (fault) return 0;
  const int fd = ::open(metrics.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  std::string tail(static_cast<size_t>(std::min<int64_t>(size, 1 << 16)), '\0');
  const ssize_t got = ::pread(fd, tail.data(), tail.size(), size - std::ssize(tail));
  ::close(fd);
  if (got <= 0) return 0;
  constexpr std::string_view kKey = "\"tokens\":";
  const size_t step = tail.rfind("\"type\":\"step\"");
  const size_t at = step == std::string::npos ? step : tail.find(kKey, step);
  return at == std::string::npos ? 0 : std::strtod(tail.c_str() + at + kKey.size(), nullptr);
}

class Runner {
 public:
  Runner(const std::vector<Run>& runs, const RunnerOptions& options, RunnerListener& listener)
      : options_(options), listener_(listener) {
    for (const Run& run : runs) {
      const double flops = budget_of(run.config.config).flops;
      all_ += flops;
      if (fs::exists(result_file(options.folder, run))) {
        done_ += flops;
      } else {
        waiting_.push_back(&run);
      }
    }
  }

  RunnerEnd go() {
    while (!waiting_.empty() || !going_.empty()) {
      if (options_.stop()) {
        stop_all();
        return RunnerEnd::kStopped;
      }
      if (fs::exists(pause_file(options_.folder))) {
        if (!paused_) listener_.on_notice("paused; dsmoe compare --resume goes on");
        paused_ = true;
        stop_all();
      } else {
        if (std::exchange(paused_, false)) listener_.on_notice("going on");
        start_some();
        if (!look_unless_stopped()) return RunnerEnd::kStopped;
      }
      tell();
      std::this_thread::sleep_for(std::chrono::duration<double>(options_.look_every));
    }
    return RunnerEnd::kDone;
  }

 private:
  struct Going {
    const Run* run;
    std::unique_ptr<base::ChildProcess> process;
  };

  fs::path run_folder(const Run& run) const { return options_.folder / "runs" / run.name(); }
  fs::path log_file(const Run& run) const { return options_.folder / "logs" / (run.name() + ".txt"); }

  void start_some() {
    while (!waiting_.empty() && std::ssize(going_) < options_.jobs) {
      const Run& run = *waiting_.front();
      std::vector<std::string> words = {options_.trainer.string(), "train", run.arm->preset};
      words.insert(words.end(), run.settings.begin(), run.settings.end());
      words.insert(words.end(), {"data.path=" + options_.data, "output.dir=" + run_folder(run).string(), "--resume",
                                 "auto", "--threads", std::to_string(options_.threads)});
      going_.push_back({&run, std::make_unique<base::ChildProcess>(
                                  words, base::ChildProcess::Options{log_file(run), options_.niceness, SIGTERM})});
      waiting_.pop_front();
    }
  }

  // False where a stop was asked for while a finished model was scored.
  bool look_unless_stopped() {
    try {
      look();
      return true;
    } catch (const base::Error& error) {
      stop_all();
      if (error.kind() == base::ErrorKind::kStopped) return false;
      throw;
    }
  }

  void look() {
    for (size_t i = 0; i < going_.size();) {
      const std::optional<int> code = going_[i].process->poll();
      if (!code) {
        ++i;
        continue;
      }
      const Run& run = *going_[i].run;
      going_.erase(going_.begin() + static_cast<long>(i));
      if (*code == kStopped) {
        waiting_.push_front(&run);  // somebody stopped this one alone; it goes on
      } else if (*code != 0) {
        fail(run, *code);
      } else {
        finish(run);
      }
    }
  }

  [[noreturn]] void fail(const Run& run, int code) {
    stop_all();
    base::fail(base::ErrorKind::kFailure, "compare", run.name() + " failed with exit code " + std::to_string(code),
               last_line(log_file(run)), "its log is " + log_file(run).string());
  }

  void finish(const Run& run) {
    RunResult result;
    result.arm = run.arm->name;
    result.seed = run.seed;
    result.preset = run.arm->preset;
    result.settings = run.settings;
    result.config = config_of(run.config.config);
    result.build = options_.build;
    result.data_hash = options_.data_hash;
    result.threads = options_.threads;
    read_records(run_folder(run) / "metrics.jsonl", run.config.config.train.steps, result);
    options_.score(model_folder(options_.folder, run), result);
    study(run);
    base::write_file(result_file(options_.folder, run), base::dump_json(to_json(result), 1) + "\n");
    if (!options_.keep_models) remove_checkpoints(run);
    done_ += budget_of(run.config.config).flops;
    listener_.on_finished(run, result);
  }

  void study(const Run& run) {
    RunStudies studies{run.arm->name, run.seed, {}, {}};
    if (options_.study) options_.study(model_folder(options_.folder, run), run, studies);
    if (studies.empty()) return;
    fs::create_directories(studies_folder(options_.folder));
    base::write_file(studies_folder(options_.folder) / (run.name() + ".json"),
                     base::dump_json(to_json(studies)) + "\n");
  }

  void remove_checkpoints(const Run& run) const {
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(run_folder(run), ignored)) {
      const std::string name = entry.path().filename().string();
      if (name.starts_with("step-") || name == "latest") fs::remove_all(entry.path(), ignored);
    }
  }

  void stop_all() {
    for (Going& going : going_) going.process->send(SIGTERM);
    for (auto it = going_.rbegin(); it != going_.rend(); ++it) {
      it->process->wait();
      waiting_.push_front(it->run);
    }
    going_.clear();
  }

  void tell() {
    double done = done_;
    std::vector<std::string> names;
    for (const Going& going : going_) {
      const Budget budget = budget_of(going.run->config.config);
      done += budget.flops * tokens_done(run_folder(*going.run) / "metrics.jsonl") / static_cast<double>(budget.tokens);
      names.push_back(going.run->name());
    }
    listener_.on_progress(done, all_, names);
  }

  const RunnerOptions& options_;
  RunnerListener& listener_;
  std::deque<const Run*> waiting_;
  std::vector<Going> going_;
  double done_ = 0, all_ = 0;
  bool paused_ = false;
};

// A folder is a comparison's from when its plan is in it. Until then nothing may be there of what one writes.
void require_folder(const fs::path& folder) {
  base::FolderPolicy policy;
  policy.beside_others = true;
  base::require_output_folder(folder, policy, {});
  if (fs::exists(plan_file(folder))) return;
  for (const char* name :
       {"plan.toml", "runs", "results", "studies", "logs", "report.md", "report.html", "report.csv"}) {
    if (!fs::exists(fs::symlink_status(folder / name))) continue;
    base::fail(base::ErrorKind::kIo, "compare", "the folder holds something that a comparison would write over",
               (folder / name).string(), "move it away, or name another folder");
  }
}

// A comparison that is there already must be this one.
void require_same(const std::string& plan_text, const std::vector<Run>& runs, const RunnerOptions& options) {
  const fs::path before = plan_file(options.folder);
  if (fs::exists(before) && base::read_file(before, 1 << 20) != plan_text) {
    base::fail_invalid("compare", "the folder holds a comparison of another plan", options.folder.string(),
                       "name another folder, or run it with its own " + before.string());
  }
  const std::vector<Probe> probes = read_probes(options.folder);
  for (const RunResult& result : read_results(results_folder(options.folder), probes)) {
    if (!builds_agree(result.build, options.build, probes)) {
      base::fail_invalid(
          "compare", "all runs of a comparison come from one build and instruction set",
          result.build.program + ", " + result.build.isa + " and " + options.build.program + ", " + options.build.isa,
          "finish it with the first, or show that they give the same bits: --probe RUN trains a finished run anew");
    }
    if (result.data_hash != options.data_hash) {
      base::fail_invalid("compare", "all runs of a comparison learn from the same data",
                         result.data_hash + " and " + options.data_hash, "finish it with the first");
    }
  }
  for (const Run& run : runs) {
    const fs::path file = result_file(options.folder, run);
    if (!fs::exists(file)) continue;
    const std::string where = file.string();
    require_result_of(result_from_json(base::parse_json(base::read_file(file, 1 << 20), where), where), run, where);
  }
}

}  // namespace

RunnerEnd run_comparison(const Plan& plan, const std::string& plan_text, const std::vector<Run>& runs,
                         const RunnerOptions& options, RunnerListener& listener) {
  require_equal_budgets(plan, runs);
  require_folder(options.folder);
  require_same(plan_text, runs, options);
  fs::create_directories(options.folder);
  const Lock lock(options.folder / "lock");
  if (!fs::exists(plan_file(options.folder))) base::write_file(plan_file(options.folder), plan_text);
  for (const char* name : {"runs", "results", "logs"}) fs::create_directories(options.folder / name);
  return Runner(runs, options, listener).go();
}

void set_paused(const fs::path& folder, bool paused) {
  if (!fs::exists(plan_file(folder))) {
    base::fail_invalid("compare", "the folder holds no comparison", folder.string(), "name the one that -o made");
  }
  if (paused) {
    base::write_file(pause_file(folder), "");
    return;
  }
  std::error_code fault;
  fs::remove(pause_file(folder), fault);
  if (fault) base::fail_io("compare", "cannot remove", pause_file(folder).string(), fault.value());
}

}  // namespace dsmoe::compare
