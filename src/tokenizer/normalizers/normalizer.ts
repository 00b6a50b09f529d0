/**
 * Changes a text before it is split: the field `normalizer` of tokenizer.json. A normalizer also reports which part
 * of its result comes from the beginning of the text, which one pre-tokenizer (Metaspace, "first") needs.
 */
export interface Normalizer {
  normalize(text: string): string;
  /**
   * @param head how many UTF-16 units of `text` come from the first character of the original text
   * @returns how many of `normalize(text)` do
   */
  head(text: string, head: number): number;
}

/** A normalizer that changes single or adjacent characters in place. */
export function inPlace(normalize: (text: string) => string): Normalizer {
  return { normalize, head: (text, head) => normalize(text.slice(0, head)).length };
}
