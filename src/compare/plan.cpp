#include "compare/plan.h"

#include <algorithm>
#include <set>

#include "base/error.h"
#include "compare/grid.h"
#include "compare/plan_table.h"

namespace dsmoe::compare {
namespace {

using base::fail_invalid;
using base::Json;
using Table = PlanTable;

std::string setting_text(const std::string& key, const Json& value) {
  return key + "=" + (value.is_string() ? value.get<std::string>() : base::dump_json(value));
}

// `train.learning_rate = 1e-3` is a table in a table in TOML; quoted, it is one key. Both are the same setting.
void flatten(const Json& json, const std::string& prefix, Settings& out) {
  for (const auto& [key, value] : json.items()) {
    const std::string name = prefix.empty() ? key : prefix + "." + key;
    if (value.is_object()) {
      flatten(value, name, out);
    } else {
      out.push_back(setting_text(name, value));
    }
  }
}

Settings settings_of(Table& table) {
  Settings settings;
  if (table.has("set")) {
    if (!table.at("set").is_object()) fail_invalid(table.where(), "set must be a table of section.key = value", {});
    flatten(table.at("set"), "", settings);
  }
  refuse_derived_settings(settings, table.where());
  return settings;
}

void require_name(const std::string& name, const std::string& where) {
  const bool plain = !name.empty() && name.size() <= 80 && name[0] != '.' && name[0] != '-' &&
                     std::all_of(name.begin(), name.end(), [](unsigned char c) {
                       return std::isalnum(c) || c == '.' || c == '_' || c == '+' || c == '-';
                     });
  if (!plain) {
    fail_invalid(where, "an arm's name is of letters, digits and . _ + -", base::in_quotes(name),
                 "label takes any text");
  }
}

Arm arm_of(const Json& json, const std::string& where) {
  Table table(json, where);
  Arm arm;
  arm.name = arm.family = table.text("name");
  require_name(arm.name, where);
  arm.label = table.text_or("label", arm.name);
  arm.preset = table.text("preset");
  if (table.has("paper")) arm.paper = table.number("paper");
  if (table.has("tokens")) arm.tokens = table.integer("tokens", 1, kMostTokens);
  arm.settings = settings_of(table);
  table.refuse_others();
  return arm;
}

Claim claim_of(const Json& json, const std::string& where) {
  Table table(json, where);
  Claim claim;
  claim.text = table.text("text");
  claim.arm = table.text("arm");
  claim.against = table.text("against");
  const std::string expects = table.text_or("expects", "lower");
  if (expects != "lower" && expects != "no_higher") {
    fail_invalid(where, "expects must be lower or no_higher", base::in_quotes(expects));
  }
  claim.expects = expects == "lower" ? Expectation::kLower : Expectation::kNoHigher;
  claim.margin = table.number_in("margin", 0, 100, 0);
  if (claim.expects == Expectation::kNoHigher && claim.margin <= 0) {
    fail_invalid(where, "no_higher needs a margin above 0, in nats per token", base::dump_json(claim.margin),
                 "how much higher would still count as equal");
  }
  if (table.has("figure")) claim.figure = figure_from_json(table.at("figure"), where + " figure");
  if (table.has("against_figure")) {
    claim.against_figure = figure_from_json(table.at("against_figure"), where + " against_figure");
  }
  if (claim.arm == claim.against && claim.figure == claim.against_figure) {
    fail_invalid(where, "an arm cannot be compared with itself", claim.arm);
  }
  table.refuse_others();
  return claim;
}

template <class Make>
auto list_of(Table& table, const char* key, const std::string& where, const Make& make) {
  std::vector<decltype(make(Json(), std::string()))> out;
  if (!table.has(key)) return out;
  const Json& list = table.at(key);
  if (!list.is_array()) fail_invalid(where, std::string(key) + " must be written [[" + key + "]]", {});
  for (size_t i = 0; i < list.size(); ++i) {
    out.push_back(make(list[i], where + " " + key + " " + std::to_string(i + 1)));
  }
  return out;
}

std::vector<int64_t> seeds_of(Table& table) {
  const Json& list = table.at("seeds");
  std::vector<int64_t> seeds;
  if (!list.is_array() || list.empty()) fail_invalid(table.where(), "seeds must be a list of at least one", {});
  for (const Json& seed : list) {
    if (!seed.is_number_integer() || seed.get<int64_t>() < 0) {
      fail_invalid(table.where(), "a seed is a whole number from 0 on", base::dump_json(seed));
    }
    seeds.push_back(seed.get<int64_t>());
  }
  if (std::set<int64_t>(seeds.begin(), seeds.end()).size() != seeds.size()) {
    fail_invalid(table.where(), "every seed once", base::dump_json(list));
  }
  return seeds;
}

std::vector<std::string> unequal_of(Table& table) {
  static const std::vector<std::string> kNames = {"total_parameters", "activated_parameters", "flops", "tokens"};
  std::vector<std::string> names;
  if (!table.has("unequal")) return names;
  const Json& list = table.at("unequal");
  if (!list.is_array()) fail_invalid(table.where(), "unequal must be a list of names", base::dump_json(list));
  for (const Json& item : list) {
    const std::string name = item.is_string() ? item.get<std::string>() : base::dump_json(item);
    if (std::find(kNames.begin(), kNames.end(), name) == kNames.end()) {
      fail_invalid(table.where(), "unequal knows total_parameters, activated_parameters, flops and tokens",
                   base::in_quotes(name));
    }
    names.push_back(name);
  }
  return names;
}

std::vector<std::string> texts_of(Table& table, const char* key) {
  std::vector<std::string> texts;
  if (!table.has(key)) return texts;
  const Json& list = table.at(key);
  if (!list.is_array()) fail_invalid(table.where(), std::string(key) + " must be a list", base::dump_json(list));
  for (const Json& item : list) {
    if (!item.is_string()) fail_invalid(table.where(), std::string(key) + " must be texts", base::dump_json(item));
    texts.push_back(item.get<std::string>());
  }
  return texts;
}

std::vector<study::AblationKind> studies_of(Table& table) {
  std::vector<study::AblationKind> kinds;
  for (const std::string& name : texts_of(table, "studies")) {
    const auto kind = study::ablation_named(name);
    if (!kind) fail_invalid(table.where(), "studies knows disable, shared and fewer", base::in_quotes(name));
    kinds.push_back(*kind);
  }
  return kinds;
}

void require_studied(const Plan& plan, const Figure& figure, const std::string& where) {
  const auto kind = study_of(figure);
  if (!kind || std::find(plan.studies.begin(), plan.studies.end(), *kind) != plan.studies.end()) return;
  const std::string name(study::ablation_name(*kind));
  fail_invalid(where, "a claim speaks of what no study of the plan measures", words_of(figure),
               "add \"" + name + "\" to studies");
}

// A claim that crosses sizes or budgets says nothing of a recipe unless its author meant that.
void require_comparable(const Plan& plan, const Arm& arm, const Arm& against, const std::string& where) {
  if (arm.group == against.group || !plan.unequal.empty()) return;
  fail_invalid(where, "a claim compares arms of different size or tokens", arm.name + " and " + against.name,
               "name in unequal what may differ");
}

void check_names(const Plan& plan, const std::string& where) {
  std::set<std::string> names;
  for (const Arm& arm : plan.arms) {
    if (!names.insert(arm.name).second) fail_invalid(where, "two arms have one name", arm.name);
  }
  for (const Claim& claim : plan.claims) {
    require_comparable(plan, arm_named(plan, claim.arm), arm_named(plan, claim.against), where);
    require_studied(plan, claim.figure, where);
    require_studied(plan, claim.against_figure, where);
  }
}

}  // namespace

const Arm& arm_named(const Plan& plan, const std::string& name) {
  std::vector<std::string> names;
  for (const Arm& arm : plan.arms) {
    if (arm.name == name) return arm;
    names.push_back(arm.name);
  }
  const std::string near = base::nearest(name, names);
  fail_invalid("compare", "no arm has this name", base::in_quotes(name),
               near.empty() ? "" : "did you mean " + near + "?");
}

Plan parse_plan(std::string_view toml, std::string_view place) {
  const std::string where(place);
  const Json json = base::parse_toml(toml, where);
  Table table(json, where);
  Plan plan;
  plan.title = table.text("title");
  plan.question = table.text_or("question", "");
  plan.tokens = table.integer("tokens", 1, kMostTokens);
  plan.warmup = table.number_in("warmup", 0, 1, 0.05);
  plan.seeds = seeds_of(table);
  plan.data = table.text_or("data", "");
  plan.smallest_effect = table.number_in("smallest_effect", 0, 100, 0);
  plan.tolerance = table.number_in("tolerance", 0, 1, 0.03);
  plan.unequal = unequal_of(table);
  plan.studies = studies_of(table);
  plan.study_tokens = table.has("study_tokens") ? table.integer("study_tokens", 0, kMostTokens) : 0;
  plan.tasks = texts_of(table, "tasks");
  plan.settings = settings_of(table);
  plan.arms = spread(list_of(table, "arms", where, arm_of), list_of(table, "grid", where, grid_axis_of));
  plan.claims = list_of(table, "claims", where, claim_of);
  table.refuse_others();
  if (plan.arms.empty()) fail_invalid(where, "a comparison has at least one arm", {}, "[[arms]] with name and preset");
  if (!plan.claims.empty() && plan.smallest_effect <= 0) {
    fail_invalid(where, "claims need smallest_effect above 0, in nats per token", base::dump_json(plan.smallest_effect),
                 "decide before it runs what difference would matter");
  }
  check_names(plan, where);
  return plan;
}

Plan read_plan(const base::fs::path& file) { return parse_plan(base::read_file(file, 1 << 20), file.string()); }

}  // namespace dsmoe::compare
