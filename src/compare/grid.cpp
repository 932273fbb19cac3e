#include "compare/grid.h"

#include <algorithm>

#include "base/error.h"
#include "compare/plan_table.h"

namespace dsmoe::compare {
namespace {

using base::fail_invalid;
using base::Json;

constexpr size_t kMostArms = 200;
constexpr std::string_view kSize = "{size}";

// train.learning_rate and 0.001 as learning_rate-0.001, a part of a name; a size is its own.
std::string name_part(const GridAxis& axis, const std::string& value) {
  std::string part = axis.key == "size" ? value : axis.key.substr(axis.key.rfind('.') + 1) + "-" + value;
  std::replace_if(
      part.begin(), part.end(), [](unsigned char c) { return !std::isalnum(c) && c != '.' && c != '_'; }, '-');
  return part;
}

Arm with_value(const Arm& arm, const GridAxis& axis, const std::string& value) {
  Arm out = arm;
  out.name += "_" + name_part(axis, value);
  out.label += ", " + (axis.key == "size" ? "" : axis.key.substr(axis.key.rfind('.') + 1) + " ") + value;
  if (axis.key == "size") {
    out.preset.replace(out.preset.find(kSize), kSize.size(), value);
  } else if (axis.key == "tokens") {
    out.tokens = std::stoll(value);
  } else {
    out.settings.push_back(axis.key + "=" + value);
    return out;
  }
  out.group += (out.group.empty() ? "" : ", ") + axis.key + " " + value;
  return out;
}

bool has_axis(const std::vector<GridAxis>& axes, std::string_view key) {
  return std::any_of(axes.begin(), axes.end(), [&](const GridAxis& axis) { return axis.key == key; });
}

void require_axes(const Arm& arm, const std::vector<GridAxis>& axes) {
  const bool sized = has_axis(axes, "size");
  if ((arm.preset.find(kSize) != std::string::npos) != sized) {
    fail_invalid(
        "compare",
        sized ? "with a grid of size every preset has {size} in it" : "{size} in a preset needs a grid of size",
        arm.name + ": " + arm.preset, "preset = \"{size}-gshard\" and [[grid]] key = \"size\"");
  }
  if (arm.tokens > 0 && has_axis(axes, "tokens")) {
    fail_invalid("compare", "an arm has tokens of its own beside a grid of tokens", arm.name, "leave one of them out");
  }
}

}  // namespace

void refuse_derived_settings(const Settings& settings, const std::string& where) {
  static const std::pair<const char*, const char*> kDerived[] = {
      {"train.steps", "steps follow from the plan's tokens"},
      {"train.minutes", "runs end after the plan's tokens"},
      {"train.warmup_steps", "the warm-up is the plan's share of the steps"},
      {"train.seed", "seeds are the plan's"},
      {"data.path", "the data are the plan's"},
      {"output.dir", "runs lie in the comparison's folder"}};
  for (const std::string& setting : settings) {
    for (const auto& [key, why] : kDerived) {
      if (setting.starts_with(std::string(key) + "=")) fail_invalid(where, "the plan derives this", key, why);
    }
  }
}

GridAxis grid_axis_of(const Json& json, const std::string& where) {
  PlanTable table(json, where);
  GridAxis axis{table.text("key"), {}};
  const Json& values = table.at("values");
  if (!values.is_array() || values.empty()) fail_invalid(where, "values must be a list of at least one", {});
  for (const Json& value : values) {
    const bool whole = value.is_number_integer() && value.get<int64_t>() > 0 && value.get<int64_t>() <= kMostTokens;
    if (axis.key == "tokens" && !whole) {
      fail_invalid(where, "tokens are whole numbers from 1 to 2^50", base::dump_json(value));
    }
    if (axis.key == "size" && !value.is_string()) {
      fail_invalid(where, "sizes are the beginnings of presets' names", base::dump_json(value), "\"nano\", \"mini\"");
    }
    axis.values.push_back(value.is_string() ? value.get<std::string>() : base::dump_json(value));
  }
  table.refuse_others();
  refuse_derived_settings({axis.key + "="}, where);
  return axis;
}

std::vector<Arm> spread(const std::vector<Arm>& arms, const std::vector<GridAxis>& axes) {
  for (const Arm& arm : arms) require_axes(arm, axes);
  std::vector<Arm> all = arms;
  for (const GridAxis& axis : axes) {
    std::vector<Arm> next;
    for (const Arm& arm : all) {
      for (const std::string& value : axis.values) next.push_back(with_value(arm, axis, value));
      if (next.size() > kMostArms) fail_invalid("compare", "a grid may make at most 200 arms", {});
    }
    all = std::move(next);
  }
  return all;
}

}  // namespace dsmoe::compare
