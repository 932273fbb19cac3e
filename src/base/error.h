// Errors a person can act on.
//
// Two families. An `Error` is somebody's input being wrong: a file, a flag, a configuration, a full disk. Its text is
// one line, `[part] rule: value found; hint`, and its kind decides the program's exit code. A `BrokenPromise` is our
// own fault: a state that the code says cannot be. Libraries throw; only apps print and exit.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace dsmoe::base {

/// What went wrong, as the program's exit code (docs/commands.md has the table).
enum class ErrorKind {
  kFailure = 1,
  kUsage = 2,
  kInvalid = 3,  ///< bad configuration or bad data
  kIo = 4,       ///< a file cannot be read or written, or space ran out
  kNoCheckpoint = 5,
  kNonFinite = 6,
  kStopped = 75,  ///< stopped on request, resumable
};

class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& line) : std::runtime_error(line), kind_(kind) {}
  ErrorKind kind() const { return kind_; }
  int exit_code() const { return static_cast<int>(kind_); }

 private:
  ErrorKind kind_;
};

class BrokenPromise : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

/// Throws Error with the line `[part] rule: found; hint`; `found` and `hint` may be empty.
[[noreturn]] void fail(ErrorKind kind, std::string_view part, std::string_view rule, std::string_view found = {},
                       std::string_view hint = {});
/// The common case: bad configuration or data (exit code 3).
[[noreturn]] void fail_invalid(std::string_view part, std::string_view rule, std::string_view found = {},
                               std::string_view hint = {});
/// A file operation that failed; adds what errno says (exit code 4).
[[noreturn]] void fail_io(std::string_view part, std::string_view rule, std::string_view path, int error_number,
                          std::string_view hint = {});
/// Our own code is wrong. Used through DSMOE_CHECK.
[[noreturn]] void broken_promise(const char* file, int line, const char* condition, std::string_view message);

/// A value made safe to print in one line: quoted, control and invalid bytes escaped, long text cut.
std::string in_quotes(std::string_view text, size_t longest = 80);
/// The candidate nearest to a misspelt word by edit distance, or empty if none is near.
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace dsmoe::base

/// A promise of our own code; stays on in Release, so keep it out of inner loops.
#define DSMOE_CHECK(condition, message) \
  ((condition) ? (void)0 : ::dsmoe::base::broken_promise(__FILE__, __LINE__, #condition, (message)))
