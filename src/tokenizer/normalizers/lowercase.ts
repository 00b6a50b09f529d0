import { inPlace, type Normalizer } from './normalizer.ts';

/**
 * Lowercases each character independently: JavaScript writes a sigma at the end of a word as ς, Rust's `char` does
 * not.
 */
export function lowercase(text: string): string {
  if (!text.includes('Σ')) return text.toLowerCase();
  return text
    .split('Σ')
    .map((part) => part.toLowerCase())
    .join('σ');
}

/** `Lowercase`. */
export const lowercaseNormalizer: Normalizer = inPlace(lowercase);
