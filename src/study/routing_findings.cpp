#include "study/routing_findings.h"

#include <cmath>
#include <functional>
#include <limits>

#include "base/error.h"

namespace dsmoe::study {
namespace {

using base::Json;

constexpr double kNothing = std::numeric_limits<double>::quiet_NaN();

double number(const Json& json, const char* key, std::string_view where) {
  const Json& value = base::require_member(json, key, where);
  return value.is_null() ? kNothing : base::require_number(json, key, where);
}

double share(const Json& json, const char* key, std::string_view where) {
  const Json& value = base::require_member(json, key, where);
  return value.is_null() ? kNothing : number(value, "share", where);
}

// The items of a list; nothing where the record has no such list.
void for_each(const Json& json, const char* key, std::string_view where, const std::function<void(const Json&)>& act) {
  const auto found = json.find(key);
  if (found == json.end()) return;
  if (!found->is_array()) base::fail_invalid(where, std::string(key) + " must be a list");
  for (const Json& item : *found) act(item);
}

int64_t layer_of(const Json& json, std::string_view where) {
  return base::require_int(json, "layer", 0, int64_t{1} << 20, where);
}

RoutingFindings::Layer layer_from(const Json& json, std::string_view where) {
  return {layer_of(json, where),
          number(json, "max_violation", where),
          number(json, "load_entropy", where),
          number(json, "router_entropy", where),
          share(json, "domain_of_pick", where),
          share(json, "domain_of_token", where),
          number(json, "pairs_bits", where) - number(json, "pairs_chance", where),
          number(json, "similarity", where)};
}

RoutingFindings::Expert expert_from(const Json& json, const std::vector<std::string>& domains, std::string_view where) {
  RoutingFindings::Expert expert;
  expert.picks = base::require_int(json, "picks", 0, INT64_MAX, where);
  for_each(json, "tokens", where, [&](const Json& token) {
    const int64_t id = base::require_int(token, "id", 0, INT32_MAX, where);
    expert.tokens.push_back({token.contains("text") ? base::require_string(token, "text", where) : std::to_string(id),
                             base::require_int(token, "count", 0, INT64_MAX, where), number(token, "share", where),
                             number(token, "lift", where)});
  });
  for_each(json, "examples", where, [&](const Json& example) {
    const int64_t domain = base::require_int(example, "domain", 0, static_cast<int64_t>(domains.size()) - 1, where);
    expert.examples.push_back({base::require_string(example, "before", where),
                               base::require_string(example, "token", where),
                               base::require_string(example, "behind", where), domains[static_cast<size_t>(domain)]});
  });
  return expert;
}

// Rows above the diagonal to the whole of it.
RoutingFindings::Matrix matrix_from(const Json& json, const char* key, int64_t experts, std::string_view where) {
  const auto count = static_cast<size_t>(experts);
  RoutingFindings::Matrix rows;
  for_each(json, key, where, [&](const Json& row) {
    const size_t a = rows.size();
    if (a + 1 >= count || !row.is_array() || row.size() != count - a - 1) {
      base::fail_invalid(where, std::string(key) + " must have a number for each pair of experts");
    }
    rows.emplace_back(count, kNothing);
    for (size_t i = 0; i < row.size(); ++i) {
      if (!row[i].is_null() && !row[i].is_number()) base::fail_invalid(where, std::string(key) + " must be numbers");
      if (row[i].is_number()) rows[a][a + 1 + i] = row[i].get<double>();
    }
  });
  if (rows.empty()) return rows;
  if (rows.size() + 1 != count) {
    base::fail_invalid(where, std::string(key) + " must have a number for each pair of experts");
  }
  rows.emplace_back(count, kNothing);
  for (size_t a = 0; a < count; ++a) {
    for (size_t b = 0; b < a; ++b) rows[a][b] = rows[b][a];
  }
  return rows;
}

}  // namespace

RoutingFindings routing_findings_from_json(const Json& json, int64_t experts, const std::vector<std::string>& domains,
                                           std::string_view where) {
  RoutingFindings findings;
  for_each(json, "by_layer", where, [&](const Json& layer) { findings.layers.push_back(layer_from(layer, where)); });
  for_each(json, "experts", where, [&](const Json& layer) {
    RoutingFindings::Experts all{layer_of(layer, where), {}};
    for_each(layer, "experts", where,
             [&](const Json& expert) { all.experts.push_back(expert_from(expert, domains, where)); });
    if (std::ssize(all.experts) != experts) base::fail_invalid(where, "experts must be as many as counts are of");
    findings.experts.push_back(std::move(all));
  });
  for_each(json, "pairs", where, [&](const Json& layer) {
    findings.pairs.push_back({layer_of(layer, where), matrix_from(layer, "lifts", experts, where),
                              matrix_from(layer, "cosines", experts, where)});
  });
  return findings;
}

}  // namespace dsmoe::study
