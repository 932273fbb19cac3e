// The sections of the page about runs, each in a file of its own. A section adds nothing where no run has what it
// shows. A new one is a file, a line here and a line in the list of report.cpp.
#pragma once

#include <string>
#include <vector>

#include "charts/page.h"
#include "study/run_report.h"

namespace dsmoe::study {

using Runs = std::vector<RunReport>;

void add_summary(const Runs& runs, charts::Page& page);     ///< page_summary.cpp: a table, a row for each run
void add_evaluation(const Runs& runs, charts::Page& page);  ///< page_evaluation.cpp: scores by domain of text
void add_curves(const Runs& runs, charts::Page& page);      ///< page_curves.cpp: loss, balance and speed over tokens
void add_routing(const Runs& runs, charts::Page& page);     ///< page_routing.cpp: which expert takes what
void add_experts(const Runs& runs, charts::Page& page);     ///< page_experts.cpp: which tokens an expert takes
void add_pairs(const Runs& runs, charts::Page& page);       ///< page_pairs.cpp: experts picked together, and alike
void add_text(const Runs& runs, charts::Page& page);  ///< page_text.cpp: a text coloured by the experts that read it
void add_saturation(const Runs& runs, charts::Page& page);  ///< page_saturation.cpp: when the routers had settled
void add_diff(const Runs& runs, charts::Page& page);        ///< page_diff.cpp: where a model and another one part
void add_ablations(const Runs& runs, charts::Page& page);   ///< page_ablations.cpp: what is lost without experts
void add_samples(const Runs& runs, charts::Page& page);     ///< page_samples.cpp: what the models write
void add_settings(const Runs& runs, charts::Page& page);    ///< page_settings.cpp: how the runs were made

// What more than one section needs (run_figures.cpp).

std::vector<std::string> names_of(const Runs& runs);
/// "1.14 M"; below a tenth of one the number itself.
std::string millions(double value);
double last_finite(const std::vector<double>& values);
/// Every domain that any of the runs was scored on, "all" first, then as they come.
std::vector<std::string> domains_of(const std::vector<const RunReport::Scores*>& all);
/// NaN where there is none of that name.
double bits_of(const RunReport::Scores& scores, const std::string& domain);

/// One number for each run by which the runs are compared; NaN for those without it.
struct Measure {
  enum class Kind { kEvaluation, kValidation, kTraining } kind;
  std::string unit;  ///< "bits per byte on held-out text"
  std::vector<double> values;
};
/// Of eval.json and the last validation the one that more runs have.
Measure held_out_measure(const Runs& runs);
/// The same where there are two to compare, or all of one; else the training loss.
Measure measure_of(const Runs& runs);
/// What a run's `kind` of scores are; empty for kTraining and for a run without them.
const RunReport::Scores& scores_of(const RunReport& run, Measure::Kind kind);

}  // namespace dsmoe::study
