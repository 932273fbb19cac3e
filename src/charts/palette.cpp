#include "charts/palette.h"

#include <array>

#include "charts/text.h"

namespace dsmoe::charts {
namespace {

struct Colour {
  const char *light, *dark;
};

// Neighbours differ in hue and in lightness, so that they stay apart for readers who see few hues. Each has a contrast
// of 3 or more with the page.
constexpr std::array<Colour, 12> kColours = {{{"#1f5fa8", "#6aaaf0"},
                                              {"#d2490c", "#ff8a55"},
                                              {"#1d7f4e", "#57c98a"},
                                              {"#7a3fd0", "#b493ff"},
                                              {"#a66f00", "#e8bd45"},
                                              {"#0b8590", "#45d3dc"},
                                              {"#c2277a", "#ff7ac2"},
                                              {"#5b6470", "#b4bdc9"},
                                              {"#62841a", "#b5d34c"},
                                              {"#7d3a1c", "#cf9670"},
                                              {"#4a86f0", "#8189ff"},
                                              {"#e2607c", "#ffb0bd"}}};

}  // namespace

std::string palette_css() {
  std::string light, dark;
  for (size_t i = 0; i < kColours.size(); ++i) {
    const std::string name = "--series-" + std::to_string(i) + ": ";
    light += name + kColours[i].light + "; ";
    dark += name + kColours[i].dark + "; ";
  }
  return ":root { " + light + "}\n@media (prefers-color-scheme: dark) { :root { " + dark + "} }\n";
}

std::string series_colour(size_t index) { return "var(--series-" + std::to_string(index % kColours.size()) + ")"; }

std::string series_dashes(size_t index) {
  constexpr const char* kDashes[] = {"", " stroke-dasharray=\"7 3\"", " stroke-dasharray=\"2 3\""};
  return kDashes[index / kColours.size() % 3];
}

std::string series_mark(size_t index, const std::string& x, const std::string& y, const std::string& title) {
  const std::string words = title.empty() ? "" : "<title>" + escape_html(title) + "</title>";
  const std::string fill = "\" fill=\"" + series_colour(index) + "\">" + words;
  const size_t shape = index / kColours.size() % 3;
  if (shape == 0) {
    return "<circle class=\"mark\" cx=\"" + x + "\" cy=\"" + y + "\" r=\"3.5" + fill + "</circle>";
  }
  const char* path = shape == 1 ? "M-5,0L0,-5L5,0L0,5Z" : "M-3.5,-3.5H3.5V3.5H-3.5Z";
  return "<svg x=\"" + x + "\" y=\"" + y + "\" overflow=\"visible\"><path class=\"mark\" d=\"" + path + fill +
         "</path></svg>";
}

std::string legend_entry(size_t index, const std::string& name, const std::string& value) {
  return "<span class=\"key\"><svg width=\"26\" height=\"12\"><line x1=\"0\" x2=\"26\" y1=\"6\" y2=\"6\" "
         "stroke-width=\"2.5\" stroke=\"" +
         series_colour(index) + "\"" + series_dashes(index) + "/>" + series_mark(index, "13", "6") + "</svg>" +
         escape_html(name) + (value.empty() ? "" : " <b>" + escape_html(value) + "</b>") + "</span>\n";
}

}  // namespace dsmoe::charts
