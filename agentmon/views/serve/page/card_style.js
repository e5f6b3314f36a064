// The card's own style. It is a constructed sheet, which the strictest policy allows and which all cards share.

const STYLE = `
:host {
  --back: #ffffff; --card: #ffffff; --ink: #1b1f24; --muted: #57606a; --line: #d8dee4; --focus: #0b6bcb;
  --cpu: #0b6bcb; --memory: #7a3fe0; --good: #1a7f37; --warn: #8a5300; --bad: #c11f2c; --idle: #57606a;
  display: block; min-width: 0; color: var(--ink); text-align: start;
  font: 15px/1.4 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
}
:host([hidden]) { display: none; }
@media (prefers-color-scheme: dark) {
  :host {
    --back: #14171a; --card: #1d2126; --ink: #e6e9ec; --muted: #9aa4ae; --line: #343a41; --focus: #5aa9f8;
    --cpu: #5aa9f8; --memory: #b692f6; --good: #56c271; --warn: #e3b341; --bad: #ff7b72; --idle: #9aa4ae;
  }
}
* { box-sizing: border-box; }
article {
  position: relative; display: flex; flex-direction: column; gap: .5rem; height: 100%; padding: .75rem .9rem .7rem 1.1rem;
  background: var(--card); border: 1px solid var(--line); border-radius: .6rem; overflow: hidden; contain: content;
}
article::before { content: ""; position: absolute; inset: 0 auto 0 0; width: .3rem; background: var(--state); }
.running { --state: var(--good); } .stopped { --state: var(--line); --word: var(--idle); }
.error, .lost { --state: var(--bad); } .stalled { --state: var(--warn); }
article:has(a:focus-visible) { outline: 2px solid var(--focus); outline-offset: 1px; }
article:hover { border-color: var(--muted); }
header { display: grid; grid-template-columns: minmax(0, 1fr) auto; gap: .1rem .6rem; align-items: baseline; }
h2 { margin: 0; font-size: 1.06rem; line-height: 1.3; font-weight: 650; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
a { color: inherit; text-decoration: none; outline: none; }
a::after { content: ""; position: absolute; inset: 0; }
a:hover { text-decoration: underline; }
.badge { color: var(--word, var(--state)); font-size: .82rem; font-weight: 650; white-space: nowrap; }
.badge::before { content: attr(data-sign) " "; }
.about { color: var(--muted); font-size: .82rem; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.about b { color: var(--ink); font-weight: 600; }
.lasted { color: var(--muted); font-size: .82rem; text-align: end; font-variant-numeric: tabular-nums; }
dl { margin: 0; }
dt { color: var(--muted); font-size: .75rem; }
dd { margin: 0; font-variant-numeric: tabular-nums; white-space: nowrap; }
.use { display: grid; grid-template-columns: 1fr 1fr; gap: .9rem; }
.use div { display: grid; grid-template-columns: auto 1fr; align-items: baseline; min-width: 0; }
.use dd { text-align: end; font-weight: 600; }
.use svg { grid-column: 1 / -1; }
.figures { display: grid; grid-template-columns: repeat(4, minmax(0, 1fr)) repeat(2, minmax(0, 1.35fr)); gap: .2rem .4rem; }
.figures .rate { text-align: end; }
.figures dd { font-size: .95rem; }
.figures .cost dd { font-weight: 650; }
.spark { display: block; width: 100%; height: 1.9rem; margin-top: .1rem; border-bottom: 1px solid var(--line); }
.cpu { --own: var(--cpu); } .memory { --own: var(--memory); }
.curve { fill: none; stroke: var(--own); stroke-width: 1.5; stroke-linejoin: round; vector-effect: non-scaling-stroke; }
.area { fill: var(--own); opacity: .18; }
.recent { list-style: none; margin: 0; padding: .45rem 0 0; border-top: 1px solid var(--line); font-size: .8rem; line-height: 1.5; min-height: 5.4rem; }
.recent li { white-space: nowrap; overflow: hidden; text-overflow: ellipsis; unicode-bidi: isolate; max-height: 1.6em; }
.recent .log { font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; font-size: .95em; color: var(--muted); }
.recent .git { color: var(--ink); }
.recent i { font-style: normal; color: var(--muted); }
.recent .git::before { content: "● "; color: var(--muted); }
.recent .warning { color: var(--warn); } .recent .error { color: var(--bad); }
.recent .alert { color: var(--bad); font-weight: 650; }
.recent .alert::before { content: "! "; }
.note { color: var(--muted); margin: 0; padding: .5rem 0; }
:host([data-away]) article { opacity: .6; }
@media (max-width: 24rem) { .figures { grid-template-columns: repeat(3, 1fr); } .figures .rate { text-align: start; } }
@media print {
  :host {
    --card: #ffffff; --ink: #000000; --muted: #444444; --line: #bbbbbb; --cpu: #0b6bcb; --memory: #7a3fe0; --good: #1a7f37;
    --warn: #8a5300; --bad: #c11f2c; --idle: #444444;
  }
  article { break-inside: avoid; } * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
`;

const sheet = new CSSStyleSheet();
sheet.replaceSync(STYLE);

export default sheet;
