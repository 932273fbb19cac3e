// A text that is being typed, and what keys do to it; no terminal in here.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "terminal/keys.h"

namespace dsmoe::terminal {

/// The text may have several lines: pasted ones, or after Alt-Enter, or where a line ended with a backslash at Enter.
/// It is valid UTF-8 without other control characters than \n and tabs.
class EditedLine {
 public:
  /// `history`: earlier texts, the oldest first. `words`: what Tab completes a first word that begins with / to. Both
  /// must outlive this object.
  EditedLine(const std::vector<std::string>& history, const std::vector<std::string>& words)
      : history_(history), words_(words), at_(history.size()) {}

  enum class State { kTyping, kDone, kInterrupted, kEnded, kSuspended, kCleared };
  State press(const Key& key);
  const std::string& text() const { return text_; }
  /// Bytes before the cursor, which stands between two characters.
  size_t cursor() const { return cursor_; }
  /// What Tab found where it could not decide, once.
  std::vector<std::string> take_choices() { return std::exchange(choices_, {}); }

 private:
  bool move(Key::Kind kind);
  bool erase(Key::Kind kind);
  void insert(std::string_view text);
  void cut(size_t from, size_t to);
  void recall(size_t at);
  void up();
  void down();
  State enter();
  void complete();
  size_t line_begin() const;
  size_t line_end() const;
  size_t word_begin() const;
  size_t word_end() const;
  size_t space_before() const;

  const std::vector<std::string>&history_, &words_;
  size_t at_;  // of the history; its size for the text being typed
  std::string text_, typed_, cut_;
  size_t cursor_ = 0;
  std::vector<std::string> choices_;
};

}  // namespace dsmoe::terminal
