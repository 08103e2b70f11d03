/** The page's style sheet. Small screens first; two columns where there is room. All pairs of colours have contrast 4.5 or more. */
import type { Html } from "./html.ts";

export const STYLE: Html = {
  markup: `
:root{color-scheme:light dark;--back:#f4f5f7;--card:#fff;--text:#1c2128;--soft:#57606a;--line:#d8dee4;--cell:#e6e9ed;--kept:#0b6a75;--on-kept:#fff;--good:#116329;--good-back:#dafbe1;--bad:#a40e26;--bad-back:#ffebe9;--link:#0550ae}
@media(prefers-color-scheme:dark){:root{--back:#0d1117;--card:#161b22;--text:#e6edf3;--soft:#9da7b3;--line:#30363d;--cell:#2a313a;--kept:#4fd1c5;--on-kept:#06262a;--good:#7ee787;--good-back:#12361f;--bad:#ffa198;--bad-back:#4a1519;--link:#79c0ff}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:70rem;padding:1rem;background:var(--back);color:var(--text);font:16px/1.45 system-ui,sans-serif;overflow-wrap:anywhere}
header{margin:0 .25rem 1rem}
h1{margin:0;font-size:1.5rem;line-height:1.2}
h2{margin:0 0 .6rem;font-size:1.05rem}
h3{margin:1rem 0 .35rem;font-size:.9rem;color:var(--soft)}
p{margin:.35rem 0}
.host{margin:0;color:var(--soft)}
.headline{margin:.6rem 0 0;font-size:1.1rem}
main{display:grid;gap:1rem;grid-template-columns:minmax(0,1fr)}
section{background:var(--card);border:1px solid var(--line);border-radius:.6rem;padding:1rem}
dl{margin:0;display:grid;gap:.15rem .9rem}
dt{color:var(--soft);font-size:.875rem}
dd{margin:0 0 .45rem;min-width:0}
table{width:100%;border-collapse:collapse;font-size:.9rem}
th,td{text-align:left;vertical-align:top;padding:.4rem .5rem .4rem 0;border-top:1px solid var(--line);font-weight:400}
th:last-child,td:last-child{padding-right:0}
thead th{border-top:0;color:var(--soft);font-size:.8rem;vertical-align:bottom;overflow-wrap:normal}
.number{padding-left:.5rem;text-align:right;font-variant-numeric:tabular-nums}
td.number{white-space:nowrap}
.below td{border-top:0;padding-top:0}
.note,.more{color:var(--soft);font-size:.85rem}
.note{display:block}
code{font:.875em/1.4 ui-monospace,"DejaVu Sans Mono",monospace}
time{font-variant-numeric:tabular-nums;color:var(--soft)}
time b{font-weight:400;color:var(--text);white-space:nowrap}
td .badge{white-space:nowrap}
.badge{display:inline-block;padding:.05rem .5rem;border-radius:.4rem;font-weight:600}
.good{color:var(--good);background:var(--good-back)}
.bad{color:var(--bad);background:var(--bad-back)}
.lost,.fine{display:block}
.lost{color:var(--bad);font-weight:600}
.nowrap{white-space:nowrap}
meter{display:block;width:100%;height:1rem}
ul{margin:0;padding:0;list-style:none}
.problems li{margin:.3rem 0;padding-left:.6rem;border-left:3px solid var(--bad);font-size:.9rem}
.culprits{display:flex;flex-wrap:wrap;gap:.25rem 1.2rem;margin-bottom:.6rem}
.space{display:grid;gap:1.25rem;grid-template-columns:minmax(0,1fr)}
figure{margin:0}
figure>svg{display:block;width:100%;max-width:34rem}
.cell{fill:var(--cell)}
.kept{fill:var(--kept)}
text{font:9px system-ui,sans-serif;text-anchor:middle;fill:var(--soft)}
text.all{fill:var(--on-kept);font-weight:700}
text.some{fill:var(--text);font-weight:700;paint-order:stroke;stroke:var(--cell);stroke-width:2px}
figcaption{margin-top:.6rem;font-size:.875rem}
.key{display:inline-block;margin-right:.8rem;white-space:nowrap}
.key svg{width:1em;height:1em;vertical-align:-.12em}
.ranges li{padding:.2rem 0}
.name{color:var(--soft);font-size:.875rem}
footer{margin:1rem .25rem;color:var(--soft);font-size:.875rem}
a{color:var(--link)}
@media(min-width:30rem){text{font-size:7.5px}}
@media(min-width:56rem){main{grid-template-columns:repeat(2,minmax(0,1fr))}.wide{grid-column:1/-1}.space{grid-template-columns:minmax(0,32rem) minmax(0,1fr)}dl{grid-template-columns:max-content minmax(0,1fr)}dt{padding-top:.1rem}}
`,
};
