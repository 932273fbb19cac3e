// A text of any length in a terminal, with a cursor, drawn again after every key: the bytes to write.
//
// Rows are broken here and not by the terminal, so that it is known which one the cursor stands in. Its column is found
// by writing the row's beginning once more: then it is right whatever the terminal makes of wide and joined characters.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "terminal/window_size.h"

namespace dsmoe::terminal {

class LineDisplay {
 public:
  /// `prompt` stands before the text, `further` before each further line of it.
  LineDisplay(std::string prompt, std::string further) : prompt_(std::move(prompt)), further_(std::move(further)) {}

  /// Draws the text in place of what was drawn before. A text with more rows than the screen shows those around the
  /// cursor. The screen may have another size each time: rows drawn wider than it is are taken to have been broken anew
  /// by the terminal.
  std::string draw(std::string_view text, size_t cursor, ScreenSize size);
  /// The whole text in place of what was drawn, with the cursor below it. Lines are broken by the terminal, so that
  /// they can be copied as they were typed.
  std::string finish(std::string_view text, ScreenSize size);
  /// Nothing of this is on the screen any more; the cursor stands at the beginning of a row.
  void restart();

 private:
  struct Row {
    std::string text;
    size_t columns = 0;
  };
  std::vector<Row> rows_of(std::string_view text, size_t cursor, size_t columns, size_t& cursor_row,
                           Row& before_cursor) const;
  std::string to_beginning(size_t columns) const;

  std::string prompt_, further_;
  size_t first_shown_ = 0;
  std::vector<size_t> above_;  // columns of the rows on the screen above the cursor
  size_t before_ = 0;          // columns before the cursor in its row
};

}  // namespace dsmoe::terminal
