#include "apps/line_editor.h"

#include <termios.h>
#include <unistd.h>

#include <iostream>

namespace dsmoe::apps {
namespace {

bool continues(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

constexpr char control(char letter) { return static_cast<char>(letter - 'A' + 1); }
constexpr char kEscape = '\x1b', kBackspace = '\x7f';

size_t columns(std::string_view text) {
  size_t n = 0;
  for (const char c : text) n += !continues(c);
  return n;
}

/// Keys one by one and unechoed while it lives.
class RawTerminal {
 public:
  RawTerminal() {
    tcgetattr(STDIN_FILENO, &old_);
    termios raw = old_;
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO | ISIG);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
  }
  ~RawTerminal() { tcsetattr(STDIN_FILENO, TCSADRAIN, &old_); }
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;

 private:
  termios old_;
};

}  // namespace

size_t EditedLine::before(size_t at) const {
  if (at > 0) --at;
  while (at > 0 && continues(text_[at])) --at;
  return at;
}

size_t EditedLine::after(size_t at) const {
  if (at < text_.size()) ++at;
  while (at < text_.size() && continues(text_[at])) ++at;
  return at;
}

void EditedLine::recall(size_t at) {
  if (at > history_.size()) return;
  if (at_ == history_.size()) typed_ = text_;
  at_ = at;
  text_ = at_ == history_.size() ? typed_ : history_[at_];
  cursor_ = text_.size();
}

void EditedLine::escape(std::string_view sequence) {
  if (sequence == "[A" || sequence == "OA") return recall(at_ > 0 ? at_ - 1 : 0);
  if (sequence == "[B" || sequence == "OB") return recall(at_ + 1);
  if (sequence == "[C" || sequence == "OC") cursor_ = after(cursor_);
  if (sequence == "[D" || sequence == "OD") cursor_ = before(cursor_);
  if (sequence == "[H" || sequence == "OH" || sequence == "[1~") cursor_ = 0;
  if (sequence == "[F" || sequence == "OF" || sequence == "[4~") cursor_ = text_.size();
  if (sequence == "[3~") text_.erase(cursor_, after(cursor_) - cursor_);
}

void EditedLine::insert(char c) {
  text_.insert(cursor_, 1, c);
  ++cursor_;
}

EditedLine::State EditedLine::key(char c) {
  if (!sequence_.empty()) {  // an escape sequence ends with a letter or ~, but for the [ or O that it begins with
    sequence_ += c;
    const bool opens = sequence_.size() == 2 && (c == '[' || c == 'O');
    const bool ends = std::isalpha(static_cast<unsigned char>(c)) || c == '~' || sequence_.size() > 8;
    if (!opens && (ends || sequence_.size() == 2)) {
      escape(std::string_view(sequence_).substr(1));
      sequence_.clear();
    }
    return State::kTyping;
  }
  switch (c) {
    case '\r':
    case '\n':
      return State::kDone;
    case control('C'):
      return State::kInterrupted;
    case control('D'):
      if (text_.empty()) return State::kEnded;
      text_.erase(cursor_, after(cursor_) - cursor_);
      break;
    case kEscape:
      sequence_ = c;
      break;
    case kBackspace:
    case control('H'): {
      const size_t begin = before(cursor_);
      text_.erase(begin, cursor_ - begin);
      cursor_ = begin;
      break;
    }
    case control('A'):
      cursor_ = 0;
      break;
    case control('E'):
      cursor_ = text_.size();
      break;
    case control('K'):
      text_.erase(cursor_);
      break;
    case control('U'):
      text_.erase(0, cursor_);
      cursor_ = 0;
      break;
    case control('W'): {
      size_t begin = cursor_;
      while (begin > 0 && text_[begin - 1] == ' ') --begin;
      while (begin > 0 && text_[begin - 1] != ' ') --begin;
      text_.erase(begin, cursor_ - begin);
      cursor_ = begin;
      break;
    }
    default:
      if (static_cast<unsigned char>(c) >= 0x20) insert(c);
  }
  return State::kTyping;
}

bool LineEditor::is_terminal() const { return isatty(STDIN_FILENO) && isatty(STDERR_FILENO); }

std::optional<LineEditor::Line> LineEditor::read(const std::string& prompt) {
  if (is_terminal()) return read_terminal(prompt);
  Line line;
  if (!std::getline(std::cin, line.text)) return std::nullopt;
  if (line.text.ends_with('\r')) line.text.pop_back();
  return line;
}

std::optional<LineEditor::Line> LineEditor::read_terminal(const std::string& prompt) {
  const RawTerminal raw;
  EditedLine line(history_);
  const auto draw = [&] {
    std::cerr << "\r\x1b[J" << prompt << line.text();
    const size_t back = columns(std::string_view(line.text()).substr(line.cursor()));
    if (back > 0) std::cerr << "\x1b[" << back << "D";
    std::cerr << std::flush;
  };
  draw();
  for (char c; ::read(STDIN_FILENO, &c, 1) == 1;) {
    const EditedLine::State state = line.key(c);
    draw();
    if (state == EditedLine::State::kTyping) continue;
    std::cerr << "\n";
    if (state == EditedLine::State::kEnded) return std::nullopt;
    if (state == EditedLine::State::kInterrupted) return Line{"", true};
    if (!line.text().empty() && (history_.empty() || history_.back() != line.text())) history_.push_back(line.text());
    return Line{line.text(), false};
  }
  return std::nullopt;
}

}  // namespace dsmoe::apps
