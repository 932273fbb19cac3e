// How a page looks: one column on a telephone, figures side by side on a wide screen, light or dark as the reader's
// system is. Colours of series are the palette's.
#pragma once

namespace dsmoe::charts {

inline constexpr const char* kStyle =
    R"(:root { color-scheme: light dark; --ink: #1b1f24; --paper: #ffffff; --soft: #5c6674;
  --line: #dfe3e8; --above: #c2410c; --below: #2563a8; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ed; --paper: #14171b; --soft: #9aa4b1; --line: #2f363f;
  --above: #ff8a4c; --below: #64a8f0; } }
* { box-sizing: border-box; }
body { font: 16px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 0 auto;
  max-width: 1320px; padding: 1.6rem clamp(.9rem, 3vw, 2.4rem) 4rem; overflow-wrap: break-word; }
h1 { font-size: clamp(1.4rem, 4vw, 1.9rem); line-height: 1.2; margin: 0 0 .4rem; }
h2 { font-size: 1.25rem; margin: 2.6rem 0 .4rem; padding-top: .5rem; border-top: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.6rem 0 .2rem; }
p, li { max-width: 46rem; margin: .5rem 0; }
.result { font-size: clamp(1.05rem, 2.4vw, 1.25rem); line-height: 1.45; margin: .4rem 0 1rem; }
.soft, .note, .numbers { color: var(--soft); } .note { font-size: .875rem; } .numbers { font-size: .8rem; }
a { color: var(--series-0); }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 520px), 1fr)); gap: .6rem 2.4rem; align-items: start; }
figure { margin: .8rem 0; min-width: 0; } figcaption { font-weight: 600; }
figure svg { display: block; overflow: visible; font: 12px system-ui, sans-serif; }
svg text { fill: var(--ink); } svg text.axis, p.axis { fill: var(--soft); color: var(--soft); font-size: 12px; }
.legend { display: flex; flex-wrap: wrap; gap: .1rem 1rem; max-width: none; margin: .2rem 0; font-size: .82rem; }
.key { display: inline-flex; align-items: center; gap: .4rem; min-width: 0; overflow-wrap: anywhere; } .key svg { flex: none; }
p.axis { margin: .2rem 0 0; }
.plot { padding: 10px 14px 38px 46px; } svg.lines { width: 100%; height: clamp(220px, 32vw, 300px); }
.plot svg svg { overflow: visible; }
.line { fill: none; stroke-width: 2; vector-effect: non-scaling-stroke; stroke-linejoin: round; }
.pale { stroke-width: 1.3; stroke-opacity: .5; }
.grid { stroke: var(--line); } .group { stroke: var(--soft); stroke-width: 2; } .mean { stroke: var(--ink); stroke-width: 2; }
.mark { stroke: var(--paper); stroke-width: 1; } .clipped { font-size: 11px; }
.hover { fill-opacity: 0; } .hover:hover { fill-opacity: .6; }
.rows { display: grid; grid-template-columns: fit-content(32%) minmax(0, 1fr); gap: 2px .7rem; padding-right: 14px; margin: .5rem 0; align-items: center; }
.rows span { text-align: right; font-size: .8rem; line-height: 1.15; overflow-wrap: anywhere; } .rows svg { width: 100%; }
.cell { stroke: var(--line); stroke-width: .5; } .hatched { stroke: var(--line); }
.wide { overflow-x: auto; } table { border-collapse: collapse; margin: .6rem 0; font-size: .92rem; }
th, td { padding: .22rem .75rem .22rem 0; text-align: right; border-bottom: 1px solid var(--line); font-variant-numeric: tabular-nums; vertical-align: top; }
th { font-weight: 600; color: var(--soft); } th:first-child, td:first-child { text-align: left; }
table.words td, table.words th { text-align: left; } tr.strong td, td.best { font-weight: 700; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: color-mix(in srgb, var(--ink) 6%, transparent); padding: .7rem .9rem; border-radius: 6px; font: 13px/1.5 ui-monospace, monospace; margin: .2rem 0; }
.prompt { border-left: 3px solid var(--series-0); padding: .1rem 0 .1rem .8rem; font-style: italic; white-space: pre-wrap; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 340px), 1fr)); gap: .4rem 1.4rem; }
.pair > div { min-width: 0; } details { margin: .4rem 0; } summary { cursor: pointer; }
.pick { display: flex; flex-wrap: wrap; align-items: baseline; gap: .2rem .4rem; margin: .5rem 0; }
.pick > input { position: absolute; opacity: 0; } .pick > label { cursor: pointer; font-size: .82rem; padding: .05rem .5rem; border: 1px solid var(--line); border-radius: 999px; }
.pick > input:checked + label { border-color: var(--ink); font-weight: 600; } .pick > input:focus-visible + label { outline: 2px solid var(--series-0); }
.picked { display: none; order: 1; flex-basis: 100%; min-width: 0; } .pick > input:checked + label + .picked { display: block; }
.tokens { white-space: pre-wrap; line-height: 1.9; max-width: 60rem; margin: .4rem 0; }
.tokens span { background: color-mix(in srgb, var(--c, transparent) 30%, transparent); border-bottom: 2px solid var(--c, transparent); padding: .1rem 0; }
.swatch { display: inline-block; width: .8em; height: .8em; border-radius: 2px; } mark { background: color-mix(in srgb, var(--series-4) 40%, transparent); color: inherit; }
.words td { font-size: .85rem; } .words .context { min-width: 16rem; } .words .taken { min-width: 11rem; }
@media print { * { print-color-adjust: exact; } }
)";

}  // namespace dsmoe::charts
