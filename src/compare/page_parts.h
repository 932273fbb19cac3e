// What the pages of a comparison say in words and cells, whatever the page is written in.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "compare/summary.h"

namespace dsmoe::compare {

using Cells = std::vector<std::string>;

std::string fixed(double value, int digits);
/// "1.14M"
std::string millions(double value);

/// The table of arms: names of its columns, the cells of an arm, how to read them.
Cells arms_head(const Summary& summary);
Cells arm_cells(const Summary& summary, const ArmRow& row);
std::string arms_note(const Summary& summary);

/// How far runs scatter, and what the intervals of the claims are.
std::string spread_sentence(const Summary& summary);
/// How far the seeds of each arm's finished runs lie apart, for a page without claims; empty with one seed.
std::string seeds_sentence(const Summary& summary);
/// Every domain that any run was scored on.
std::set<std::string> domains_of(const Summary& summary);
/// Bits per byte, mean over the arm's finished runs; NaN where none was scored on the domain.
double mean_bits(const ArmRow& row, const std::string& domain);
/// What made the runs, from what data.
std::string origin(const Summary& summary);
/// The first finished one, or nullptr.
const RunResult* first_run(const Summary& summary);

}  // namespace dsmoe::compare
