// What the models write: each prompt once, the runs' answers to it side by side.
#include <algorithm>

#include "charts/text.h"
#include "study/page_sections.h"

namespace dsmoe::study {
namespace {

using charts::escape_html, charts::short_number;

std::string box(const std::string& name, const std::string& text) {
  return "<div><p class=\"soft\">" + escape_html(name) + "</p><pre>" + escape_html(text) + "</pre></div>\n";
}

// Every sample's name once, in the order of the first run that has it.
std::vector<std::string> sample_names(const Runs& runs) {
  std::vector<std::string> names;
  for (const RunReport& run : runs) {
    for (const auto& sample : run.samples) {
      if (std::find(names.begin(), names.end(), sample.name) == names.end()) names.push_back(sample.name);
    }
  }
  const auto prose_last = [](const std::string& name) { return !name.starts_with("prose"); };
  std::stable_sort(names.begin(), names.end(),
                   [&](const auto& a, const auto& b) { return prose_last(a) < prose_last(b); });
  return names;
}

// Answers to different prompts of one name keep their prompts apart.
std::string answers(const Runs& runs, const std::string& name) {
  std::string out, boxes, prompt;
  const auto flush = [&] {
    if (boxes.empty()) return;
    if (!prompt.empty()) out += "<p class=\"prompt\">" + escape_html(prompt) + "</p>\n";
    out += "<div class=\"pair\">" + boxes + "</div>\n";
    boxes.clear();
  };
  for (const RunReport& run : runs) {
    for (const auto& sample : run.samples) {
      if (sample.name != name) continue;
      if (sample.prompt != prompt) flush();
      prompt = sample.prompt;
      boxes += box(run.name, sample.text);
    }
  }
  flush();
  return out;
}

// Without a prompt, while training: the newest, the earlier ones behind a line to click on.
std::string written_on_the_way(const Runs& runs) {
  std::string newest, earlier;
  for (const RunReport& run : runs) {
    for (const auto& note : run.written) {
      const std::string name = run.name + ", after step " + short_number(note.step);
      (&note == &run.written.back() ? newest : earlier) += box(name, note.text);
    }
  }
  if (newest.empty()) return {};
  std::string out = "<h3>Without a prompt, while training</h3>\n<div class=\"pair\">" + newest + "</div>\n";
  if (earlier.empty()) return out;
  return out + "<details><summary>earlier</summary><div class=\"pair\">" + earlier + "</div></details>\n";
}

}  // namespace

void add_samples(const Runs& runs, charts::Page& page) {
  std::string out;
  for (const std::string& name : sample_names(runs))
    out += "<h3>" + escape_html(name) + "</h3>\n" + answers(runs, name);
  out += written_on_the_way(runs);
  if (out.empty()) return;
  page.section("What they write");
  page.add(out);
}

}  // namespace dsmoe::study
