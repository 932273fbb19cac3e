#include "terminal/line_display.h"

#include <algorithm>

#include "terminal/characters.h"

namespace dsmoe::terminal {
namespace {

constexpr std::string_view kNextRow = "\r\n", kEraseBelow = "\x1b[J";

std::string up(size_t rows) { return rows == 0 ? "" : "\x1b[" + std::to_string(rows) + "A"; }

}  // namespace

std::vector<LineDisplay::Row> LineDisplay::rows_of(std::string_view text, size_t cursor, size_t width,
                                                   size_t& cursor_row, Row& before_cursor) const {
  std::vector<Row> rows = {{prompt_, columns(prompt_)}};
  const auto mark = [&] {
    cursor_row = rows.size() - 1;
    before_cursor = rows.back();
  };
  for (size_t at = 0, end = 0; at < text.size(); at = end) {
    end = character_end(text, at);
    const std::string_view character = text.substr(at, end - at);
    if (character == "\n") {
      if (at == cursor) mark();
      rows.push_back({further_, columns(further_)});
      continue;
    }
    const size_t wide = columns(character);
    if (rows.back().columns + wide > width && rows.back().columns > 0) rows.push_back({});
    if (at == cursor) mark();
    rows.back().text += shown(character);
    rows.back().columns += wide;
  }
  if (cursor >= text.size()) {
    if (rows.back().columns >= width) rows.push_back({});
    mark();
  }
  return rows;
}

// A row that is wider than the screen has become lies on several of its rows.
std::string LineDisplay::to_beginning(size_t width) const {
  size_t rows = before_ / width;
  for (const size_t wide : above_) rows += std::max<size_t>(1, (wide + width - 1) / width);
  return "\r" + up(rows) + std::string(kEraseBelow);
}

std::string LineDisplay::draw(std::string_view text, size_t cursor, ScreenSize size) {
  const size_t width = std::max<size_t>(size.columns, 1), height = std::max<size_t>(size.rows, 1);
  std::string out = to_beginning(width);
  size_t cursor_row = 0;
  Row before_cursor;
  const std::vector<Row> rows = rows_of(text, cursor, width, cursor_row, before_cursor);
  first_shown_ = std::min(first_shown_, rows.size() - std::min(rows.size(), height));
  first_shown_ = std::min(first_shown_, cursor_row);
  if (cursor_row >= first_shown_ + height) first_shown_ = cursor_row - height + 1;
  const size_t end = std::min(first_shown_ + height, rows.size());
  above_.clear();
  for (size_t i = first_shown_; i < end; ++i) {
    if (i > first_shown_) out += kNextRow;
    out += rows[i].text;
    if (i < cursor_row) above_.push_back(rows[i].columns);
  }
  out += up(end - 1 - cursor_row) + "\r" + before_cursor.text;
  before_ = before_cursor.columns;
  return out;
}

std::string LineDisplay::finish(std::string_view text, ScreenSize size) {
  std::string out = to_beginning(std::max<size_t>(size.columns, 1)) + prompt_;
  for (size_t at = 0, end = 0; at < text.size(); at = end) {
    end = character_end(text, at);
    const std::string_view character = text.substr(at, end - at);
    if (character == "\n") {
      out += kNextRow;
      out += further_;
    } else {
      out += shown(character);
    }
  }
  restart();
  return out += kNextRow;
}

void LineDisplay::restart() {
  first_shown_ = 0;
  above_.clear();
  before_ = 0;
}

}  // namespace dsmoe::terminal
