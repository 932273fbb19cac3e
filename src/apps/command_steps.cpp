#include "apps/command_steps.h"

#include <chrono>
#include <csignal>
#include <fstream>
#include <iostream>
#include <thread>

#include "base/error.h"
#include "base/process.h"
#include "base/write_target.h"

namespace dsmoe::apps {
namespace {

namespace fs = base::fs;

constexpr int kSaved = static_cast<int>(base::ErrorKind::kStopped);
constexpr int kKilled = 128;  // and the number of the signal

bool was_stopped(int code) {
  return code == kSaved || code == kKilled + SIGINT || code == kKilled + SIGTERM || code == kKilled + SIGHUP;
}

base::ErrorKind kind_of(int code) {
  const bool known = code > 0 && code <= static_cast<int>(base::ErrorKind::kNonFinite);
  return known ? static_cast<base::ErrorKind>(code) : base::ErrorKind::kFailure;
}

}  // namespace

std::string shell_quoted(const std::string& word) {
  constexpr std::string_view kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./,:@%";
  if (!word.empty() && word.find_first_not_of(kPlain) == std::string::npos) return word;
  std::string quoted = "'";
  for (const char c : word) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

std::string step_text(const std::string& folder, const CommandStep& step) {
  std::string text = shell_quoted(folder + step.program);
  for (const std::string& word : step.words) text += " " + shell_quoted(word);
  if (!step.output.empty()) text += " > " + shell_quoted(step.output.string());
  return text;
}

CommandSteps CommandSteps::as_typed() {
  std::string typed;  // the first word of the command line
  std::getline(std::ifstream("/proc/self/cmdline"), typed, '\0');
  return {base::program_beside(""), typed.substr(0, typed.rfind('/') + 1)};
}

void CommandSteps::run(const CommandStep& step) {
  std::cerr << "$ " << text(step) << std::endl;
  const fs::path working = step.output.empty() ? fs::path() : base::working_name(step.output);
  const int code = run_and_wait(step, working);
  if (code == 0) {
    if (!working.empty()) fs::rename(working, step.output);
    return;
  }
  std::error_code ignored;
  if (!working.empty()) fs::remove(working, ignored);
  if (signals_.requested() || was_stopped(code)) {
    base::fail(base::ErrorKind::kStopped, "quickstart", "stopped", "", "the same command goes on from here");
  }
  base::fail(kind_of(code), "quickstart", "the command above failed", "exit code " + std::to_string(code),
             "once what it says is mended, the same quickstart goes on from there");
}

int CommandSteps::run_and_wait(const CommandStep& step, const fs::path& output) {
  std::vector<std::string> words = {(folder_ / step.program).string()};
  words.insert(words.end(), step.words.begin(), step.words.end());
  base::ChildProcess child(words, {.log = {}, .output = output});
  // A terminal's Ctrl-C reaches the command too; any other signal is handed on.
  for (bool told = false;;) {
    if (const auto code = child.poll()) return *code;
    if (signals_.requested() && !told) {
      child.send(SIGTERM);
      told = true;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

}  // namespace dsmoe::apps
