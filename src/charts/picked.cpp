#include "charts/picked.h"

#include "charts/text.h"

namespace dsmoe::charts {

// Buttons of which one is pressed at a time; style.h shows what stands behind that one.
std::string draw_picked(const std::vector<Choice>& choices, const std::string& group, size_t first) {
  if (choices.size() == 1) return choices.front().drawing;
  const std::string plain = escape_html(slug(group));
  std::string out = "<div class=\"pick\">\n";
  for (size_t i = 0; i < choices.size(); ++i) {
    const std::string id = plain + "-pick-" + std::to_string(i);
    out += "<input type=\"radio\" name=\"" + plain + "-pick\" id=\"" + id + "\"" + (i == first ? " checked" : "") +
           "><label for=\"" + id + "\">" + escape_html(choices[i].name) + "</label><div class=\"picked\">" +
           choices[i].drawing + "</div>\n";
  }
  return out + "</div>\n";
}

}  // namespace dsmoe::charts
