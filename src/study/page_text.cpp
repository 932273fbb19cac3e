// A text coloured by the experts that read it, layer by layer.
#include <algorithm>
#include <cstdio>
#include <numeric>

#include "charts/palette.h"
#include "charts/picked.h"
#include "charts/text.h"
#include "study/page_sections.h"

namespace dsmoe::study {
namespace {

using charts::escape_html;

constexpr size_t kColours = 11;       // experts of a layer with a colour of their own; the rest have none
constexpr size_t kMostSpans = 16000;  // tokens times layers on a page

struct LayerText {
  const TextRecord& text;
  size_t layer, tokens;

  size_t slots() const { return static_cast<size_t>(text.routing.num_experts_per_tok); }
  int32_t expert(size_t t, size_t k) const { return text.routing.experts[layer][t * slots() + k]; }
  float weight(size_t t, size_t k) const { return text.routing.weights[layer][t * slots() + k]; }
};

// How many tokens have each expert first, the most frequent first.
std::vector<std::pair<int32_t, size_t>> first_experts(const LayerText& layer) {
  std::vector<size_t> counts(static_cast<size_t>(layer.text.routing.n_routed_experts));
  for (size_t t = 0; t < layer.tokens; ++t) ++counts[static_cast<size_t>(layer.expert(t, 0))];
  std::vector<std::pair<int32_t, size_t>> all;
  for (size_t e = 0; e < counts.size(); ++e) {
    if (counts[e] > 0) all.emplace_back(static_cast<int32_t>(e), counts[e]);
  }
  std::ranges::stable_sort(all, std::greater<>(), &std::pair<int32_t, size_t>::second);
  return all;
}

std::string hover(const LayerText& layer, size_t t) {
  std::string out;
  for (size_t k = 0; k < layer.slots(); ++k) {
    char one[48];
    std::snprintf(one, sizeof one, "%s%d: %.2f", k == 0 ? "" : ", ", layer.expert(t, k),
                  static_cast<double>(layer.weight(t, k)));
    out += one;
  }
  return out;
}

std::string draw_layer(const LayerText& layer) {
  const auto experts = first_experts(layer);
  std::string legend;
  std::vector<std::string> colour(static_cast<size_t>(layer.text.routing.n_routed_experts));
  size_t others = 0, other_tokens = 0;
  for (size_t i = 0; i < experts.size(); ++i) {
    const auto& [expert, count] = experts[i];
    if (i >= kColours) {
      ++others, other_tokens += count;
      continue;
    }
    colour[static_cast<size_t>(expert)] = charts::series_colour(i);
    legend += "<span class=\"key\"><span class=\"swatch\" style=\"background:" + charts::series_colour(i) +
              "\"></span>expert " + std::to_string(expert) + " <span class=\"soft\">" + std::to_string(count) +
              "</span></span>";
  }
  if (others > 0) {
    legend += "<span class=\"key\">" + std::to_string(others) + (others == 1 ? " other" : " others") +
              " <span class=\"soft\">" + std::to_string(other_tokens) + "</span></span>";
  }
  std::string words;
  for (size_t t = 0; t < layer.tokens; ++t) {
    const std::string& own = colour[static_cast<size_t>(layer.expert(t, 0))];
    words += "<span" + (own.empty() ? std::string() : " style=\"--c:" + own + "\"") + " title=\"" + hover(layer, t) +
             "\">" + escape_html(layer.text.texts[t]) + "</span>";
  }
  return "<p class=\"legend\">" + legend + "</p><p class=\"tokens\">" + words + "</p>";
}

charts::Figure text_figure(const RunReport& run) {
  const TextRecord& text = *run.text;
  const size_t layers = text.routing.layers.size();
  const size_t tokens = std::min(text.routing.ids.size(), std::max<size_t>(kMostSpans / layers, 1));
  charts::Figure figure;
  figure.title = "A text by its experts, " + run.name;
  figure.numbers.columns = {"token", "text", "layer", "place", "expert", "weight"};
  std::vector<charts::Choice> choices;
  for (size_t l = 0; l < layers; ++l) {
    const LayerText layer{text, l, tokens};
    choices.push_back({"layer " + std::to_string(text.routing.layers[l]), draw_layer(layer)});
    for (size_t t = 0; t < tokens; ++t) {
      for (size_t k = 0; k < layer.slots(); ++k) {
        figure.numbers.rows.push_back({t, text.texts[t], text.routing.layers[l], k, layer.expert(t, k),
                                       charts::cell(static_cast<double>(layer.weight(t, k)))});
      }
    }
  }
  figure.drawing = draw_picked(choices, figure.title);
  figure.note =
      "Each token has the colour of the expert whose output counts most for it. A pointer held over a token names "
      "its experts and what the output of each is multiplied by.";
  if (tokens < text.routing.ids.size()) figure.note += " Shown are the first " + std::to_string(tokens) + " tokens.";
  if (!text.cut.empty()) figure.note += " The study kept " + text.cut + ".";
  return figure;
}

}  // namespace

void add_text(const Runs& runs, charts::Page& page) {
  bool first = true;
  for (const RunReport& run : runs) {
    if (!run.text || run.text->routing.layers.empty() || run.text->routing.ids.empty()) continue;
    if (first) page.section("Which experts read a text");
    first = false;
    page.add(text_figure(run));
  }
}

}  // namespace dsmoe::study
