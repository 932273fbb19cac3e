// A comparison of two models as one JSON object, and as tables for a terminal.
#include <cmath>
#include <cstdio>
#include <limits>

#include "base/error.h"
#include "charts/text.h"
#include "study/model_diff.h"
#include "study/token_text.h"

namespace dsmoe::study {
namespace {

using base::Json;

constexpr const char* kFormat = "dsmoe-diff 1";

double rounded(double value) { return std::round(value * 1e6) / 1e6; }

// Beyond the outermost edges, and errors of one document: no number.
Json or_null(double value) { return std::isfinite(value) ? Json(rounded(value)) : Json(nullptr); }

double number_or(const Json& json, const char* key, double nothing, const std::string& where) {
  return base::require_member(json, key, where).is_null() ? nothing : base::require_number(json, key, where);
}

Json token_json(const ModelDiff::Token& token) {
  return {{"token", token.text}, {"a", rounded(token.a)}, {"b", rounded(token.b)}};
}

ModelDiff::Token token_from(const Json& json, const std::string& where) {
  return {base::require_string(json, "token", where), base::require_number(json, "a", where),
          base::require_number(json, "b", where)};
}

Json places_json(const std::vector<ModelDiff::Place>& places) {
  Json list = Json::array();
  for (const ModelDiff::Place& place : places) {
    Json json = {{"domain", place.domain}, {"before", place.before}, {"behind", place.behind}};
    json.update(token_json(place.token));
    list.push_back(std::move(json));
  }
  return list;
}

const Json& list(const Json& json, const char* key, const std::string& where) {
  const Json& found = base::require_member(json, key, where);
  if (!found.is_array()) base::fail_invalid(where, std::string(key) + " must be a list");
  return found;
}

std::vector<ModelDiff::Place> places_from(const Json& json, const char* key, const std::string& where) {
  std::vector<ModelDiff::Place> places;
  for (const Json& one : list(json, key, where)) {
    places.push_back({base::require_string(one, "domain", where), base::require_string(one, "before", where),
                      base::require_string(one, "behind", where), token_from(one, where)});
  }
  return places;
}

template <class... Values>
std::string line(const char* form, Values... values) {
  char text[400];
  std::snprintf(text, sizeof text, form, values...);
  return text;
}

std::string places_table(const std::vector<ModelDiff::Place>& places) {
  constexpr size_t kShown = 8;
  std::string out;
  for (size_t i = 0; i < std::min(kShown, places.size()); ++i) {
    const ModelDiff::Place& place = places[i];
    out += line("  %7.2f %7.2f  %-12.20s ", place.token.a, place.token.b, place.domain.c_str()) +
           shown_text(place.before) + " " + shown_text(place.token.text) + "\n";
  }
  return out;
}

}  // namespace

Json to_json(const ModelDiff& diff) {
  Json json = {{"format", kFormat}, {"a", diff.a}, {"b", diff.b}, {"domains", Json::array()}};
  for (const ModelDiff::Row& row : diff.rows) {
    json["domains"].push_back({{"domain", row.domain},
                               {"tokens", row.tokens},
                               {"a", rounded(row.a)},
                               {"b", rounded(row.b)},
                               {"difference", rounded(row.difference())},
                               {"difference_stderr", or_null(row.standard_error)}});
  }
  json["steps"] = Json::array();
  for (const ModelDiff::Step& step : diff.steps) {
    json["steps"].push_back({{"from", or_null(step.from)},
                             {"to", or_null(step.to)},
                             {"tokens", step.tokens},
                             {"nats", rounded(step.nats)}});
  }
  json["b_worse"] = places_json(diff.b_worse);
  json["a_worse"] = places_json(diff.a_worse);
  json["passages"] = Json::array();
  for (const ModelDiff::Passage& passage : diff.passages) {
    Json tokens = Json::array();
    for (const ModelDiff::Token& token : passage.tokens) tokens.push_back(token_json(token));
    json["passages"].push_back({{"domain", passage.domain}, {"tokens", std::move(tokens)}});
  }
  json["layers"] = Json::array();
  for (const ModelDiff::Layer& layer : diff.layers) {
    json["layers"].push_back(
        {{"layer", layer.layer}, {"same", rounded(layer.same)}, {"chance", rounded(layer.chance)}});
  }
  return json;
}

ModelDiff model_diff_from_json(const Json& json, const std::string& where) {
  const std::string format = base::require_string(json, "format", where);
  if (format != kFormat) base::fail_invalid(where, std::string("the format must be ") + kFormat, format);
  ModelDiff diff;
  diff.a = base::require_string(json, "a", where), diff.b = base::require_string(json, "b", where);
  for (const Json& row : list(json, "domains", where)) {
    diff.rows.push_back({base::require_string(row, "domain", where),
                         base::require_int(row, "tokens", 0, INT64_MAX, where), base::require_number(row, "a", where),
                         base::require_number(row, "b", where),
                         number_or(row, "difference_stderr", std::nan(""), where)});
  }
  if (diff.rows.empty()) base::fail_invalid(where, "domains must have the figures of all text at least");
  for (const Json& step : list(json, "steps", where)) {
    diff.steps.push_back({number_or(step, "from", -INFINITY, where), number_or(step, "to", INFINITY, where),
                          base::require_int(step, "tokens", 0, INT64_MAX, where),
                          base::require_number(step, "nats", where)});
  }
  diff.b_worse = places_from(json, "b_worse", where);
  diff.a_worse = places_from(json, "a_worse", where);
  for (const Json& passage : list(json, "passages", where)) {
    diff.passages.push_back({base::require_string(passage, "domain", where), {}});
    for (const Json& token : list(passage, "tokens", where)) {
      diff.passages.back().tokens.push_back(token_from(token, where));
    }
  }
  for (const Json& layer : list(json, "layers", where)) {
    diff.layers.push_back({base::require_int(layer, "layer", 0, INT32_MAX, where),
                           base::require_number(layer, "same", where), base::require_number(layer, "chance", where)});
  }
  return diff;
}

std::string diff_table(const ModelDiff& diff) {
  std::string out = "A: " + diff.a + "\nB: " + diff.b + "\nnats per token; +- is the standard error over documents\n\n";
  out += line("%-14s %9s %9s %9s %9s %8s\n", "domain", "tokens", "A", "B", "B - A", "+-");
  for (const ModelDiff::Row& row : diff.rows) {
    out += line("%-14.40s %9lld %9.4f %9.4f %+9.4f ", row.domain.c_str(), static_cast<long long>(row.tokens), row.a,
                row.b, row.difference());
    out += std::isfinite(row.standard_error) ? line("%8.4f\n", row.standard_error) : std::string("       -\n");
  }
  out += "\ntokens by B - A, and what they add to the mean\n";
  for (const ModelDiff::Step& step : diff.steps) {
    out += line("%8s to %-8s", std::isfinite(step.from) ? charts::short_number(step.from).c_str() : "",
                std::isfinite(step.to) ? charts::short_number(step.to).c_str() : "");
    out += line(" %9lld %+9.4f\n", static_cast<long long>(step.tokens), step.nats);
  }
  if (!diff.layers.empty()) {
    out += "\nexperts of A that B picks too\n   layer     same  by chance\n";
    for (const ModelDiff::Layer& layer : diff.layers) {
      out +=
          line("%8lld %6.1f %% %8.1f %%\n", static_cast<long long>(layer.layer), 100 * layer.same, 100 * layer.chance);
    }
  }
  if (!diff.b_worse.empty()) out += "\nwhere B loses most (nats of A, of B)\n" + places_table(diff.b_worse);
  if (!diff.a_worse.empty()) out += "\nwhere A loses most (nats of A, of B)\n" + places_table(diff.a_worse);
  return out;
}

}  // namespace dsmoe::study
