// A routing study as one JSON object of bounded length.
#include <algorithm>
#include <cmath>
#include <functional>

#include "study/routing_study.h"
#include "study/token_text.h"

namespace dsmoe::study {
namespace {

using base::Json;

constexpr size_t kPairs = 16;
constexpr size_t kExamples = 3;

double rounded(double value, double steps = 1e4) { return std::round(value * steps) / steps; }

Json bits_json(const DomainBits& bits) {
  Json json = {{"bits", rounded(bits.bits)},
               {"chance", rounded(bits.chance)},
               {"most", rounded(bits.most)},
               {"share", rounded(bits.share())}};
  if (bits.deviation > 0) json["deviation"] = rounded(bits.deviation);
  return json;
}

Json layer_json(const RoutingStudy& study, size_t l) {
  Json json = {{"layer", study.counts.layers[l]},
               {"max_violation", rounded(study.counts.max_violation(l))},
               {"load_entropy", rounded(study.counts.load_entropy(l))},
               {"router_entropy", nullptr},
               {"domain_of_pick", nullptr},
               {"domain_of_token", nullptr},
               {"pairs_bits", nullptr},
               {"pairs_chance", nullptr},
               {"similarity", nullptr}};
  if (!study.router_entropy.empty()) json["router_entropy"] = rounded(study.router_entropy[l]);
  if (study.domains[l].token.most > 0) {
    json["domain_of_pick"] = bits_json(study.domains[l].pick);
    json["domain_of_token"] = bits_json(study.domains[l].token);
  }
  if (!study.pairs.empty()) {
    json["pairs_bits"] = rounded(study.pairs[l].bits);
    json["pairs_chance"] = rounded(study.pairs[l].chance);
  }
  if (!study.similarity.empty()) json["similarity"] = rounded(study.similarity[l].mean());
  return json;
}

// A token where it stands: some text before it and behind it, within the window that the model read.
Json example_json(const RoutingTrace& trace, const tokenizer::Tokenizer& tokenizer, int64_t token) {
  constexpr int64_t kBefore = 10, kBehind = 5;
  const auto window = std::ranges::upper_bound(trace.windows, token, {}, &RoutingTrace::Window::begin) - 1;
  const auto text = [&](int64_t begin, int64_t end) {
    begin = std::clamp(begin, window->begin, window->end), end = std::clamp(end, window->begin, window->end);
    return tokenizer.decode(
        std::span(trace.tokens).subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin)));
  };
  return {{"before", text(token - kBefore, token)},
          {"token", token_text(tokenizer, trace.tokens[static_cast<size_t>(token)])},
          {"behind", text(token + 1, token + 1 + kBehind)},
          {"domain", window->domain}};
}

Json expert_json(const RoutingStudy& study, const ExpertTokens& expert, const tokenizer::Tokenizer* tokenizer) {
  Json tokens = Json::array(), examples = Json::array();
  for (const ExpertToken& token : expert.tokens) {
    Json one = {{"id", token.id}};
    if (tokenizer != nullptr) one["text"] = token_text(*tokenizer, token.id);
    one["count"] = token.count;
    one["share"] = rounded(token.share, 1e3);
    one["lift"] = rounded(token.lift, 1e2);
    tokens.push_back(std::move(one));
    if (tokenizer != nullptr && examples.size() < kExamples) {
      examples.push_back(example_json(study.trace, *tokenizer, token.example));
    }
  }
  return {{"picks", expert.picks}, {"tokens", std::move(tokens)}, {"examples", std::move(examples)}};
}

Json experts_json(const RoutingStudy& study, const tokenizer::Tokenizer* tokenizer) {
  Json layers = Json::array();
  for (size_t l = 0; l < study.tokens.size(); ++l) {
    Json experts = Json::array();
    for (const ExpertTokens& expert : study.tokens[l]) experts.push_back(expert_json(study, expert, tokenizer));
    layers.push_back({{"layer", study.counts.layers[l]}, {"experts", std::move(experts)}});
  }
  return layers;
}

// Rows above the diagonal: row a holds what `of(a, b)` is for b = a + 1, a + 2, ...
Json by_pair(int64_t experts, const std::function<Json(int64_t a, int64_t b)>& of) {
  Json rows = Json::array();
  for (int64_t a = 0; a + 1 < experts; ++a) {
    Json row = Json::array();
    for (int64_t b = a + 1; b < experts; ++b) row.push_back(of(a, b));
    rows.push_back(std::move(row));
  }
  return rows;
}

Json lifts_json(const ExpertPairs& pairs) {
  return by_pair(pairs.experts, [&](int64_t a, int64_t b) -> Json { return rounded(pairs.lift(a, b), 1e2); });
}

