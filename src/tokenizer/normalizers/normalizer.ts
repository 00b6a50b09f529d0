/**
 * Changes a text before it is split: the field `normalizer` of tokenizer.json. A normalizer also says which part of its
 * result stems from the beginning of the text, since one pre-tokenizer (Metaspace, "first") asks for that.
 */
export interface Normalizer {
  normalize(text: string): string;
  /**
   * @param head how many UTF-16 units of `text` stem from the first character of the original text
   * @returns how many of `normalize(text)` do
   */
  head(text: string, head: number): number;
}

/** A normalizer that changes each character, or neighbors, in place. */
export function inPlace(normalize: (text: string) => string): Normalizer {
  return { normalize, head: (text, head) => normalize(text.slice(0, head)).length };
}
