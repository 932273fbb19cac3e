#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "charts/text.h"
#include "study/page_sections.h"
#include "study/report.h"

namespace dsmoe::study {
namespace {

using charts::short_number;

constexpr size_t kNamed = 5;  // runs that a sentence can name

std::string joined(const std::vector<std::string>& words, const std::string& last = " and ") {
  std::string out;
  for (size_t i = 0; i < words.size(); ++i) {
    out += (i == 0 ? "" : i + 1 == words.size() ? last : ", ") + words[i];
  }
  return out;
}

struct Tokens {
  double least = INFINITY, most = 0;
  std::vector<std::string> seen;  // "NAME 1.14 M"
  size_t unknown = 0;
};

// Runs whose records do not count tokens are left out of it.
Tokens tokens_of(const Runs& runs) {
  Tokens all;
  for (const RunReport& run : runs) {
    const double tokens = last_finite(run.tokens);
    if (!std::isfinite(tokens)) {
      ++all.unknown;
      continue;
    }
    all.least = std::min(all.least, tokens), all.most = std::max(all.most, tokens);
    all.seen.push_back(run.name + " " + millions(tokens));
  }
  return all;
}

std::string opening(const Runs& runs) {
  const Tokens tokens = tokens_of(runs);
  if (tokens.least < tokens.most) {
    std::string seen = "from " + millions(tokens.least) + " to " + millions(tokens.most);
    if (tokens.seen.size() <= 2 * kNamed) seen = joined(tokens.seen, ", ");
    return "These runs saw different numbers of tokens (" + seen + "): part of any difference below is that one; ";
  }
  if (tokens.unknown > 0) return "Of " + std::to_string(runs.size()) + " runs, ";
  return "Of " + std::to_string(runs.size()) + " runs on " + millions(tokens.most) + " tokens each, ";
}

// Scores of different texts are no comparison of the models.
bool different_texts(const Runs& runs, Measure::Kind kind) {
  std::set<std::string> texts;
  for (const RunReport& run : runs) {
    if (kind == Measure::Kind::kEvaluation && run.provenance.contains("evaluation")) {
      const base::Json& made = run.provenance["evaluation"];
      texts.insert(base::dump_json(made.value("data_hash", base::Json())) +
                   base::dump_json(made.value("split", base::Json())));
    }
  }
  return texts.size() > 1;
}

std::string about_several(const Runs& runs) {
  const Measure measure = measure_of(runs);
  std::vector<size_t> order;
  std::vector<std::string> missing;
  for (size_t r = 0; r < runs.size(); ++r) {
    if (std::isfinite(measure.values[r])) {
      order.push_back(r);
    } else {
      missing.push_back(runs[r].name);
    }
  }
  if (order.empty()) return "none was measured.";
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return measure.values[a] < measure.values[b]; });
  const auto shown = [&](size_t place) { return short_number(measure.values[order[place]]); };
  size_t level = 1;  // runs that the shown digits do not tell apart
  while (level < order.size() && shown(level) == shown(0)) ++level;
  std::vector<std::string> lowest;
  for (size_t i = 0; i < std::min(level, kNamed); ++i) lowest.push_back(runs[order[i]].name);
  std::string out = level > kNamed ? std::to_string(level) + " runs are level at "
                                   : joined(lowest) + (level > 1 ? " are level at " : " is lowest with ");
  out += shown(0) + " " + measure.unit;
  if (order.size() - level > kNamed) {
    out += ", the other " + std::to_string(order.size() - level) + " run from " + shown(level) + " (" +
           runs[order[level]].name + ") to " + shown(order.size() - 1) + " (" + runs[order.back()].name + ")";
  } else if (order.size() > level) {
    std::vector<std::string> others;
    for (size_t i = level; i < order.size(); ++i) others.push_back(runs[order[i]].name + " " + shown(i));
    out += ", before " + joined(others);
  }
  if (different_texts(runs, measure.kind)) out += "; the scores are not of one text";
  if (missing.size() > kNamed) missing = {std::to_string(missing.size()) + " runs"};
  return out + (missing.empty() ? "." : "; not measured: " + joined(missing) + ".");
}

std::string about_one(const RunReport& run) {
  const double tokens = last_finite(run.tokens), steps = last_finite(run.step);
  const Measure measure = measure_of({run});
  std::string out = run.name + " learnt ";
  if (std::isfinite(tokens)) out += "from " + millions(tokens) + " tokens ";
  if (std::isfinite(steps)) out += "in " + short_number(steps) + (steps == 1 ? " step " : " steps ");
  if (!std::isfinite(measure.values[0])) return out + "and was not measured.";
  out += "and reaches " + short_number(measure.values[0]) + " " + measure.unit;
  const bool validated = measure.kind == Measure::Kind::kValidation && run.validations.size() > 1;
  if (validated && std::isfinite(run.validations.front().tokens)) {
    const auto& first = run.validations.front();
    out += ", from " + short_number(bits_of(first.scores, "all")) + " after " + millions(first.tokens) + " tokens";
  }
  return out + ".";
}

}  // namespace

std::string result_sentence(const Runs& runs) {
  if (runs.empty()) return "No run was given.";
  return runs.size() == 1 ? about_one(runs.front()) : opening(runs) + about_several(runs);
}

}  // namespace dsmoe::study
