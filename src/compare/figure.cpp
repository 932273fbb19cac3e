#include "compare/figure.h"

#include <cmath>
#include <cstdio>

#include "base/error.h"

namespace dsmoe::compare {
namespace {

using base::fail_invalid;

bool flag_of(const base::Json& value, const std::string& key, const std::string& where) {
  if (!value.is_boolean()) fail_invalid(where, key + " is true or false", base::dump_json(value));
  return value.get<bool>();
}

// 0.0625 as 1/16; other shares as a number.
std::string share_text(double share) {
  char text[32];
  for (const int whole : {16, 10}) {
    const double parts = share * whole;
    if (std::abs(parts - std::round(parts)) > 1e-9) continue;
    std::snprintf(text, sizeof text, "%.0f/%d", parts, whole);
    return text;
  }
  std::snprintf(text, sizeof text, "%.3g", share);
  return text;
}

}  // namespace

Figure figure_from_json(const base::Json& json, const std::string& where) {
  if (!json.is_object())
    fail_invalid(where, "a figure is a table such as { experts_per_tok = 4 }", base::dump_json(json));
  Figure figure;
  for (const auto& [key, value] : json.items()) {
    if (key == "masked_top_fraction") {
      figure.change.masked_top_fraction = base::require_number(json, "masked_top_fraction", where);
      if (!(figure.change.masked_top_fraction >= 0 && figure.change.masked_top_fraction < 1)) {
        fail_invalid(where, "masked_top_fraction must be from 0 to below 1", base::dump_json(value));
      }
    } else if (key == "experts_per_tok") {
      figure.change.experts_per_tok = base::require_int(json, "experts_per_tok", 1, 1 << 20, where);
    } else if (key == "drop_shared") {
      figure.change.drop_shared = flag_of(value, key, where);
    } else if (key == "rise") {
      figure.rise = flag_of(value, key, where);
    } else {
      fail_invalid(where, "a figure has masked_top_fraction, experts_per_tok, drop_shared and rise",
                   base::in_quotes(key));
    }
  }
  return figure;
}

std::string words_of(const Figure& figure) {
  const engine::Intervention& change = figure.change;
  std::string words;
  const auto add = [&](const std::string& part) { words += (words.empty() ? "" : ", ") + part; };
  if (change.masked_top_fraction > 0)
    add("the best " + share_text(change.masked_top_fraction) + " of its experts masked");
  if (change.drop_shared) add("shared experts dropped");
  if (change.experts_per_tok > 0) add(std::to_string(change.experts_per_tok) + " routed experts a token");
  return figure.rise ? "rise with " + words : words;
}

std::optional<study::AblationKind> study_of(const Figure& figure) {
  if (figure.change == engine::Intervention{}) return std::nullopt;
  if (figure.change.masked_top_fraction > 0) return study::AblationKind::kDisable;
  return figure.change.drop_shared ? study::AblationKind::kShared : study::AblationKind::kFewer;
}

}  // namespace dsmoe::compare
