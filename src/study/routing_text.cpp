#include "study/routing_text.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/error.h"
#include "study/routing_trace.h"
#include "study/token_text.h"

namespace dsmoe::study {
namespace {

using base::Json;

class TextProbe : public engine::RoutingProbe {
 public:
  explicit TextProbe(TextRouting& routing) : routing_(routing) {}
  void on_routing(int64_t layer, const engine::RoutingView& view) override {
    require_finite(layer, view);
    const auto row = static_cast<size_t>(std::ranges::lower_bound(routing_.layers, layer) - routing_.layers.begin());
    routing_.experts[row].insert(routing_.experts[row].end(), view.ids_TK.begin(), view.ids_TK.end());
    routing_.weights[row].insert(routing_.weights[row].end(), view.weights_TK.begin(), view.weights_TK.end());
  }

 private:
  TextRouting& routing_;
};

// [T][K] of one layer's values, of the first tokens.
template <class Value, class Written>
Json by_token(const std::vector<Value>& values, size_t tokens, size_t slots, const Written& written) {
  Json rows = Json::array();
  for (size_t t = 0; t < tokens; ++t) {
    Json row = Json::array();
    for (size_t k = 0; k < slots; ++k) row.push_back(written(values[t * slots + k]));
    rows.push_back(std::move(row));
  }
  return rows;
}

// [L][T][K] of a record to [L][T K]. A token without all its slots makes the whole too short, which is found later.
template <class Value>
std::vector<std::vector<Value>> joined(const Json& layers, int64_t slots) {
  std::vector<std::vector<Value>> out;
  for (const Json& tokens : layers) {
    out.emplace_back();
    for (const Json& row : tokens) {
      if (std::ssize(row) != slots) continue;
      for (const Json& value : row) out.back().push_back(value.get<Value>());
    }
  }
  return out;
}

Json first_tokens(const TextRouting& routing, const tokenizer::Tokenizer* tokenizer, size_t tokens) {
  const auto K = static_cast<size_t>(routing.num_experts_per_tok);
  Json json = {
      {"n_routed_experts", routing.n_routed_experts},
      {"num_experts_per_tok", routing.num_experts_per_tok},
      {"layers", routing.layers},
      {"ids", std::vector<int32_t>(routing.ids.begin(), routing.ids.begin() + static_cast<std::ptrdiff_t>(tokens))}};
  if (tokenizer != nullptr) {
    json["texts"] = Json::array();
    for (size_t t = 0; t < tokens; ++t) json["texts"].push_back(token_text(*tokenizer, routing.ids[t]));
  }
  json["experts"] = Json::array(), json["weights"] = Json::array();
  for (size_t l = 0; l < routing.layers.size(); ++l) {
    json["experts"].push_back(by_token(routing.experts[l], tokens, K, [](int32_t expert) { return expert; }));
    json["weights"].push_back(
        by_token(routing.weights[l], tokens, K, [](double weight) { return std::round(weight * 1e4) / 1e4; }));
  }
  json["cut"] = Json::array();
  if (tokens < routing.ids.size()) {
    json["cut"].push_back("the first " + std::to_string(tokens) + " of " + std::to_string(routing.ids.size()) +
                          " tokens");
  }
  return json;
}

}  // namespace

TextRouting route_text(engine::Engine& engine, std::span<const int32_t> ids) {
  const RoutingTrace shape = empty_trace(engine.config(), {});
  TextRouting routing;
  routing.layers = shape.layers;
  routing.n_routed_experts = shape.n_routed_experts;
  routing.num_experts_per_tok = shape.num_experts_per_tok;
  routing.ids.assign(ids.begin(), ids.end());
  routing.experts.resize(routing.layers.size());
  routing.weights.resize(routing.layers.size());
  TextProbe probe(routing);
  engine::Session session(engine);
  session.probe = &probe;
  session.append(routing.ids);
  return routing;
}

Json to_json(const TextRouting& routing, const tokenizer::Tokenizer* tokenizer, size_t longest) {
  size_t tokens = routing.ids.size();
  while (true) {
    Json json = first_tokens(routing, tokenizer, tokens);
    const size_t length = base::dump_json(json).size();
    if (length <= longest || tokens == 0) return json;
    tokens = std::min(tokens - 1, tokens * longest / length);
  }
}

TextRecord text_record_from_json(const Json& json, std::string_view where) {
  TextRecord record;
  TextRouting& routing = record.routing;
  routing.n_routed_experts = base::require_int(json, "n_routed_experts", 1, 1 << 16, where);
  routing.num_experts_per_tok = base::require_int(json, "num_experts_per_tok", 1, routing.n_routed_experts, where);
  try {
    base::require_member(json, "layers", where).get_to(routing.layers);
    base::require_member(json, "ids", where).get_to(routing.ids);
    routing.experts = joined<int32_t>(base::require_member(json, "experts", where), routing.num_experts_per_tok);
    routing.weights = joined<float>(base::require_member(json, "weights", where), routing.num_experts_per_tok);
    if (json.contains("texts")) json["texts"].get_to(record.texts);
    if (json.contains("cut") && !json["cut"].empty()) json["cut"].at(0).get_to(record.cut);
  } catch (const Json::exception&) {
    base::fail_invalid(where, "not the routing of a text that `dsmoe study routing` writes");
  }
  if (record.texts.empty()) {
    for (const int32_t id : routing.ids) record.texts.push_back(std::to_string(id));
  }
  const size_t picks = routing.ids.size() * static_cast<size_t>(routing.num_experts_per_tok);
  bool fits = routing.experts.size() == routing.layers.size() && routing.weights.size() == routing.layers.size() &&
              record.texts.size() == routing.ids.size();
  for (size_t l = 0; fits && l < routing.layers.size(); ++l) {
    fits = routing.experts[l].size() == picks && routing.weights[l].size() == picks &&
           std::ranges::all_of(routing.experts[l], [&](int32_t e) { return e >= 0 && e < routing.n_routed_experts; });
  }
  if (!fits) base::fail_invalid(where, "layers, ids, texts, experts and weights do not have fitting sizes");
  return record;
}

std::string text_table(const TextRouting& routing, const tokenizer::Tokenizer* tokenizer, size_t columns) {
  constexpr size_t kBefore = 26, kCell = 10;
  const size_t shown =
      std::min(routing.layers.size(), std::max<size_t>(1, (std::max(columns, kBefore) - kBefore) / kCell));
  const auto K = static_cast<size_t>(routing.num_experts_per_tok);
  char cell[48];
  std::string out = "each token's best expert, and what its output is multiplied by\n\n       token    layer";
  out.append(kBefore - 21, ' ');
  for (size_t l = 0; l < shown; ++l) {
    std::snprintf(cell, sizeof cell, "%6lld    ", static_cast<long long>(routing.layers[l]));
    out += cell;
  }
  out += "\n";
  for (size_t t = 0; t < routing.ids.size(); ++t) {
    std::snprintf(cell, sizeof cell, "%5zu  ", t);
    const std::string token = shown_token(tokenizer, routing.ids[t]);
    const auto width = static_cast<size_t>(std::ranges::count_if(token, [](char c) { return (c & 0xc0) != 0x80; }));
    out += cell + token + std::string(kBefore - 7 > width ? kBefore - 7 - width : 1, ' ');
    for (size_t l = 0; l < shown; ++l) {
      std::snprintf(cell, sizeof cell, "%5d %4.2f", routing.experts[l][t * K],
                    static_cast<double>(routing.weights[l][t * K]));
      out += cell;
    }
    out += "\n";
  }
  if (shown < routing.layers.size()) {
    out += "the first " + std::to_string(shown) + " of " + std::to_string(routing.layers.size()) +
           " mixture layers; --json and -o have all of them and every expert\n";
  }
  return out;
}

}  // namespace dsmoe::study
