/** The report's style sheet. Nothing is loaded: it uses system fonts. */
export const STYLE = `
:root { color-scheme: light; --ink: #111827; --soft: #4b5563; --line: #d1d5db; --paper: #ffffff; --wash: #f3f4f6; --accent: #0b4a6f; }
* { box-sizing: border-box; }
html { font: 16px/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Noto Sans KR", "Noto Sans CJK KR", "Apple SD Gothic Neo", "Malgun Gothic", sans-serif; color: var(--ink); background: var(--paper); }
body { margin: 0 auto; max-width: 68rem; padding: 1.5rem 1.25rem 4rem; }
:lang(ko) { word-break: keep-all; }
h1 { font-size: 1.9rem; line-height: 1.25; margin: 0.5rem 0; }
h2 { font-size: 1.35rem; line-height: 1.3; margin: 3rem 0 0.5rem; padding-top: 0.75rem; border-top: 2px solid var(--ink); }
h3 { font-size: 1.05rem; margin: 1.5rem 0 0.25rem; }
p { margin: 0.5rem 0; max-width: 52rem; }
.lead { font-size: 1.1rem; }
.soft, figcaption, .notes { color: var(--soft); }
figcaption, .notes { font-size: 0.92rem; max-width: 52rem; }
a { color: var(--accent); }
fieldset { border: 0; margin: 0; padding: 0; display: flex; gap: 0.25rem 1rem; flex-wrap: wrap; }
legend { float: left; padding: 0; margin-right: 1rem; color: var(--soft); }
fieldset label { display: inline-flex; gap: 0.35rem; align-items: center; cursor: pointer; }
input[type=radio] { width: 1.1rem; height: 1.1rem; accent-color: var(--accent); }
html:has(#language-en:checked) .ko, html:has(#language-ko:checked) .en { display: none; }
nav ol { columns: 20rem 2; padding-left: 1.4rem; margin: 0.75rem 0; }
figure { margin: 1.25rem 0; break-inside: avoid; }
svg.plot, .diagram svg { width: 100%; height: auto; display: block; }
.diagram { min-width: 46rem; }
.panels { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 25rem), 1fr)); gap: 1rem 1.25rem; }
.panels.three { grid-template-columns: repeat(auto-fit, minmax(min(100%, 17rem), 1fr)); }
.panels h4 { margin: 0 0 0.1rem; font-size: 0.98rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; margin: 1rem 0; width: 100%; font-size: 0.95rem; }
caption { text-align: left; font-weight: 600; padding: 0.25rem 0; }
th, td { padding: 0.4rem 0.75rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
thead th { border-bottom: 2px solid var(--ink); white-space: nowrap; }
tbody th { font-weight: 500; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
td.best { font-weight: 700; }
blockquote { margin: 0.35rem 0 1rem; padding: 0.6rem 1rem; background: var(--wash); border-left: 4px solid var(--line); white-space: pre-wrap; overflow-wrap: anywhere; font-family: Georgia, "Times New Roman", "Noto Serif", serif; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: 0.2rem 1.2rem; padding: 0; margin: 0.5rem 0; font-size: 0.92rem; }
.legend li { display: inline-flex; align-items: center; gap: 0.4rem; }
.legend svg { width: 28px; height: 10px; flex: none; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.2rem 1.25rem; font-size: 0.95rem; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
svg.plot text { font-family: inherit; fill: var(--ink); }
svg.plot .tick { font-size: 12px; fill: var(--soft); } svg.plot .label { font-size: 13px; } svg.plot .strong { font-weight: 600; fill: var(--ink); }
svg.plot .grid { stroke: #e5e7eb; stroke-width: 1; } svg.plot .axis { stroke: #6b7280; stroke-width: 1; }
@media (max-width: 40rem) { dl { grid-template-columns: 1fr; } dd { margin-bottom: 0.5rem; } }
@media print {
  html { font-size: 10.5pt; } body { max-width: none; padding: 0; } fieldset, nav { display: none; }
  h2, h3 { break-after: avoid; } tr, blockquote { break-inside: avoid; } .panels { grid-template-columns: 1fr 1fr; } .panels.three { grid-template-columns: 1fr 1fr 1fr; } .diagram { min-width: 0; } .scroll { overflow: visible; }
}
`;

/**
 * Tells browsers and screen readers which language is shown, and lets \`#ko\` in the address select one. The choice
 * also works without it: the style sheet alone shows and hides the languages.
 */
export const SCRIPT = `
(() => {
  const tell = (language) => { document.documentElement.lang = language; };
  for (const input of document.querySelectorAll('input[name=language]')) {
    if (location.hash === '#' + input.value) input.checked = true;
    if (input.checked) tell(input.value);
    input.addEventListener('change', () => tell(input.value));
  }
})();
`;
