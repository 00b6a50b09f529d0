import { INERT_CLASS } from '../unicode/classes.ts';
import { inPlace, type Normalizer } from './normalizer.ts';

export type UnicodeForm = 'NFC' | 'NFD' | 'NFKC' | 'NFKD';

const INERT_RUNS = new RegExp(`([${INERT_CLASS}]+)`, 'u');
const ASCII = /^[\0-\x7f]*$/;

/** A text in one of Unicode's normalization forms; characters newer than the Rust library's tables stay unchanged. */
export function normalizeTo(form: UnicodeForm, text: string): string {
  if (ASCII.test(text)) return text;
  const parts = text.split(INERT_RUNS);
  if (parts.length === 1) return text.normalize(form);
  // Captured separators are at the odd indices. To the library they are starters that combine with nothing.
  return parts.map((part, index) => (index % 2 === 1 ? part : part.normalize(form))).join('');
}

/** `NFC`, `NFD`, `NFKC` and `NFKD`. */
export function unicodeForm(form: UnicodeForm): Normalizer {
  return inPlace((text) => normalizeTo(form, text));
}
