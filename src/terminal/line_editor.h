// Lines from standard input: with a prompt and editing where a person types them, just read elsewhere.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "terminal/history.h"
#include "terminal/keys.h"

namespace dsmoe::terminal {

class LineEditor {
 public:
  /// `words`: what Tab completes a first word that begins with / to.
  explicit LineEditor(std::vector<std::string> words = {}) : words_(std::move(words)) {}

  struct Line {
    std::string text;          ///< may hold several lines, with \n between them
    bool interrupted = false;  ///< Ctrl-C was typed
  };
  /// The next line, and those that follow one which ends with a backslash. `prompt` stands before it and `further`
  /// before each further line, in a terminal only. Nothing at the end of input.
  std::optional<Line> read(const std::string& prompt, const std::string& further);
  /// Whether a person is asked.
  bool is_terminal() const;
  History& history() { return history_; }

 private:
  std::optional<Line> read_plain(const std::string& prompt, const std::string& further);
  std::optional<Line> read_terminal(const std::string& prompt, const std::string& further);

  std::vector<std::string> words_;
  History history_;
  KeyReader reader_;
  std::deque<Key> keys_;  // typed already
};

}  // namespace dsmoe::terminal
