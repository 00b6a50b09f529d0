/** What a character is counted as, in the order of tables. */
export const SCRIPTS = ['hangul', 'latin', 'han', 'kana', 'digits', 'punctuation', 'space', 'other'] as const;
export type Script = (typeof SCRIPTS)[number];

/** Symbols count as punctuation, except those that are pictures (category So). */
const CLASSES: readonly (readonly [Script, RegExp])[] = [
  ['hangul', /\p{Script=Hangul}/u],
  ['latin', /\p{Script=Latin}/u],
  ['han', /\p{Script=Han}/u],
  ['kana', /[\p{Script=Hiragana}\p{Script=Katakana}]/u],
  ['digits', /\p{Nd}/u],
  ['space', /\p{White_Space}/u],
  ['punctuation', /[\p{P}\p{Sm}\p{Sc}\p{Sk}]/u],
];

const known = new Map<number, Script>();

/** What a character is counted as. */
export function scriptOf(codePoint: number): Script {
  let script = known.get(codePoint);
  if (script === undefined) {
    const character = String.fromCodePoint(codePoint);
    script = CLASSES.find(([, pattern]) => pattern.test(character))?.[0] ?? 'other';
    known.set(codePoint, script);
  }
  return script;
}

/** Precomposed, or written in letters (initial, vowel, final); a Hangul letter that stands alone counts as one. */
const SYLLABLE =
  /[\uac00-\ud7a3][\u11a8-\u11ff\ud7cb-\ud7fb]?|[\u1100-\u115f\ua960-\ua97c]+[\u1160-\u11a7\ud7b0-\ud7c6]+[\u11a8-\u11ff\ud7cb-\ud7fb]*|\p{Script=Hangul}/gu;

/** How many Hangul syllables a text has. */
export function countSyllables(text: string): number {
  let count = 0;
  for (const _ of text.matchAll(SYLLABLE)) count++;
  return count;
}
