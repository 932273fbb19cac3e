// A line typed in a terminal: editing, and the lines before it on the arrow keys. UTF-8; a character counts as one
// column (two for wide ones only matter to the cursor's place). Elsewhere than in a terminal lines are just read.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dsmoe::apps {

/// The line and its history as keys change them; no terminal in here.
class EditedLine {
 public:
  explicit EditedLine(std::vector<std::string> history) : history_(std::move(history)), at_(history_.size()) {}

  enum class State { kTyping, kDone, kInterrupted, kEnded };
  /// One byte of what the keyboard sends.
  State key(char c);
  const std::string& text() const { return text_; }
  /// Bytes before the cursor.
  size_t cursor() const { return cursor_; }

 private:
  void escape(std::string_view sequence);
  void recall(size_t at);
  void insert(char c);
  size_t before(size_t at) const;
  size_t after(size_t at) const;

  std::vector<std::string> history_;
  size_t at_;  // of the history; its size for the line being typed
  std::string text_, typed_, sequence_;
  size_t cursor_ = 0;
};

/// Reads lines from standard input, with a prompt and editing in a terminal.
class LineEditor {
 public:
  struct Line {
    std::string text;
    bool interrupted = false;  ///< Ctrl-C was typed
  };
  /// Nothing at the end of input.
  std::optional<Line> read(const std::string& prompt);
  bool is_terminal() const;

 private:
  std::optional<Line> read_terminal(const std::string& prompt);
  std::vector<std::string> history_;
};

}  // namespace dsmoe::apps
