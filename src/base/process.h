// Another program, started and watched: its standard input is empty, and it is told to stop when this process ends,
// however that comes.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/file.h"

namespace dsmoe::base {

/// How a program ended: its exit code, or 128 and the number of the signal that ended it.
class ChildProcess {
 public:
  struct Options {
    fs::path log = {};     ///< standard output and error are appended to it; empty: they are this process's own
    int niceness = 0;      ///< added to this process's own; above 0 the child has a session of its own, as nice
    int stop_signal = 15;  ///< sent by the system when this process dies; 15: SIGTERM
    fs::path output = {};  ///< standard output alone goes to this file, made anew; empty: where it would go
    std::vector<std::string> environment = {};  ///< NAME=value, added to this process's own or in its place
    int error = -1;          ///< standard error alone goes to this open descriptor; below 0: where it would go
    bool own_group = false;  ///< the terminal's signals, as of Ctrl-C, do not reach it
  };
  /// `words`: the program's path and its arguments. Throws Error(kIo) where it cannot be started.
  ChildProcess(const std::vector<std::string>& words, const Options& options);
  /// One that still runs is told to stop and waited for.
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  /// How it ended, or nothing while it runs; does not wait.
  std::optional<int> poll();
  int wait();
  /// Sends a signal, if it still runs.
  void send(int signal);

 private:
  int pid_ = -1, stop_signal_;
  std::optional<int> ended_;
};

/// The program of that name in the folder of this one, as git finds its subcommands. Throws Error(kIo) when the system
/// does not tell where this program lies; whether the other exists is not looked at.
fs::path program_beside(const std::string& name);

}  // namespace dsmoe::base
