#include "apps/launched_ranks.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <iostream>
#include <memory>
#include <optional>

#include "base/error.h"
#include "base/process.h"

namespace dsmoe::apps {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kRankLost = 7;                             // the exit code of a rank that missed another one
constexpr auto kGrace = std::chrono::milliseconds(500);  // for ranks to end by themselves after one has failed

// A folder that only this user sees, and which goes away.
class MeetingFolder {
 public:
  MeetingFolder() {
    std::string name = (base::fs::temp_directory_path() / "dsmoe-ranks-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) base::fail_io("launch", "cannot make a folder to meet in", name, errno);
    path_ = name;
  }
  ~MeetingFolder() {
    std::error_code ignored;
    base::fs::remove_all(path_, ignored);
  }
  MeetingFolder(const MeetingFolder&) = delete;
  MeetingFolder& operator=(const MeetingFolder&) = delete;
  std::string path() const { return path_.string(); }

 private:
  base::fs::path path_;
};

// Gives this process, and so what it starts, the processors of a rank; gives all back at the end.
class ProcessorShare {
 public:
  ProcessorShare(int rank, int ranks) {
    known_ = ::sched_getaffinity(0, sizeof all_, &all_) == 0;
    if (!known_) return;
    std::vector<int> usable;
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(cpu, &all_)) usable.push_back(cpu);
    }
    const int count = static_cast<int>(usable.size());
    cpu_set_t own;
    CPU_ZERO(&own);
    for (int i = count * rank / ranks; i < count * (rank + 1) / ranks; ++i)
      CPU_SET(usable[static_cast<size_t>(i)], &own);
    if (CPU_COUNT(&own) == 0) CPU_SET(usable[static_cast<size_t>(rank % count)], &own);  // more ranks than processors
    ::sched_setaffinity(0, sizeof own, &own);
  }
  ~ProcessorShare() {
    if (known_) ::sched_setaffinity(0, sizeof all_, &all_);
  }
  ProcessorShare(const ProcessorShare&) = delete;
  ProcessorShare& operator=(const ProcessorShare&) = delete;

 private:
  cpu_set_t all_;
  bool known_ = false;
};

// One rank's process, and the lines it says.
class RankProcess {
 public:
  RankProcess(const LaunchPlan& plan, const std::string& folder, int rank) : rank_(rank) {
    int ends[2] = {-1, -1};
    const bool has_terminal = rank == 0 && ::isatty(STDERR_FILENO) == 1;
    if (!has_terminal && ::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
      base::fail_io("launch", "cannot make a pipe", plan.words.front(), errno);
    }
    pipe_ = ends[0];
    if (ends[1] >= 0) ::fcntl(ends[1], F_SETFL, 0);  // the program's end waits as any stream does
    base::ChildProcess::Options options;
    options.environment = variables(plan, folder, rank);
    options.error = ends[1];
    options.own_group = true;
    try {
      const ProcessorShare share(rank, plan.ranks);
      process_ = std::make_unique<base::ChildProcess>(plan.words, options);
    } catch (...) {
      if (ends[0] >= 0) ::close(ends[0]), ::close(ends[1]);
      throw;
    }
    if (ends[1] >= 0) ::close(ends[1]);
  }
  ~RankProcess() {
    if (pipe_ >= 0) ::close(pipe_);
  }
  RankProcess(const RankProcess&) = delete;
  RankProcess& operator=(const RankProcess&) = delete;

  int pipe() const { return pipe_; }
  std::optional<int> ended() { return process_->poll(); }
  bool was_killed() const { return was_killed_; }
  void tell(int signal) { process_->send(signal); }
  void kill() {
    if (ended()) return;
    was_killed_ = true;
    process_->send(SIGKILL);
  }

  /// Passes on the lines that have come; at the `end` also one without an end.
  void pass_on(bool end) {
    char bytes[4096];
    for (ssize_t count; pipe_ >= 0 && (count = ::read(pipe_, bytes, sizeof bytes)) > 0;) {
      text_.append(bytes, static_cast<size_t>(count));
    }
    if (end && !text_.empty()) text_ += '\n';
    size_t begin = 0;
    for (size_t at; (at = text_.find('\n', begin)) != std::string::npos; begin = at + 1) {
      std::cerr << "[rank " << rank_ << "] " << text_.substr(begin, at - begin) << '\n';
    }
    text_.erase(0, begin);
  }

 private:
  static std::vector<std::string> variables(const LaunchPlan& plan, const std::string& folder, int rank) {
    const std::string number = std::to_string(rank), ranks = std::to_string(plan.ranks);
    return {"RANK=" + number,
            "LOCAL_RANK=" + number,
            "WORLD_SIZE=" + ranks,
            "LOCAL_WORLD_SIZE=" + ranks,
            "TORCHELASTIC_RESTART_COUNT=" + std::to_string(plan.restart),
            "DSMOE_MEETING=" + folder,
            "DSMOE_TIMEOUT=" + std::to_string(plan.timeout),
            std::string("DSMOE_CHECK_RANKS=") + (plan.check ? "1" : "0")};
  }

  int rank_, pipe_ = -1;
  std::unique_ptr<base::ChildProcess> process_;
  bool was_killed_ = false;
  std::string text_;
};

using Ranks = std::vector<std::unique_ptr<RankProcess>>;

void wait_a_moment(const Ranks& ranks) {
  std::vector<pollfd> pipes;
  for (const auto& rank : ranks) pipes.push_back({rank->pipe(), POLLIN, 0});
  // A rank that has ended leaves a pipe that is always ready, so the moment is not left to the pipes alone.
  const bool ready = ::poll(pipes.data(), pipes.size(), 20) > 0;
  if (ready) ::usleep(5'000);
}

// Whose end counts: a rank that failed by itself before one that only missed another.
JobEnd end_of(const Ranks& ranks) {
  JobEnd end;
  for (size_t r = 0; r < ranks.size(); ++r) {
    const int code = ranks[r]->ended().value_or(0);
    if (code == 0 || ranks[r]->was_killed()) continue;
    if (end.code == 0 || (end.code == kRankLost && code != kRankLost)) end = {code, static_cast<int>(r)};
  }
  return end;
}

}  // namespace

JobEnd run_ranks(const LaunchPlan& plan, const std::function<bool()>& stop) {
  const MeetingFolder folder;
  Ranks ranks;
  for (int rank = 0; rank < plan.ranks; ++rank) {
    ranks.push_back(std::make_unique<RankProcess>(plan, folder.path(), rank));
  }
  bool told = false;
  std::optional<Clock::time_point> failed;
  for (size_t ended = 0; ended < ranks.size();) {
    wait_a_moment(ranks);
    if (stop() && !told) {
      for (const auto& rank : ranks) rank->tell(SIGTERM);
      told = true;
    }
    ended = 0;
    for (const auto& rank : ranks) {
      rank->pass_on(false);
      const std::optional<int> code = rank->ended();
      ended += code.has_value() ? 1 : 0;
      if (code.value_or(0) != 0 && !failed) failed = Clock::now();
    }
    if (failed && Clock::now() - *failed > kGrace) {
      for (const auto& rank : ranks) rank->kill();
    }
  }
  for (const auto& rank : ranks) rank->pass_on(true);
  return end_of(ranks);
}

}  // namespace dsmoe::apps
