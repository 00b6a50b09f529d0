import { type Bilingual, both, type Html, html, type Insertable } from '../html.ts';

export interface Section {
  readonly id: string;
  readonly title: Bilingual;
  readonly content: Insertable;
}

export function drawSection({ id, title, content }: Section): Html {
  return html`<section id="${id}" aria-labelledby="${id}-title"><h2 id="${id}-title">${both(title)}</h2>${content}</section>`;
}

export function paragraph(text: Bilingual, className?: string): Html {
  return html`<p${className ? html` class="${className}"` : ''}>${both(text)}</p>`;
}

/** A number for reading: a few digits, with powers of ten for very large or small values. */
export function readable(value: number): string {
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size >= 1e5 || size < 1e-3) {
    const [mantissa, exponent] = value.toExponential(1).split('e') as [string, string];
    const digits = '⁰¹²³⁴⁵⁶⁷⁸⁹';
    const power = [...exponent.replace('+', '')].map((c) => (c === '-' ? '⁻' : digits[Number(c)]!)).join('');
    return `${mantissa.replace('-', '−')} × 10${power}`;
  }
  return Number(value.toPrecision(3)).toLocaleString('en', { maximumFractionDigits: 6 }).replace('-', '−');
}

export function percent(share: number): string {
  const value = 100 * share;
  return `${value > 0 && value < 1 ? value.toFixed(1) : Math.round(value)} %`;
}

export function whole(value: number): string {
  return Math.round(value).toLocaleString('en');
}