// Null for pairs that hardly any token picked.
Json cosines_json(const ExpertSimilarity& similarity) {
  return by_pair(similarity.experts, [&](int64_t a, int64_t b) -> Json {
    const size_t at = similarity.at(a, b);
    if (similarity.counts[at] < kFewestShared) return nullptr;
    return rounded(similarity.cosines[at] / static_cast<double>(similarity.counts[at]), 1e2);
  });
}

Json pairs_json(const RoutingStudy& study) {
  Json layers = Json::array();
  for (size_t l = 0; l < study.pairs.size(); ++l) {
    Json json = {{"layer", study.counts.layers[l]}, {"together", Json::array()}, {"alike", Json::array()}};
    for (const ExpertPair& pair : study.pairs[l].strongest(kPairs)) {
      json["together"].push_back(
          {{"a", pair.a}, {"b", pair.b}, {"count", pair.count}, {"lift", rounded(pair.lift, 1e2)}});
    }
    if (!study.similarity.empty()) {
      for (const auto& pair : study.similarity[l].most_alike(kPairs)) {
        json["alike"].push_back(
            {{"a", pair.a}, {"b", pair.b}, {"count", pair.count}, {"cosine", rounded(pair.cosine, 1e3)}});
      }
    }
    json["lifts"] = lifts_json(study.pairs[l]);
    if (!study.similarity.empty()) json["cosines"] = cosines_json(study.similarity[l]);
    layers.push_back(std::move(json));
  }
  return layers;
}

// A way to make a record shorter, and how the record says so. Nothing happens where the list is short enough.
struct Cut {
  std::string text;
  std::function<void(Json& record)> act;
};

// The first `most` of a list of every expert, or of every layer's pairs.
void shorten_experts(Json& record, const char* list, size_t most) {
  for (Json& layer : record["experts"]) {
    for (Json& expert : layer["experts"]) {
      Json::array_t& items = expert[list].get_ref<Json::array_t&>();
      items.resize(std::min(items.size(), most));
    }
  }
}

void shorten_pairs(Json& record, size_t most) {
  for (Json& layer : record["pairs"]) {
    for (const char* list : {"together", "alike"}) {
      Json::array_t& items = layer[list].get_ref<Json::array_t&>();
      items.resize(std::min(items.size(), most));
    }
  }
}

// Every second layer of the counts; what is said of layers elsewhere stays.
void thin_counts(Json& record) {
  for (const char* key : {"layers", "counts"}) {
    Json kept = Json::array();
    for (size_t l = 0; l < record[key].size(); l += 2) kept.push_back(std::move(record[key][l]));
    record[key] = std::move(kept);
  }
}

std::vector<Cut> cuts(const RoutingStudy& study) {
  const auto experts = [](const char* list, size_t most) {
    return Cut{std::string("experts: ") + list + " end after " + std::to_string(most),
               [list, most](Json& record) { shorten_experts(record, list, most); }};
  };
  std::vector<Cut> all = {{"pairs: lifts and cosines of all pairs are left out",
                           [](Json& record) {
                             for (Json& layer : record["pairs"]) layer.erase("lifts"), layer.erase("cosines");
                           }},
                          experts("examples", 1),
                          experts("tokens", 4),
                          experts("examples", 0),
                          experts("tokens", 2),
                          {"pairs: together and alike end after 4", [](Json& record) { shorten_pairs(record, 4); }},
                          experts("tokens", 1),
                          experts("tokens", 0),
                          {"experts: left out", [](Json& record) { record.erase("experts"); }}};
  for (size_t layers = study.counts.layers.size(); layers > 1; layers = (layers + 1) / 2) {
    all.push_back({"counts: layers other than those of `layers` are left out", thin_counts});
  }
  return all;
}

}  // namespace

Json to_json(const RoutingStudy& study, const tokenizer::Tokenizer* tokenizer, size_t longest) {
  Json record = to_json(study.counts);
  record["by_layer"] = Json::array();
  for (size_t l = 0; l < study.counts.layers.size(); ++l) record["by_layer"].push_back(layer_json(study, l));
  record["experts"] = experts_json(study, tokenizer);
  record["pairs"] = pairs_json(study);
  record["cut"] = Json::array();
  for (const Cut& cut : cuts(study)) {
    if (base::dump_json(record).size() <= longest) break;
    cut.act(record);
    if (record["cut"].empty() || record["cut"].back() != cut.text) record["cut"].push_back(cut.text);
  }
  return record;
}

}  // namespace dsmoe::study
