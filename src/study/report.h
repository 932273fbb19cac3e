// One page about any number of training runs: what was learnt, how the experts were used, what the models write.
//
// The page is a single file: figures are SVG, numbers are also there as CSV and JSON, and nothing is fetched. Its parts
// are sections (page_sections.h), a file each.
#pragma once

#include <string>
#include <vector>

#include "study/run_report.h"

namespace dsmoe::study {

/// The page. `title` heads it; under it stands result_sentence. `program` is named as what made it.
std::string render_report(const std::vector<RunReport>& runs, const std::string& title,
                          const std::string& program = {});

/// The page of one run, from its folder alone, headed by the folder's name. Throws Error as read_run.
std::string run_page(const std::filesystem::path& folder, const std::string& program);

/// What was compared and what came out, in one sentence made of the runs' figures. It begins with what the runs do not
/// have in common where they saw different numbers of tokens.
std::string result_sentence(const std::vector<RunReport>& runs);

/// Side by side, for a terminal: a row per domain of any of the runs, a column per run, bits per byte, "-" where not
/// measured; before it a line where the runs saw different numbers of tokens.
std::string evaluation_table(const std::vector<RunReport>& runs);

}  // namespace dsmoe::study
