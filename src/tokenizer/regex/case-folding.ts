import { codeSource, RegexProblem } from './syntax.ts';

/** Characters by case folding, for those that share it with others; created on first use. */
let variants: Map<string, string[]> | undefined;

function fold(character: string): string {
  if (character === 'ı' || character === 'İ') return character; // Turkish has its own rules.
  const upper = character.toUpperCase();
  const one = upper.length === character.length ? upper : character;
  const lower = one.toLowerCase();
  return lower.length === character.length || lower.length === 1 ? lower : character;
}

function allVariants(): Map<string, string[]> {
  if (variants) return variants;
  const byFold = new Map<string, string[]>();
  for (let code = 0; code < 0x1f000; code++) {
    if (code >= 0xac00 && code < 0xe000) continue; // Hangul has no case, and surrogates are not characters.
    const character = String.fromCodePoint(code);
    if (character.toLowerCase() === character && character.toUpperCase() === character) continue;
    const key = fold(character);
    const same = byFold.get(key);
    if (same) same.push(character);
    else byFold.set(key, [character]);
  }
  variants = byFold;
  return byFold;
}

/** A letter's two cases, and also the long s and the Kelvin sign. */
function asciiVariants(character: string): string[] {
  const lower = character.toLowerCase();
  const beyond = lower === 's' ? ['\u017f'] : lower === 'k' ? ['\u212a'] : [];
  return [character.toUpperCase(), lower, ...beyond];
}

/** A character and its case variants, as the content of a class. */
export function caseVariants(character: string): string {
  if (character.toUpperCase().length > character.length) {
    throw new RegexProblem(`it ignores the case of "${character}", which matches several letters`);
  }
  // Published expressions ignore the case of ASCII only, for which not all characters need to be looked at.
  const variants = character < '\x80' ? asciiVariants(character) : allVariants().get(fold(character));
  const all = new Set([character, ...(variants ?? [])]);
  return [...all].map((variant) => codeSource(variant.codePointAt(0)!)).join('');
}

/** Letters that fold to a ligature or to a letter with a mark: Oniguruma can match these. */
const JOINED = /ss|ff|fi|fl|st|\p{M}|[ʼʾ]/iu;

/** @throws RegexProblem for a run of characters that a single character may match when case is ignored */
export function refuseJoinedCase(run: string): void {
  if (JOINED.test(run)) throw new RegexProblem(`it ignores the case of "${run}", which a ligature may match`);
}
