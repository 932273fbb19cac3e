// How one series of a figure is told from the others: twelve colours for light and for dark, then the same with dashes
// and other marks, then with dots: 36 series.
#pragma once

#include <string>

namespace dsmoe::charts {

/// The colours as CSS variables --series-0 to --series-11, for light and for dark.
std::string palette_css();
/// "var(--series-N)" for the series of that index.
std::string series_colour(size_t index);
/// The attribute of a line's dashes, with a space before it; empty for a whole line.
std::string series_dashes(size_t index);
/// A mark at a place of an <svg>, such as x "12.50%", y "7": a disc, a diamond or a square. `title` (not yet escaped)
/// shows on hover.
std::string series_mark(size_t index, const std::string& x, const std::string& y, const std::string& title = {});
/// A piece of line with the mark on it, and the name: one entry of a legend. `value` stands after the name.
std::string legend_entry(size_t index, const std::string& name, const std::string& value = {});

}  // namespace dsmoe::charts
