import type { LineStyle } from './plot.ts';

/**
 * Colors that remain distinguishable with color blindness and are dark enough on white; dashes distinguish them
 * without color.
 */
const STYLES: readonly LineStyle[] = [
  { color: '#b45309' },
  { color: '#0369a1', dash: '7 3' },
  { color: '#9d2d87', dash: '2 3' },
  { color: '#047857', dash: '9 3 2 3' },
  { color: '#475569', dash: '4 2' },
  { color: '#b91c1c', dash: '12 3' },
];

/** The style of the i-th family in all figures. */
export function familyStyle(i: number): LineStyle & { readonly color: string } {
  return STYLES[i % STYLES.length]!;
}
