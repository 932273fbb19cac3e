// For tests: what a terminal shows after the bytes that were written to it. Rows wrap at the right edge as xterm's do,
// a full row waits for the next character, what leaves the screen at the top is kept, and a screen of another width
// breaks its rows anew, as most terminals do.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "base/utf8.h"

namespace dsmoe::terminal {

class ScreenModel {
 public:
  /// `joins`: whether the parts of an emoji (joined, or with a skin colour) are shown as one.
  ScreenModel(size_t columns, size_t rows, bool joins = true)
      : columns_(columns), rows_(rows), joins_(joins), lines_(1) {}

  void write(std::string_view bytes) {
    for (size_t at = 0; at < bytes.size();) {
      if (bytes[at] == '\x1b') {
        at = escape(bytes, at + 1);
        continue;
      }
      char32_t value = 0;
      const size_t length = std::max<size_t>(base::utf8_decode(bytes, at, value), 1);
      put(value, bytes.substr(at, length));
      at += length;
    }
  }

  /// The screen from its top to the last row that has anything, without spaces at the ends of rows; with what has left
  /// it.
  std::vector<std::string> everything() const { return texts(0); }
  std::vector<std::string> shown() const { return texts(top()); }
  /// Rows from the top of the screen, and what stands before the cursor in its row.
  size_t cursor_row() const { return row_ - top(); }
  std::string before_cursor() const { return text(lines_[row_], column_); }

  void resize(size_t columns, size_t rows) {
    std::vector<Line> old;
    std::swap(old, lines_);
    const size_t old_row = row_, old_column = column_;
    columns_ = columns, rows_ = rows;
    lines_.assign(1, {});
    size_t new_row = 0, new_column = 0;
    for (size_t i = 0; i < old.size(); ++i) {
      for (size_t c = 0; c <= old[i].cells.size(); ++c) {
        if (i == old_row && c == old_column) new_row = row_to_put(), new_column = column_to_put();
        if (c < old[i].cells.size() && old[i].cells[c].columns > 0) append(old[i].cells[c]);
      }
      if (i == old_row && old_column > old[i].cells.size()) new_row = lines_.size() - 1, new_column = old_column;
      if (!old[i].wrapped && i + 1 < old.size()) lines_.emplace_back();
    }
    row_ = new_row, column_ = std::min(new_column, columns_ - 1);
    full_ = false;
    if (row_ >= lines_.size()) lines_.resize(row_ + 1);
  }

 private:
  struct Cell {
    std::string text;
    size_t columns = 1;  // 0 for the right half of a wide character
  };
  struct Line {
    std::vector<Cell> cells;
    bool wrapped = false;  // goes on in the next one
  };

  size_t top() const { return lines_.size() - std::min(lines_.size(), rows_); }

  size_t width(char32_t c) const {
    const auto between = [c](char32_t from, char32_t to) { return c >= from && c <= to; };
    if (between(0x300, 0x36f) || c == 0x200d || between(0xfe00, 0xfe0f)) return 0;
    if (joins_ && between(0x1f3fb, 0x1f3ff)) return 0;
    const bool wide = between(0x1100, 0x115f) || between(0x2e80, 0xa4cf) || between(0xac00, 0xd7a3) ||
                      between(0xf900, 0xfaff) || between(0xff00, 0xff60) || between(0x1f300, 0x1faff);
    return wide ? 2 : 1;
  }

  void put(char32_t value, std::string_view text) {
    if (value == '\r') {
      column_ = 0, full_ = false;
    } else if (value == '\n') {
      next_row();
    } else {
      const size_t wide = width(value);
      Cell* const before = wide == 0 || joining_ ? cell_before() : nullptr;
      joining_ = joins_ && value == 0x200d;
      if (before != nullptr) {
        before->text += text;
        return;
      }
      if (wide > 0) place({std::string(text), wide});
    }
  }

  Cell* cell_before() {
    std::vector<Cell>& cells = lines_[row_].cells;
    size_t at = full_ ? column_ + 1 : column_;
    while (at > 0 && at <= cells.size() && cells[at - 1].columns == 0) --at;
    return at > 0 && at <= cells.size() ? &cells[at - 1] : nullptr;
  }

  void place(Cell cell) {
    if (full_ || column_ + cell.columns > columns_) {
      lines_[row_].wrapped = true;
      column_ = 0, full_ = false;
      next_row();
    }
    std::vector<Cell>& cells = lines_[row_].cells;
    if (cells.size() < column_ + cell.columns) cells.resize(column_ + cell.columns, {" ", 1});
    const size_t wide = cell.columns;
    cells[column_] = std::move(cell);
    for (size_t i = 1; i < wide; ++i) cells[column_ + i] = {"", 0};
    column_ += wide;
    full_ = column_ == columns_;
    if (full_) --column_;
  }

  void next_row() {
    if (++row_ == lines_.size()) lines_.emplace_back();
  }

  size_t escape(std::string_view bytes, size_t at) {
    size_t end = at + 1;  // behind the [
    while (end < bytes.size() && (bytes[end] < '@' || bytes[end] > '~')) ++end;
    const std::string parameters(bytes.substr(at + 1, end - at - 1));
    const size_t count = parameters.empty() || parameters[0] == '?' ? 1 : std::stoul(parameters);
    full_ = false;
    if (bytes[end] == 'A') row_ = std::max(top(), row_ - std::min(row_, count));
    if (bytes[end] == 'H') row_ = top(), column_ = 0;
    if (bytes[end] == 'J') erase(parameters == "2" ? top() : row_, parameters == "2" ? 0 : column_);
    return end + 1;
  }

  void erase(size_t row, size_t column) {
    lines_[row].cells.resize(std::min(lines_[row].cells.size(), column));
    lines_[row].wrapped = false;
    for (size_t i = row + 1; i < lines_.size(); ++i) lines_[i] = {};
  }

  // While rows are broken anew.
  size_t row_to_put() const { return lines_.back().cells.size() >= columns_ ? lines_.size() : lines_.size() - 1; }
  size_t column_to_put() const { return lines_.back().cells.size() % columns_; }
  void append(const Cell& cell) {
    if (lines_.back().cells.size() + cell.columns > columns_) {
      lines_.back().wrapped = true;
      lines_.emplace_back();
    }
    lines_.back().cells.push_back(cell);
    for (size_t i = 1; i < cell.columns; ++i) lines_.back().cells.push_back({"", 0});
  }

  static std::string text(const Line& line, size_t columns) {
    std::string text;
    for (size_t i = 0; i < columns; ++i) text += i < line.cells.size() ? line.cells[i].text : " ";
    return text;
  }
  std::vector<std::string> texts(size_t from) const {
    std::vector<std::string> rows;
    for (size_t i = from; i < lines_.size(); ++i) {
      rows.push_back(text(lines_[i], lines_[i].cells.size()));
      rows.back().resize(rows.back().find_last_not_of(' ') + 1);
    }
    while (!rows.empty() && rows.back().empty()) rows.pop_back();
    return rows;
  }

  size_t columns_, rows_;
  bool joins_;
  std::vector<Line> lines_;
  size_t row_ = 0, column_ = 0;
  bool full_ = false;     // the last column is taken: the next character goes to the next row
  bool joining_ = false;  // the next character joins the one before
};

}  // namespace dsmoe::terminal
