#include "terminal/line_editor.h"

#include <unistd.h>

#include <iostream>

#include "terminal/characters.h"
#include "terminal/edited_line.h"
#include "terminal/line_display.h"
#include "terminal/raw_terminal.h"

namespace dsmoe::terminal {
namespace {

constexpr std::string_view kClearScreen = "\x1b[H\x1b[2J";

/// A text that keys change on the screen, until one ends it.
class Editing {
 public:
  using State = EditedLine::State;

  Editing(const History& history, const std::vector<std::string>& words, const std::string& prompt,
          const std::string& further)
      : line_(history.texts(), words), display_(prompt, further) {}

  const std::string& text() const { return line_.text(); }
  void draw() { terminal_.write(display_.draw(line_.text(), line_.cursor(), terminal_.size())); }
  void finish() { terminal_.write(display_.finish(line_.text(), terminal_.size())); }

  State press(const Key& key) {
    const State state = line_.press(key);
    if (state == State::kCleared) {
      terminal_.write(kClearScreen);
      display_.restart();
    } else if (state == State::kSuspended) {
      finish();
      terminal_.suspend();
    } else if (const auto choices = line_.take_choices(); !choices.empty()) {
      finish();
      std::string list;
      for (const std::string& choice : choices) list += (list.empty() ? "" : "  ") + choice;
      terminal_.write(list + "\r\n");
    }
    return state;
  }

  /// Waits for keys and appends them; false where none will come any more.
  bool wait(KeyReader& reader, std::deque<Key>& keys) {
    std::string bytes;
    const RawTerminal::Event event = terminal_.wait(bytes);
    if (event == RawTerminal::Event::kContinued) display_.restart();
    std::vector<Key> read;
    if (event == RawTerminal::Event::kInput) reader.feed(bytes, read);
    keys.insert(keys.end(), read.begin(), read.end());
    return event != RawTerminal::Event::kEnd;
  }

 private:
  EditedLine line_;
  LineDisplay display_;
  RawTerminal terminal_;
};

}  // namespace

bool LineEditor::is_terminal() const { return isatty(STDIN_FILENO) == 1 && isatty(STDERR_FILENO) == 1; }

std::optional<LineEditor::Line> LineEditor::read(const std::string& prompt, const std::string& further) {
  return can_edit() ? read_terminal(prompt, further) : read_plain(prompt, further);
}

std::optional<LineEditor::Line> LineEditor::read_plain(const std::string& prompt, const std::string& further) {
  Line line;
  for (bool first = true;; first = false) {
    if (is_terminal()) std::cerr << (first ? prompt : further) << std::flush;
    std::string text;
    if (!std::getline(std::cin, text)) return first ? std::nullopt : std::optional(line);
    if (text.ends_with('\r')) text.pop_back();
    line.text += (first ? "" : "\n") + text;
    if (!line.text.ends_with('\\')) return line;
    line.text.pop_back();
  }
}

std::optional<LineEditor::Line> LineEditor::read_terminal(const std::string& prompt, const std::string& further) {
  using State = EditedLine::State;
  std::cout << std::flush;
  Editing editing(history_, words_, prompt, further);
  for (;;) {
    for (; !keys_.empty();) {
      const Key key = std::move(keys_.front());
      keys_.pop_front();
      const State state = editing.press(key);
      if (state != State::kDone && state != State::kInterrupted && state != State::kEnded) continue;
      editing.finish();
      if (state == State::kEnded) return std::nullopt;
      if (state == State::kInterrupted) return Line{"", true};
      history_.add(editing.text());
      return Line{editing.text(), false};
    }
    editing.draw();
    if (!editing.wait(reader_, keys_)) return std::nullopt;
  }
}

}  // namespace dsmoe::terminal
