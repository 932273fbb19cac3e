#include "terminal/edited_line.h"

#include <algorithm>
#include <utility>

#include "terminal/characters.h"

namespace dsmoe::terminal {
namespace {

using Kind = Key::Kind;
using State = EditedLine::State;

constexpr size_t kLongest = size_t{1} << 20;  // bytes; more is not taken

size_t characters(std::string_view text) {
  size_t count = 0;
  for (size_t at = 0; at < text.size(); at = character_end(text, at)) ++count;
  return count;
}

/// The offset behind so many characters of the line that begins at `at`, or its end.
size_t skip_characters(std::string_view text, size_t at, size_t count) {
  for (; count > 0 && at < text.size() && text[at] != '\n'; --count) at = character_end(text, at);
  return at;
}

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n'; }

}  // namespace

State EditedLine::press(const Key& key) {
  switch (key.kind) {
    case Kind::kEnter:
      return enter();
    case Kind::kInterrupt:
      return State::kInterrupted;
    case Kind::kSuspend:
      return State::kSuspended;
    case Kind::kClear:
      return State::kCleared;
    case Kind::kEnd:
      if (text_.empty()) return State::kEnded;
      erase(Kind::kDelete);
      break;
    case Kind::kText:
      insert(key.text);
      break;
    case Kind::kPaste: {
      std::string text = cleaned(key.text);
      if (text.ends_with('\n')) text.pop_back();  // that of a last line which was taken whole
      insert(text);
      break;
    }
    case Kind::kNewLine:
      insert("\n");
      break;
    case Kind::kTab:
      complete();
      break;
    default:
      if (!move(key.kind)) erase(key.kind);
  }
  return State::kTyping;
}

State EditedLine::enter() {
  if (!text_.ends_with('\\')) return State::kDone;
  text_.back() = '\n';
  cursor_ = text_.size();
  return State::kTyping;
}

bool EditedLine::move(Kind kind) {
  switch (kind) {
    case Kind::kLeft:
      cursor_ = character_begin(text_, cursor_);
      return true;
    case Kind::kRight:
      cursor_ = character_end(text_, cursor_);
      return true;
    case Kind::kUp:
      up();
      return true;
    case Kind::kDown:
      down();
      return true;
    case Kind::kHome:
      cursor_ = line_begin();
      return true;
    case Kind::kLast:
      cursor_ = line_end();
      return true;
    case Kind::kWordLeft:
      cursor_ = word_begin();
      return true;
    case Kind::kWordRight:
      cursor_ = word_end();
      return true;
    default:
      return false;
  }
}

bool EditedLine::erase(Kind kind) {
  switch (kind) {
    case Kind::kBackspace:
    case Kind::kDelete: {
      const size_t from = kind == Kind::kBackspace ? character_begin(text_, cursor_) : cursor_;
      const size_t to = kind == Kind::kBackspace ? cursor_ : character_end(text_, cursor_);
      text_.erase(from, to - from);
      cursor_ = from;
      return true;
    }
    case Kind::kDeleteWordLeft:
      cut(word_begin(), cursor_);
      return true;
    case Kind::kDeleteWordRight:
      cut(cursor_, word_end());
      return true;
    case Kind::kDeleteToSpace:
      cut(space_before(), cursor_);
      return true;
    case Kind::kDeleteToStart:
      cut(line_begin(), cursor_);
      return true;
    case Kind::kDeleteToEnd:
      cut(cursor_, line_end());
      return true;
    case Kind::kYank:
      insert(cut_);
      return true;
    default:
      return false;
  }
}

// What is inserted may join the character before or after it (an accent): the cursor never stands inside one.
void EditedLine::insert(std::string_view text) {
  if (text.size() > kLongest - std::min(kLongest, text_.size())) return;
  text_.insert(cursor_, text);
  cursor_ += text.size();
  const size_t begin = character_begin(text_, cursor_);
  if (cursor_ > 0) cursor_ = character_end(text_, begin);
}

void EditedLine::cut(size_t from, size_t to) {
  if (from == to) return;
  cut_ = text_.substr(from, to - from);
  text_.erase(from, to - from);
  cursor_ = from;
}

void EditedLine::recall(size_t at) {
  if (at_ == history_.size()) typed_ = text_;
  at_ = at;
  text_ = at_ == history_.size() ? typed_ : history_[at_];
  cursor_ = text_.size();
}

void EditedLine::up() {
  const size_t begin = line_begin();
  if (begin == 0) {
    if (at_ > 0) recall(at_ - 1);
    return;
  }
  const size_t column = characters(std::string_view(text_).substr(begin, cursor_ - begin));
  cursor_ = begin - 1;
  cursor_ = skip_characters(text_, line_begin(), column);
}

void EditedLine::down() {
  const size_t begin = line_begin(), end = line_end();
  if (end == text_.size()) {
    if (at_ < history_.size()) recall(at_ + 1);
    return;
  }
  const size_t column = characters(std::string_view(text_).substr(begin, cursor_ - begin));
  cursor_ = skip_characters(text_, end + 1, column);
}

void EditedLine::complete() {
  const std::string begun = text_.substr(0, cursor_);
  if (!begun.starts_with('/') || begun.find_first_of(" \n") != std::string::npos) return;
  std::vector<std::string> found;
  for (const std::string& word : words_) {
    if (word.starts_with(begun)) found.push_back(word);
  }
  if (found.empty()) return;
  std::string common = found.front();
  for (const std::string& word : found) {
    common.resize(static_cast<size_t>(std::mismatch(common.begin(), common.end(), word.begin(), word.end()).first -
                                      common.begin()));
  }
  if (found.size() == 1) {
    if (text_.substr(cursor_, 1) != " ") common += ' ';
  } else if (common == begun) {
    choices_ = std::move(found);
  }
  insert(common.substr(begun.size()));
}

size_t EditedLine::line_begin() const {
  const size_t end = std::string_view(text_).substr(0, cursor_).rfind('\n');
  return end == std::string::npos ? 0 : end + 1;
}

size_t EditedLine::line_end() const { return std::min(text_.find('\n', cursor_), text_.size()); }

size_t EditedLine::word_begin() const {
  size_t at = cursor_;
  bool inside = false;
  while (at > 0) {
    const size_t before = character_begin(text_, at);
    if (inside && !in_word(text_, before)) break;
    inside = inside || in_word(text_, before);
    at = before;
  }
  return at;
}

size_t EditedLine::word_end() const {
  size_t at = cursor_;
  while (at < text_.size() && !in_word(text_, at)) at = character_end(text_, at);
  while (at < text_.size() && in_word(text_, at)) at = character_end(text_, at);
  return at;
}

size_t EditedLine::space_before() const {
  size_t at = cursor_;
  while (at > 0 && is_space(text_[at - 1])) --at;
  while (at > 0 && !is_space(text_[at - 1])) --at;
  return at;
}

}  // namespace dsmoe::terminal
