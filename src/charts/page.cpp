#include "charts/page.h"

#include "charts/svg.h"

namespace dsmoe::charts {
namespace {

constexpr const char* kStyle = R"(
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #ffffff; --soft: #667080; --line: #dfe3e8;
  --above: #c2410c; --below: #2563a8;
  --series-0: #2563a8; --series-1: #c2410c; --series-2: #2f855a; --series-3: #7c3aed; --series-4: #b7791f; --series-5: #4a5568; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ed; --paper: #14171b; --soft: #97a1ae; --line: #2c323a;
  --above: #f08a4b; --below: #6aa9e9; --series-0: #6aa9e9; --series-1: #f08a4b; --series-2: #68c796; --series-3: #b794f4;
  --series-4: #e0b050; --series-5: #a0aec0; } }
body { font: 16px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 0 auto; max-width: 960px; padding: 2rem 1.2rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .3rem; } h2 { font-size: 1.2rem; margin: 2.4rem 0 .4rem; } h3 { font-size: 1rem; margin: 1.2rem 0 .2rem; }
p, li { max-width: 46rem; } .soft { color: var(--soft); }
svg { display: block; width: 100%; height: auto; margin: .6rem 0; font: 12px system-ui, sans-serif; }
svg text { fill: var(--ink); } svg .small { font-size: 10px; fill: var(--soft); } svg .grid { stroke: var(--line); } svg .cell { stroke: var(--line); stroke-width: .4; }
table { border-collapse: collapse; margin: .6rem 0; } th, td { padding: .18rem .8rem .18rem 0; text-align: right; border-bottom: 1px solid var(--line); font-variant-numeric: tabular-nums; }
div.wide { overflow-x: auto; }
th:first-child, td:first-child { text-align: left; } td.best { font-weight: 700; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: color-mix(in srgb, var(--ink) 5%, transparent); padding: .7rem .9rem; border-radius: 6px; font: 13px/1.45 ui-monospace, monospace; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(300px, 1fr)); gap: 0 1.4rem; } .pair p { margin: .2rem 0; } .pair pre { margin-top: 0; } details { margin: .4rem 0; } summary { cursor: pointer; }
)";

}  // namespace

std::string html_page(const std::string& title, const std::string& body, const base::Json& data) {
  // "</" inside a script block would end it
  std::string json = base::dump_json(data);
  for (size_t at = 0; (at = json.find("</", at)) != std::string::npos; at += 3) json.replace(at, 2, "<\\/");
  return "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
         "content=\"width=device-width\">\n<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
         "style-src 'unsafe-inline'\">\n<title>" +
         escape_html(title) + "</title>\n<style>" + kStyle + "</style></head>\n<body>\n" + body +
         "\n<script type=\"application/json\" id=\"data\">" + json + "</script>\n</body></html>\n";
}

}  // namespace dsmoe::charts
