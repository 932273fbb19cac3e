// A comparison as a page for people (HTML), as text for a repository (Markdown), and as figures for a spreadsheet
// (CSV).
#pragma once

#include <string>

#include "compare/summary.h"

namespace dsmoe::compare {

std::string markdown_page(const Summary& summary);
std::string html_page(const Summary& summary);
/// One row for each finished run: arm, seed, settings, budget, scores in all and by domain.
std::string csv_table(const Summary& summary);
/// The table of arms for a terminal.
std::string text_table(const Summary& summary);

}  // namespace dsmoe::compare
