/** A token's text with what cannot be seen made visible: · for a space, ↵ for the end of a line. */
export function visibleText(text: string): string {
  return text.replaceAll(' ', '·').replaceAll('\n', '↵').replaceAll('\t', '⇥').replaceAll('\r', '␍');
}

export function percentText(share: number): string {
  const percent = 100 * share;
  if (percent >= 10) return `${percent.toFixed(0)} %`;
  return percent >= 0.05 ? `${percent.toFixed(1)} %` : '< 0.1 %';
}
