#include "apps/intervention_arguments.h"

#include <charconv>

#include "apps/real_number.h"
#include "apps/whole_number.h"
#include "base/error.h"

namespace dsmoe::apps {
namespace {

struct LayerExperts {
  int64_t layer = engine::Intervention::kEveryLayer;
  std::vector<int32_t> experts;
};

template <class T>
T number_of(std::string_view digits, const std::string& text) {
  T value{};
  const char* const end = digits.data() + digits.size();
  const auto [next, fault] = std::from_chars(digits.data(), end, value);
  if (fault != std::errc() || next != end || value < 0) {
    base::fail(base::ErrorKind::kUsage, "intervention", "experts are given as LAYER:ID,ID or ID,ID",
               base::in_quotes(text), "3:0,17 are two experts of layer 3");
  }
  return value;
}

LayerExperts experts_of(const std::string& text) {
  LayerExperts out;
  std::string_view rest = text;
  if (const size_t colon = rest.find(':'); colon != std::string_view::npos) {
    out.layer = number_of<int64_t>(rest.substr(0, colon), text);
    rest.remove_prefix(colon + 1);
  }
  for (bool more = true; more;) {
    const size_t comma = rest.find(',');
    more = comma != std::string_view::npos;
    out.experts.push_back(number_of<int32_t>(rest.substr(0, comma), text));
    if (more) rest.remove_prefix(comma + 1);
  }
  return out;
}

}  // namespace

void InterventionArguments::add_to(CLI::App& command, const std::string& prefix) {
  const auto named = [&](const char* name) { return "--" + prefix + name; };
  const auto grouped = [](CLI::Option* option) { option->group("What the experts are kept from (docs/studies.md)"); };
  grouped(add_real_number(command, named("masked-top-fraction"), masked_top_fraction,
                          "each token loses this share of the routed experts, those of highest affinity for it"));
  grouped(add_whole_number(command, named("experts-per-tok"), experts_per_tok,
                           "routed experts a token visits; 0: as many as in training", {0, 1 << 20}));
  grouped(command.add_flag(named("drop-shared"), drop_shared, "the shared experts add nothing"));
  grouped(
      command
          .add_option(named("mask-experts"), masked, "LAYER:ID,ID: experts that no token visits; ID,ID: of every layer")
          ->expected(1)
          ->take_all());
  grouped(
      command
          .add_option(named("force-experts"), forced, "LAYER:ID,ID: the experts that every token visits, and no others")
          ->expected(1)
          ->take_all());
}

engine::Intervention InterventionArguments::intervention() const {
  engine::Intervention change;
  change.masked_top_fraction = masked_top_fraction;
  change.experts_per_tok = experts_per_tok;
  change.drop_shared = drop_shared;
  for (const std::string& text : masked) {
    const LayerExperts named = experts_of(text);
    change.masked[named.layer].insert(named.experts.begin(), named.experts.end());
  }
  for (const std::string& text : forced) {
    const LayerExperts named = experts_of(text);
    std::vector<int32_t>& list = change.forced[named.layer];
    list.insert(list.end(), named.experts.begin(), named.experts.end());
  }
  return change;
}

base::Json InterventionArguments::json() const {
  base::Json json = base::Json::object();
  if (masked_top_fraction != 0) json["masked_top_fraction"] = masked_top_fraction;
  if (experts_per_tok != 0) json["experts_per_tok"] = experts_per_tok;
  if (drop_shared) json["drop_shared"] = true;
  if (!masked.empty()) json["mask_experts"] = masked;
  if (!forced.empty()) json["force_experts"] = forced;
  return json;
}

}  // namespace dsmoe::apps
